//! Any failure of Bedrock is reported in words of our own.
//! Run: `cargo +nightly fuzz run failure`. The law itself runs in the property tests too.

#![no_main]

#[path = "../../shared/dialect/tests/laws/law.rs"]
#[allow(dead_code, reason = "each target runs one of the laws")]
mod law;

libfuzzer_sys::fuzz_target!(|data: &[u8]| law::failure(data));
