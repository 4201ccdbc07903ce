//! The interface between the HTTP server and the two simulated services.

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::delivery::Reply;
use crate::script::StepQueue;

/// A request as a service reads it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The path, not decoded and without the query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The time of arrival, in milliseconds since the Unix epoch.
    pub(crate) now_ms: u64,
}

/// A simulated service behind the HTTP server.
pub(crate) trait Service: std::fmt::Debug + Send + Sync {
    /// Answers a request. A request for a message takes the next step of the script.
    fn answer(&self, request: &Request, script: &StepQueue) -> Reply;

    /// Clears the state of all earlier requests.
    fn reset(&self);
}
