#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| elf_sections::oracle::elf_parse(bytes));
