//! Any body of a response is an Anthropic message or an error.
//! Run: `cargo +nightly fuzz run reply`. The law itself runs in the property tests too.

#![no_main]

#[path = "../../shared/dialect/tests/laws/law.rs"]
#[allow(dead_code, reason = "each target runs one of the laws")]
mod law;

libfuzzer_sys::fuzz_target!(|data: &[u8]| law::reply(data));
