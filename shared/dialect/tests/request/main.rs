//! Translation of requests: models, rules, recorded shapes, traps and laws.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its expectation does; clippy.toml exempts test functions only"
)]

mod golden;
mod invoke;
mod laws;
mod models;
mod refusals;
mod rules;
mod tool_changes;
mod tools;
mod translation;
mod traps;
mod unsupported;
