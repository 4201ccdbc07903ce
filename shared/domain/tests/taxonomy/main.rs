//! The failure taxonomy: what an answer from Plan means, what follows for the request and for the
//! breaker, shape by shape; and `docs/failure-taxonomy.md`, whose tables are made from these shapes.

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
