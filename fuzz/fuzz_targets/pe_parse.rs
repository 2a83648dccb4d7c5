#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pe_patch::oracle::pe_parse(bytes));
