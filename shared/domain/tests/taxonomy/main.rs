//! The failure taxonomy: the verdict on each recorded shape of a response, its effect on the request and on the
//! breaker, and the tables of `docs/failure-taxonomy.md`, which these shapes generate.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does; clippy.toml exempts test functions only"
)]

mod doc;
mod hostile;
mod laws;
mod route;
mod shape;
mod table;
