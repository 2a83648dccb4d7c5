#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| build_info::oracle::pdb_read(bytes));
