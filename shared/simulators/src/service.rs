//! What the HTTP server and the two simulated services share: a request, and what a service does with it.

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::delivery::Reply;
use crate::script::StepQueue;

/// A request as a service reads it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Not decoded, without the query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// When it arrived, in milliseconds since the Unix epoch.
    pub(crate) now_ms: u64,
}

/// A simulated service behind the HTTP server.
pub(crate) trait Service: std::fmt::Debug + Send + Sync {
    /// Answers a request. A request for a message takes the next step of the script.
    fn answer(&self, request: &Request, script: &StepQueue) -> Reply;

    /// Forgets all earlier requests.
    fn reset(&self);
}
