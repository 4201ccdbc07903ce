//! The proxy behind an API Gateway REST API: the event of an invocation in, a streamed response out.
//!
//! The event is read here and not by `lambda_http`, which keeps only the last value of a header that
//! was sent several times, re-encodes the query, and panics at some values of `Host`, `X-Forwarded-Proto`
//! and of a body that is no Base64.
//!
//! What the event of a REST API does not contain
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>):
//! query values arrive decoded, in an object. So `+` looks like `%20` and `?a` like `?a=`, and the order of
//! values that belong to different names is lost. Plan gets the same names and values, each name's values
//! together, with every byte percent-encoded that a query cannot have as it is.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as RequestBody;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::id::RequestId;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, SET_COOKIE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use lambda_runtime::{Context, LambdaEvent, MetadataPrelude, StreamResponse, service_fn};
use serde::Deserialize;
use serde_json::{Map, Value};
use service::clock::Clock;
use service::id::new_id;
use tokio::time::Instant;

use crate::deadline::InvocationEnd;
use crate::error_response::ErrorResponse;
use crate::exchange::Proxy;
use crate::handler::{answer, unlogged};
use crate::response::{REQUEST_ID, header_value};
use crate::response_body::Body;

/// A response as the Lambda runtime takes it. Its stream yields no error: the runtime would write that into
/// the body as text.
pub type LambdaResponse = StreamResponse<BoxStream<'static, Result<Bytes, Infallible>>>;

/// Serves invocations until the sandbox ends.
///
/// # Errors
/// The error with which the Lambda runtime ends.
///
/// # Panics
/// The runtime panics without the environment that Lambda sets.
pub async fn run(proxy: Arc<Proxy>) -> Result<(), lambda_runtime::Error> {
    lambda_runtime::run(service_fn(move |event: LambdaEvent<HttpEvent>| {
        let proxy = Arc::clone(&proxy);
        async move { Ok::<_, Infallible>(Box::pin(respond(&proxy, event)).await) }
    }))
    .await
}

/// Serves one invocation.
pub async fn respond(proxy: &Proxy, event: LambdaEvent<HttpEvent>) -> LambdaResponse {
    let response = match event.payload.into_request() {
        Ok(mut request) => {
            if let Some(end) = end_of(&event.context, proxy.clock()) {
                request.extensions_mut().insert(end);
            }
            answer(proxy, request).await
        }
        Err(error) => {
            let request_id: RequestId = new_id(RequestId::PREFIX);
            tracing::warn!(request.id = %request_id, reason = error.message, "unreadable event");
            let mut response = unlogged(error, &request_id);
            let id = header_value(request_id.as_str());
            response.headers_mut().insert(REQUEST_ID, id);
            response
        }
    };
    to_lambda(response)
}

/// When the invocation ends. A moment in the past is none: `cargo lambda watch` gives one in 1970.
fn end_of(context: &Context, clock: &Clock) -> Option<InvocationEnd> {
    let now = u64::try_from(clock.now().as_millis()).ok()?;
    let left = Duration::from_millis(context.deadline.checked_sub(now)?);
    Some(InvocationEnd(Instant::now().checked_add(left)?))
}

