//! The proxy function: Plan first, Bedrock when the plan is exhausted.
//!
//! A request's walk: [`router`] takes it from a socket, or [`lambda`] from an event of API Gateway, and gives it
//! an id; `endpoint` reads what it addresses; `exchange` admits its key (`admission`), checks the `breaker`,
//! calls Plan (`plan`) or Bedrock (`fallback`, `bedrock`) as `domain::route` decides, and commits to one
//! response (`response`). `response_body` makes its body, which owns the log of the request (`request_log`).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::IntoResponse as _;
use domain::id::RequestId;
use futures_util::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};

mod admission;
mod bedrock;
mod breaker;
pub mod clock;
pub mod config;
mod deadline;
mod endpoint;
mod error_response;
mod exchange;
mod fallback;
pub mod lambda;
pub mod log;
pub mod metrics;
mod pinned_session;
mod plan;
mod request;
mod request_body;
mod request_log;
mod response;
mod response_body;
mod tasks;

pub use exchange::{Dependencies, Proxy};

use tokio::time::Instant;

use crate::deadline::RequestDeadlines;
use crate::endpoint::Endpoint;
use crate::error_response::ErrorResponse;
use crate::exchange::ApiCall;
use crate::request_log::{PANIC, RequestLog};
use crate::response::{Body, REQUEST_ID, full_body, header_value};

/// The largest request body that is taken. Anthropic's own limit is 32 MB.
pub const BODY_LIMIT_BYTES: usize = 32 * 1024 * 1024;

/// The proxy cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls,
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made")]
    Http,
    /// The URL of Plan in the settings is none.
    #[error("the URL of Plan cannot be used")]
    PlanUrl,
}

/// Everything the proxy serves.
pub fn router(proxy: Arc<Proxy>) -> axum::Router {
    axum::Router::new().fallback(move |request: Request| {
        let proxy = Arc::clone(&proxy);
        async move {
            answer(&proxy, request)
                .await
                .map(axum::body::Body::new)
                .into_response()
        }
    })
}

/// Answers one request, from a socket or an event.
async fn answer(proxy: &Proxy, request: Request) -> Response<Body> {
    let request_id = new_request_id();
    // On the heap: it holds all that a request needs on its way.
    let responding = Box::pin(respond(proxy, request, request_id.clone()));
    let mut response = unless_it_panics(responding, &request_id).await;
    let id = header_value(request_id.as_str());
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The response; or, when a defect of Spillway ends it in a panic, 500. The log of the request is written while
/// its owner unwinds.
async fn unless_it_panics(
    responding: impl Future<Output = Response<Body>>,
    request_id: &RequestId,
) -> Response<Body> {
    // Nothing that requests share is left half changed: each lock covers one change.
    if let Ok(response) = AssertUnwindSafe(responding).catch_unwind().await {
        return response;
    }
    tracing::error!(request.id = %request_id, class = PANIC, "a request ended in a panic");
    unlogged(ErrorResponse::panicked(), request_id)
}

async fn respond(proxy: &Proxy, request: Request, request_id: RequestId) -> Response<Body> {
    let invocation = request.extensions().get().copied();
    let (head, mut body) = request.into_parts();
    let (key, kind, plan_path) = match Endpoint::of(&head.method, head.uri.path(), &head.headers) {
        Endpoint::Front => return note(FRONT, "text/plain; charset=utf-8"),
        Endpoint::Health => return note("{\"status\":\"ok\"}", "application/json"),
        Endpoint::Unknown
            if head.method == Method::POST && head.uri.path().ends_with("/v1/messages") =>
        {
            return unlogged(ErrorResponse::wrong_address(), &request_id);
        }
        Endpoint::Unknown => return unlogged(ErrorResponse::not_found(), &request_id),
        Endpoint::Api {
            key,
            kind,
            plan_path,
        } => (key, kind, plan_path),
    };
    let log = RequestLog::begin(proxy.clock().clone(), proxy.tasks(), request_id, kind);
    let path_and_query = match head.uri.query() {
        Some(query) => format!("{plan_path}?{query}"),
        None => plan_path.to_owned(),
    };
    let deadlines = &proxy.settings().deadlines;
    let call = ApiCall {
        key,
        kind,
        method: head.method.clone(),
        path_and_query: &path_and_query,
        headers: &head.headers,
        body: &mut body,
        deadlines: RequestDeadlines::new(Instant::now(), deadlines, invocation),
    };
    proxy.respond(call, log).await
}

const FRONT: &str = "Spillway is running. Point Claude Code at /ak/{access key}.\n";

fn note(text: &'static str, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(full_body(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An error that belongs to no API call, and so to no log of one.
fn unlogged(error: ErrorResponse, request_id: &RequestId) -> Response<Body> {
    let (head, body) = error.into_parts(request_id);
    Response::from_parts(head, full_body(body))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the place where request ids are made"
)]
#[expect(
    clippy::expect_used,
    reason = "the prefix and hexadecimal digits are of the id's form"
)]
fn new_request_id() -> RequestId {
    let id = format!("{}{}", RequestId::PREFIX, uuid::Uuid::now_v7().simple());
    id.parse()
        .expect("the prefix and hexadecimal digits are of the id's form")
}
