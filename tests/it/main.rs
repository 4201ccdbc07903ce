//! The end-to-end tests, one file for each subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed, and names the place"
)]

mod abandoned;
mod administration;
mod authentication;
mod bedrock_leg;
mod bedrock_refusals;
mod both_legs;
mod breaker;
mod commit_point;
mod deadlines;
mod defects;
mod drill;
mod fallback;
mod fleet;
mod lambda;
mod open_breaker;
mod plan_bodies;
mod plan_leg;
mod policy;
mod recorded;
mod server_secret;
mod storage;
mod store_down;
mod unsendable;
