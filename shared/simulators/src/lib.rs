//! The two upstreams of Spillway, pretended on loopback.
//!
//! [`plan::serve`] is the Anthropic Messages API of a Claude subscription that has few requests
//! left; [`bedrock::serve`] is the Amazon Bedrock Runtime. They are what `spillway up --demo`
//! shows to someone without any account, and what the end-to-end tests talk to. No model runs:
//! an answer repeats what it was told, calls the tools that the prompt names, and says that it is
//! simulated.
//!
//! # Telling a simulator what to answer
//!
//! First comes what was scripted ([`Simulator::script`], or `POST /_simulator/script` with
//! a JSON list of steps), each [`Step`] once, in order, by requests for an answer. Then come markers
//! in the newest text of the user:
//!
//! | marker | effect |
//! |---|---|
//! | `[[tool:Bash {"command":"ls"}]]` | calls the tool, if the request offers it; may be repeated |
//! | `[[plan:429]]`, `[[bedrock:throttle]]` | a step by its short name, in that simulator |
//! | `[[plan:{"step":"cut","after":"first_block"}]]` | any step |
//!
//! A plan says by these names what a proxy has to tell apart:
//!
//! | it means | names |
//! |---|---|
//! | a usage limit | `429` or `five_hour` |
//! | a usage limit of some models | `seven_day_opus` |
//! | not entitled | `entitlement` |
//! | a limit of money | `spend_limit`, `self_set_limit`, `out_of_credit`, `402` |
//! | too fast | `throttle` (without `retry-after`), `bare_429` (without any header) |
//! | overloaded | `529`, `first_error`, `error_before_content` |
//! | broken | `500`, `502`, `503`, `close`, `empty`, `html`, `first_api_error`, `end_before_content`, `cut_before_content` |
//! | the login | `401`, `403` |
//! | the request | `400`, `404`, `413`, `too_long` |
//! | broken after the first content | `cut`, `error` |
//!
//! `GET /_simulator/requests` lists what arrived and `POST /_simulator/reset` forgets everything.
//! These endpoints want a loopback `Host` and no `Origin`, so that no web page can use them, and
//! show credentials as their SHA-256 only.

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
