//! Responses to clients, and the one place where the proxy commits to one.

use bytes::Bytes;
use domain::route::Upstream;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

use crate::request_log::RequestLog;
use crate::response_body::{BodySource, Truncated, logged_body};

/// A body of a response. It fails only where a download breaks off ([`Truncated`]).
pub(crate) type Body = UnsyncBoxBody<Bytes, Truncated>;

/// On every response: Spillway's id of the request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-spillway-request-id");
/// On every response of an upstream: which one, and why ([`Upstream`]).
pub(crate) const UPSTREAM: HeaderName = HeaderName::from_static("x-spillway-upstream");
/// On errors of Spillway's own: the class, for people who look.
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-spillway-error");
/// Anthropic's name for the id of the response.
pub(crate) const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// Whether the client's SDK may send the request again.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A response of which the client has received nothing: the upstream may still be switched.
#[derive(Debug)]
pub(crate) struct HeldResponse {
    pub(crate) status: StatusCode,
    /// End-to-end headers only.
    pub(crate) headers: HeaderMap,
    /// The upstream that gave it; `None` for an error of Spillway's own.
    pub(crate) upstream: Option<Upstream>,
    /// The class for the log, where the response is or comes with an error of Spillway's own.
    pub(crate) error_class: Option<&'static str>,
    pub(crate) body: BodySource,
}

impl HeldResponse {
    /// Commits to this response: from here on the upstream is never switched. Its body owns the log of the
    /// request.
    pub(crate) fn commit(self, mut log: RequestLog) -> Response<Body> {
        let fields = log.fields_mut();
        fields.status = Some(self.status.as_u16());
        fields.upstream = self.upstream.map(Upstream::as_str);
        if self.error_class.is_some() {
            fields.error_class = self.error_class;
        }
        log.record_first_byte();
        let mut headers = self.headers;
        if let Some(upstream) = self.upstream {
            headers.insert(UPSTREAM, header_value(&upstream.to_string()));
        }
        let mut response = Response::new(logged_body(self.body, log));
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

/// A body that is there whole and belongs to no request of an access key.
pub(crate) fn full_body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// The value of one of Spillway's headers; `-` for a text that no header can carry.
pub(crate) fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}
