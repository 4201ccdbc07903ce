//! The stories, one file for each part of what Spillway promises.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a story that cannot go on has failed, and should say where"
)]

mod abandoned;
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
