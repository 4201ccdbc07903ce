//! The values and decisions of Spillway: users, access keys, Bedrock settings, verdicts and routing.
//!
//! Values and functions only. This crate has no async runtime, no AWS or HTTP client, no
//! environment, no source of randomness and no clock: time and entropy are arguments.
//!
//! | module | contents |
//! |---|---|
//! | [`key`] | the access key in the URL: generation, offline parse, keyed hash, masking |
//! | [`bedrock_key`] | the developer's Bedrock API key: parse, masking, region and end of a short-term key |
//! | [`user`] | users and their status |
//! | [`grant`] | the record of a key, the settings in force, and the decision whether the key is served |
//! | [`bedrock`] | a developer's Bedrock settings: region, models, dialect |
//! | [`region`] | AWS region names |
//! | [`verdict`] | the meaning of a response of Plan |
//! | [`policy`] | the policy of fallbacks: settings, defaults, changes |
//! | [`breaker`] | the breaker in front of Plan, as pure transition functions |
//! | [`route`] | the choice of the upstream before, between and after both upstreams |
//! | [`setting`] | the values that a setting takes, and the form in which they are stored and sent |
//! | [`model_family`] | the model families, some of which have usage limits of their own |
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
