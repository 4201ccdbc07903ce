//! Translation of Bedrock's streams, case by case.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its expectation does; clippy.toml exempts test functions only"
)]

mod converse;
mod golden;
mod invoke;
mod notation;
mod sse;
