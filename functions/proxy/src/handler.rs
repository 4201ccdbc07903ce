//! The HTTP surface: a request in, a response out, each with an id.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::IntoResponse as _;
use domain::id::RequestId;
use futures_util::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};
use service::id::new_id;
use tokio::time::Instant;

use crate::deadline::RequestDeadlines;
use crate::endpoint::Endpoint;
use crate::error_response::ErrorResponse;
use crate::exchange::{ApiCall, Proxy};
use crate::request_log::{PANIC, RequestLog};
use crate::response::{REQUEST_ID, full_body, header_value};
use crate::response_body::Body;

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
pub(crate) async fn answer(proxy: &Proxy, request: Request) -> Response<Body> {
    let request_id: RequestId = new_id(RequestId::PREFIX);
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
    let (key, kind, plan_path) =
        match Endpoint::from_request(&head.method, head.uri.path(), &head.headers) {
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
pub(crate) fn unlogged(error: ErrorResponse, request_id: &RequestId) -> Response<Body> {
    let (head, body) = error.into_parts(request_id);
    Response::from_parts(head, full_body(body))
}
