//! See `server/src/fuzz.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| saoma::fuzz::answer(bytes));
