//! The proxy function: Plan first, Bedrock when the plan is exhausted.
//!
//! A request's walk: [`router`] takes it from a socket, or [`lambda`] from an event of API Gateway, and gives it
//! an id; `endpoint` reads what it addresses; `exchange` admits its key (`admission`), checks the `breaker`,
//! calls Plan (`plan`) or Bedrock (`fallback`, `bedrock`) as `domain::route` decides, and commits to one
//! response (`response`). `response_body` makes its body, which owns the log of the request (`request_log`).

mod admission;
mod bedrock;
mod breaker;
pub mod config;
mod deadline;
mod endpoint;
mod error_response;
mod exchange;
mod fallback;
mod fallback_error;
mod handler;
pub mod lambda;
mod pinned_session;
mod plan;
mod request;
mod request_body;
mod request_kind;
mod request_log;
mod response;
mod response_body;
mod tasks;

pub use exchange::{Dependencies, Proxy};
pub use handler::router;
pub use plan::StartError;
pub use request_body::BODY_LIMIT_BYTES;