/// The event of a REST API (payload format 1.0). That of an HTTP API (2.0), which `cargo lambda watch`
/// sends, is read too.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpEvent {
    http_method: Option<String>,
    path: Option<String>,
    headers: Option<Map<String, Value>>,
    multi_value_headers: Option<Map<String, Value>>,
    query_string_parameters: Option<Map<String, Value>>,
    multi_value_query_string_parameters: Option<Map<String, Value>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
    // Payload format 2.0.
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    cookies: Option<Vec<String>>,
    request_context: Option<RequestContext>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RequestContext {
    http: Option<HttpDescription>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HttpDescription {
    method: Option<String>,
}

impl HttpEvent {
    fn into_request(self) -> Result<Request<RequestBody>, ErrorResponse> {
        let uri = self.uri()?;
        let described = self.request_context.as_ref();
        let described = described.and_then(|context| context.http.as_ref()?.method.as_ref());
        // `cargo lambda watch` adds an `httpMethod` that is always GET.
        let method = described.or(self.http_method.as_ref());
        let method = method.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
        let method =
            method.ok_or_else(|| ErrorResponse::bad_request("The request has no method."))?;
        let headers = self.header_map();
        let body = self.body.unwrap_or_default();
        let body = if self.is_base64_encoded == Some(true) {
            let decoded = STANDARD.decode(body);
            decoded
                .map_err(|_| ErrorResponse::bad_request("The request's body is no valid Base64."))?
        } else {
            body.into_bytes()
        };
        let mut request = Request::new(RequestBody::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Path and query. A host is of no use here, and every client chooses its own.
    fn uri(&self) -> Result<Uri, ErrorResponse> {
        let path = self.raw_path.as_ref().or(self.path.as_ref());
        let mut uri = String::new();
        encode(&mut uri, path.map_or("/", String::as_str), |byte| {
            byte.is_ascii_graphic() && !b"?#<>`^|".contains(&byte)
        });
        if !uri.starts_with('/') {
            uri.insert(0, '/');
        }
        let query = match &self.raw_query_string {
            Some(raw) => {
                let mut query = String::new();
                encode(&mut query, raw, |byte| {
                    byte.is_ascii_graphic() && byte != b'#'
                });
                query
            }
            None => self.query(),
        };
        if !query.is_empty() {
            uri.push('?');
            uri.push_str(&query);
        }
        Uri::try_from(uri)
            .map_err(|_| ErrorResponse::bad_request("The request's URL cannot be read."))
    }

    /// The query of payload format 1.0, encoded again.
    fn query(&self) -> String {
        let values = merged(
            self.multi_value_query_string_parameters.as_ref(),
            self.query_string_parameters.as_ref(),
        );
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$()*,;:@/?".contains(&byte);
        let mut query = String::new();
        for (name, value) in values {
            if !query.is_empty() {
                query.push('&');
            }
            encode(&mut query, name, is_plain);
            query.push('=');
            encode(&mut query, value, |byte| is_plain(byte) || byte == b'=');
        }
        query
    }

    fn header_map(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let values = merged(self.multi_value_headers.as_ref(), self.headers.as_ref());
        let cookies = self.cookies.as_ref().map(|cookies| cookies.join("; "));
        let cookie = cookies
            .iter()
            .map(|cookies| (COOKIE.as_str(), cookies.as_str()));
        for (name, value) in values.into_iter().chain(cookie) {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                // A map that is full takes no more.
                let _ = headers.try_append(name, value);
            }
        }
        headers
    }
}

/// All values of the object with lists, and those of the other object whose names are missing there.
fn merged<'a>(
    lists: Option<&'a Map<String, Value>>,
    singles: Option<&'a Map<String, Value>>,
) -> Vec<(&'a str, &'a str)> {
    let in_lists = |name: &str| {
        lists.is_some_and(|lists| lists.keys().any(|listed| listed.eq_ignore_ascii_case(name)))
    };
    let mut merged = Vec::new();
    for (name, values) in lists.into_iter().flatten() {
        let values = values.as_array().into_iter().flatten();
        merged.extend(values.filter_map(|value| Some((name.as_str(), value.as_str()?))));
    }
    for (name, value) in singles.into_iter().flatten() {
        if let Some(value) = value.as_str().filter(|_| !in_lists(name)) {
            merged.push((name, value));
        }
    }
    merged
}

/// Appends `text`, with all bytes percent-encoded that are not plain.
fn encode(out: &mut String, text: &str, is_plain: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// A response whose head API Gateway accepts: it frames the body itself, and answers 502 to a header whose
/// value is a list, which the runtime writes for several values and for one that is no visible ASCII.
fn to_lambda(response: Response<Body>) -> LambdaResponse {
    let (parts, body) = response.into_parts();
    let mut headers = HeaderMap::new();
    let mut cookies = Vec::new();
    for name in parts.headers.keys() {
        if [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(name) {
            continue;
        }
        let values = parts.headers.get_all(name).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        if *name == SET_COOKIE {
            cookies.extend(values.into_iter().map(str::to_owned));
        } else if let (false, Ok(value)) =
            (values.is_empty(), HeaderValue::from_str(&values.join(", ")))
        {
            headers.insert(name.clone(), value);
        }
    }
    // The runtime offers no way to abort a response: a download that broke off just ends.
    let pieces = body.into_data_stream();
    let pieces = pieces.take_while(|piece| std::future::ready(piece.is_ok()));
    let pieces = pieces.map(|piece| Ok(piece.unwrap_or_default()));
    StreamResponse {
        metadata_prelude: MetadataPrelude {
            status_code: parts.status,
            headers,
            cookies,
        },
        stream: pieces.boxed(),
    }
}

#[cfg(test)]
mod tests;
