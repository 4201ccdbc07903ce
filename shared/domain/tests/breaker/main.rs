//! The breaker: its table, its laws, and a model of a fleet that keeps one.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test ends where its expectation does; clippy.toml exempts test functions only"
)]

mod fleet;
mod laws;
mod model;
mod rates;
mod table;
