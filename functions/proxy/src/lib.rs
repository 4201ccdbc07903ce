//! The proxy function: Plan first, Bedrock when the plan is exhausted.
//!
//! A request's walk: [`router`] takes it from API Gateway or from a socket and gives it an id;
//! `route` says what it is; `exchange` tells the story (admit the key, ask the `breaker`, ask Plan,
//! read the verdict, `spill` to Bedrock, commit to one answer); `plan` passes bytes on; `bedrock`
//! translates;
//! `streaming` makes the bodies; `record` keeps what is known and writes it once.
//!
//! The same [`router`] serves sockets on one machine and, through [`lambda`], invocations of API Gateway.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use domain::grant::Grant;
use domain::id::RequestId;
use futures_util::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};
use store::cache::CachedKey;

mod bedrock;
mod body;
mod breaker;
pub mod clock;
pub mod config;
mod deadline;
mod exchange;
pub mod lambda;
pub mod log;
pub mod metrics;
mod plan;
mod record;
mod reply;
mod route;
mod spill;
mod streaming;

pub use exchange::{Parts, Proxy};

use tokio::time::Instant;

use crate::deadline::RequestDeadlines;
use crate::exchange::{Arrival, Stop, session_id};
use crate::plan::PlanUrl;
use crate::record::Record;
use crate::reply::{Body, REQUEST_ID, Refusal, header, whole};
use crate::route::{Endpoint, Route};

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

/// Answers one request, whichever way it came.
async fn answer(proxy: &Proxy, request: Request) -> Response<Body> {
    let request_id = new_request_id();
    // On the heap: it holds all that a request needs on its way.
    let answering = Box::pin(answer_as(proxy, request, request_id.clone()));
    unless_it_panics(answering, &request_id).await
}

/// The answer; or, when a defect of Spillway's ends it in a panic, 500. The record of the request
/// writes itself while its owner unwinds.
async fn unless_it_panics(
    answering: impl Future<Output = Response<Body>>,
    request_id: &RequestId,
) -> Response<Body> {
    // Nothing that a request shares with others is left half changed: each lock covers one change.
    if let Ok(response) = AssertUnwindSafe(answering).catch_unwind().await {
        return response;
    }
    tracing::error!(request.id = %request_id, class = record::PANIC, "a request ended in a panic");
    let mut response = refuse(Refusal::panicked(), request_id);
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, header(request_id.as_str()));
    response
}

async fn answer_as(proxy: &Proxy, request: Request, request_id: RequestId) -> Response<Body> {
    let invocation = request.extensions().get().copied();
    let deadlines = RequestDeadlines::new(Instant::now(), &proxy.settings.deadlines, invocation);
    let (head, mut body) = request.into_parts();
    let mut response = match Route::of(&head.method, head.uri.path(), &head.headers) {
        Route::Front => note(FRONT, "text/plain; charset=utf-8"),
        Route::Health => note("{\"status\":\"ok\"}", "application/json"),
        Route::Nothing
            if head.method == Method::POST && head.uri.path().ends_with("/v1/messages") =>
        {
            refuse(Refusal::wrong_address(), &request_id)
        }
        Route::Nothing => refuse(Refusal::not_found(), &request_id),
        Route::Api {
            key,
            endpoint,
            plan_path,
        } => {
            let mut record = Record::begin(proxy.clock.clone(), request_id.clone(), name(endpoint));
            record.note().session_id = session_id(&head.headers);
            let path_and_query = match head.uri.query() {
                Some(query) => format!("{plan_path}?{query}"),
                None => plan_path.to_owned(),
            };
            let received = receive(
                proxy,
                key,
                &path_and_query,
                &mut body,
                deadlines,
                &mut record,
            );
            match received.await {
                Ok((admitted, url, body)) => {
                    let arrival = Arrival {
                        deadlines,
                        method: head.method.clone(),
                        endpoint,
                        url,
                        headers: &head.headers,
                        body,
                    };
                    proxy.serve(arrival, admitted, record).await
                }
                Err(stop) => {
                    body::drain(&mut body).await;
                    proxy.refuse(stop, record)
                }
            }
        }
    };
    response
        .headers_mut()
        .insert(REQUEST_ID, header(request_id.as_str()));
    response
}

const FRONT: &str = "Spillway is running. Point Claude Code at /ak/{access key}.\n";

fn note(text: &'static str, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(whole(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn refuse(refusal: Refusal, request_id: &RequestId) -> Response<Body> {
    let (parts, body) = refusal.into_parts(request_id);
    Response::from_parts(parts, whole(body))
}

fn name(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Messages => "messages",
        Endpoint::CountTokens => "count_tokens",
        Endpoint::ModelList | Endpoint::PlanOnly => "plan_only",
    }
}

/// What must hold before anything is asked of an upstream: the key is served, the request can be sent to
/// Plan byte for byte, and all of its body is there. The body is read last.
async fn receive(
    proxy: &Proxy,
    key: &str,
    path_and_query: &str,
    body: &mut axum::body::Body,
    deadlines: RequestDeadlines,
    record: &mut Record,
) -> Result<((CachedKey, Grant), PlanUrl, Bytes), Stop> {
    let (known, grant) = proxy.admit(key).await?;
    record.note().key = Some(grant.record().clone());
    let url = proxy.plan_url(path_and_query)?;
    let idle = proxy.settings.deadlines.request_idle;
    let body = body::read(body, idle, deadlines.first_byte).await?;
    record.note().request_bytes = body.len();
    Ok(((known, grant), url, body))
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
