//! The two upstreams of Spillway, simulated on loopback.
//!
//! [`plan::serve`] serves the Anthropic Messages API of a Claude subscription with few requests left;
//! [`bedrock::serve`] serves the Amazon Bedrock Runtime. The demo, the drills and the end-to-end tests use them
//! without an account. No model runs: a response repeats the prompt, calls the tools that the prompt names, and
//! states that it is simulated.
//!
//! # Scripts and markers
//!
//! A scripted [`Step`] ([`Simulator::script`], or `POST /_simulator/script` with a JSON list of steps) applies to
//! one request for a message; steps apply in order. Without a scripted step, markers in the newest user text
//! apply:
//!
//! | marker | effect |
//! |---|---|
//! | `[[tool:Bash {"command":"ls"}]]` | calls the tool, if the request has it; may be repeated |
//! | `[[plan:429]]`, `[[bedrock:throttle]]` | a step by its short name, in that simulator |
//! | `[[plan:{"step":"cut","after":"first_block"}]]` | any step |
//!
//! Short names of a plan's responses, by their meaning for a proxy:
//!
//! | meaning | names |
//! |---|---|
//! | a usage limit | `429` or `five_hour` |
//! | a usage limit of some models | `seven_day_opus` |
//! | not entitled | `entitlement` |
//! | a spend limit | `spend_limit`, `self_set_limit`, `out_of_credit`, `402` |
//! | a rate limit | `throttle` (without `retry-after`), `bare_429` (without any header) |
//! | overloaded | `529`, `first_error`, `error_before_content` |
//! | broken | `500`, `502`, `503`, `close`, `empty`, `html`, `first_api_error`, `end_before_content`, `cut_before_content` |
//! | the login | `401`, `403` |
//! | the request | `400`, `404`, `413`, `too_long` |
//! | broken after the first content | `cut`, `error` |
//!
//! `GET /_simulator/requests` lists the received requests, with credentials as SHA-256, and
//! `POST /_simulator/reset` clears all state. These endpoints require a loopback `Host` and no `Origin`, so that
//! web pages cannot use them.

mod anthropic;
pub mod bedrock;
mod citation;
mod conversation;
mod converse;
mod delivery;
mod ids;
mod journal;
mod json;
mod lock;
mod marker;
pub mod plan;
mod prompt_cache;
mod response_plan;
mod rules;
mod script;
mod server;
mod service;

pub use journal::ReceivedRequest;
pub use script::{Citation, Cited, Content, Frame, Location, Point, Step, ToolCall, Usage, Window};
pub use server::Simulator;

#[cfg(test)]
mod tests;
