#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| macho_sections::oracle::macho_parse(bytes));
