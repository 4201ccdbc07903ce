//! Any events and frames of `ConverseStream` make a valid stream of the Messages API.
//! Run: `cargo +nightly fuzz run converse_stream`. The law itself runs in the property tests too.

#![no_main]

#[path = "../../shared/dialect/tests/laws/law.rs"]
#[allow(dead_code, reason = "each target runs one of the laws")]
mod law;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    law::converse_stream(data);
    law::converse_frames(data);
});
