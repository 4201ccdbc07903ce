//! What Spillway means: users, access keys, Bedrock settings, verdicts and routing.
//!
//! Values and functions only. This crate knows no async runtime, no AWS or HTTP client, no
//! environment, no source of randomness and no clock: time and entropy are arguments.
//!
//! | module | what it holds |
//! |---|---|
//! | [`key`] | the access key in the URL: generation, offline parse, keyed hash, masking |
//! | [`bedrock_key`] | the developer's Bedrock API key: parse, masking, what a short-term key tells of itself |
//! | [`user`] | users and their status |
//! | [`grant`] | may this key be served now? The record a key resolves to, and the witness that it may |
//! | [`bedrock`] | a developer's Bedrock settings: region, models, dialect |
//! | [`region`] | AWS region names |
//! | [`verdict`] | what an answer from Plan means |
//! | [`policy`] | which verdicts fall back: defaults, and what a deployment, user or key sets |
//! | [`breaker`] | when no request goes to Plan, as pure transition functions |
//! | [`route`] | which upstream answers: the choices before, between and after both upstreams |
//! | [`setting`] | the values that a setting takes, and the form in which they are stored and sent |
//! | [`model_family`] | what some limits are counted by |
//! | [`usage`] | token counts |
//! | [`id`], [`time`] | identifiers and timestamps |

pub mod bedrock;
pub mod bedrock_key;
pub mod breaker;
mod circuit;
pub mod grant;
pub mod id;
pub mod key;
pub mod model_family;
pub mod policy;
pub mod region;
pub mod route;
pub mod setting;
pub mod time;
pub mod usage;
pub mod user;
pub mod verdict;
