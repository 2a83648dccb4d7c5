#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rendezvous::oracle::rendezvous_walk(bytes));
