//! The Plan leg: the developer's own request, byte for byte, to Anthropic's API, and its answer byte
//! for byte back (requirement R1.5). Nothing here parses or re-serialises a body.

mod body;
mod failure;
mod headers;
mod http_client;
mod stream;
pub(crate) mod url;

use std::time::Duration;

use bytes::Bytes;
use domain::id::RequestId;
use domain::model_family::ModelFamily;
use domain::route::{Upstream, Usefulness};
use domain::time::Timestamp;
use domain::verdict::{BodyStart, Verdict};
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout_at};

use self::body::{
    ReadBody, RemainingBody, buffer_until_content, error_body, incomplete_error, whole_body,
};
use self::failure::PlanFailure;
use self::headers::{end_to_end_request_headers, end_to_end_response_headers, is_event_stream};
pub use self::http_client::StartError;
use self::http_client::http_client;
use self::stream::{ExpectedEnd, PlanStream, StreamTimeouts};
use self::url::{PlanUrl, UnsendableUrl};
use crate::config::Deadlines;
use crate::error_response::ErrorResponse;
use crate::request::IncomingRequest;
use crate::request_kind::RequestKind;
use crate::request_log::{Outcome, RequestLog};
use crate::response::HeldResponse;
use crate::response_body::BodySource;
use service::clock::Clock;

/// How long the body of an error is waited for. Status and headers say most of what it means.
const ERROR_BODY: Duration = Duration::from_secs(5);

/// The client of Anthropic's API.
#[derive(Debug)]
pub(crate) struct Plan {
    http: reqwest::Client,
    base_url: url::BaseUrl,
    default_key: Option<SecretString>,
    deadlines: Deadlines,
    clock: Clock,
}

/// A response of which the client has received nothing.
#[derive(Debug)]
struct PlanResponse {
    status: StatusCode,
    /// End-to-end headers only.
    headers: HeaderMap,
    start: BodyStart<Bytes>,
    /// The pieces that were read of a stream; empty for any other body.
    buffered: Vec<Bytes>,
    /// The part of a stream that has not been read.
    rest: RemainingBody,
}

/// What came of a request to Plan: its response, or its absence, and what that means.
#[derive(Debug)]
pub(crate) struct PlanOutcome {
    pub(crate) verdict: Verdict,
    response: Result<PlanResponse, PlanFailure>,
    expected_end: ExpectedEnd,
    timeouts: StreamTimeouts,
    request_id: RequestId,
}

impl PlanOutcome {
    /// The value of `x-spillway-upstream` for it.
    pub(crate) fn upstream(&self, is_probe: bool) -> Upstream {
        Upstream::Plan {
            verdict: self.verdict.kind(),
            is_probe,
        }
    }

    /// The use of the response to the client.
    pub(crate) fn usefulness(&self) -> Usefulness {
        self.response
            .as_ref()
            .map_or(Usefulness::NoResponse, |response| {
                let is_error_event = matches!(response.start, BodyStart::ErrorEvent(_));
                Usefulness::from_response(response.status, &self.verdict, is_error_event)
            })
    }

    /// The headers of the response, if there is one.
    pub(crate) fn headers(&self) -> Option<&HeaderMap> {
        self.response
            .as_ref()
            .ok()
            .map(|response| &response.headers)
    }

    /// Plan's response, byte for byte; or the error that stands for its absence.
    pub(crate) fn into_held(self, is_probe: bool) -> Result<HeldResponse, ErrorResponse> {
        let upstream = self.upstream(is_probe);
        let response = match self.response {
            Ok(response) => response,
            Err(failure) => return Err(ErrorResponse::from(failure).about(upstream)),
        };
        let PlanResponse {
            status,
            mut headers,
            start,
            buffered,
            rest,
        } = response;
        let body = match start {
            BodyStart::Whole(bytes) => BodySource::Full {
                bytes,
                outcome: Outcome::Complete,
            },
            BodyStart::Part(_) => {
                for describes_the_body in [CONTENT_LENGTH, CONTENT_ENCODING, ETAG] {
                    headers.remove(describes_the_body);
                }
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                BodySource::Full {
                    bytes: incomplete_error(status, &self.request_id),
                    outcome: Outcome::UpstreamFailed,
                }
            }
            BodyStart::Content
            | BodyStart::Pending
            | BodyStart::ErrorEvent(_)
            | BodyStart::Nothing => {
                let is_message_stream = status == StatusCode::OK && is_event_stream(&headers);
                let expected_end = if is_message_stream {
                    self.expected_end
                } else {
                    ExpectedEnd::Any
                };
                let stream = PlanStream::new(buffered, rest, expected_end, self.timeouts);
                BodySource::Streamed(Box::new(stream))
            }
        };
        Ok(HeldResponse {
            status,
            headers,
            upstream: Some(upstream),
            error_class: None,
            body,
        })
    }
}

impl Plan {
    /// A client of Plan at `base_url`.
    ///
    /// # Errors
    /// [`StartError`] when there is no such URL, or the HTTP client cannot be made.
    pub(crate) fn new(
        base_url: &str,
        default_key: Option<SecretString>,
        deadlines: Deadlines,
        clock: Clock,
    ) -> Result<Self, StartError> {
        Ok(Self {
            http: http_client(&deadlines)?,
            base_url: url::BaseUrl::parse(base_url).ok_or(StartError::PlanUrl)?,
            default_key,
            deadlines,
            clock,
        })
    }

    /// The URL of a request with this path and query, from `/v1/` on.
    ///
    /// # Errors
    /// [`UnsendableUrl`] when Plan would not receive it byte for byte.
    pub(crate) fn url(&self, path_and_query: &str) -> Result<PlanUrl, UnsendableUrl> {
        self.base_url.join(path_and_query)
    }

    /// Sends the request, once, and reads what its response means. `family` is that of the requested model.
    pub(crate) async fn send(
        &self,
        request: &IncomingRequest<'_>,
        family: Option<&ModelFamily>,
        log: &mut RequestLog,
    ) -> PlanOutcome {
        let response = self.response(request).await;
        let fields = log.fields_mut();
        match &response {
            Ok(response) => fields.plan_status = Some(response.status.as_u16()),
            Err(failure) => fields.plan_failure = Some(failure.as_str()),
        }
        let verdict = verdict(&response, request.kind, family, self.clock.now());
        fields.plan_verdict = Some(verdict.clone());
        PlanOutcome {
            verdict,
            response,
            expected_end: if request.kind.is_message() {
                ExpectedEnd::Message
            } else {
                ExpectedEnd::Any
            },
            timeouts: StreamTimeouts {
                idle: self.deadlines.idle,
                until: request.deadlines.end,
            },
            request_id: request.id.clone(),
        }
    }

    /// Sends the request once. A response that is no event stream is read to its end first.
    async fn response(&self, request: &IncomingRequest<'_>) -> Result<PlanResponse, PlanFailure> {
        let deadlines = request.deadlines;
        let mut headers = end_to_end_request_headers(request.headers);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if request.kind.allows_default_key() {
            self.add_default_key(&mut headers);
        }
        let send = self
            .http
            .request(request.method.clone(), request.url.clone().into_url())
            .headers(headers)
            .body(request.body.clone())
            .send();
        let first_byte_by = match request.kind {
            RequestKind::StreamedMessage => deadlines.first_byte_of_plan,
            _ => deadlines.whole_answer,
        };
        let response = timeout_at(first_byte_by, send)
            .await
            .map_err(|_| PlanFailure::Timeout)?
            .map_err(|error| PlanFailure::from(&error))?;
        let status = response.status();
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            return Err(PlanFailure::Redirect);
        }
        let mut headers = end_to_end_response_headers(response.headers());
        let is_stream = is_event_stream(&headers);
        let body = if is_stream && !request.kind.has_fallback() {
            ReadBody::passing(response)
        } else if is_stream && status.is_success() {
            let until = Instant::now() + self.deadlines.ping;
            buffer_until_content(response, first_byte_by, until).await
        } else if status.as_u16() >= 400 {
            let until = first_byte_by.min(Instant::now() + ERROR_BODY);
            error_body(response, until).await
        } else {
            whole_body(response, deadlines.whole_answer).await?
        };
        let is_passed_on = !matches!(body.start, BodyStart::Whole(_) | BodyStart::Part(_));
        if is_passed_on && is_stream {
            // An `error` event may be added to it.
            headers.remove(CONTENT_LENGTH);
        }
        let ReadBody {
            start,
            buffered,
            rest,
        } = body;
        Ok(PlanResponse {
            status,
            headers,
            start,
            buffered,
            rest,
        })
    }

    /// The deployment's own Plan key, for clients that sent no credential (requirement R1.6).
    fn add_default_key(&self, headers: &mut HeaderMap) {
        let Some(key) = &self.default_key else { return };
        if headers.contains_key(AUTHORIZATION) || headers.contains_key(X_API_KEY) {
            return;
        }
        if let Ok(mut value) = HeaderValue::from_str(key.expose_secret()) {
            value.set_sensitive(true);
            headers.insert(X_API_KEY, value);
        }
    }
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What the response means; none means something too.
fn verdict(
    response: &Result<PlanResponse, PlanFailure>,
    kind: RequestKind,
    family: Option<&ModelFamily>,
    now: Timestamp,
) -> Verdict {
    let Ok(response) = response else {
        return Verdict::no_answer();
    };
    let read = if kind.has_fallback() {
        Verdict::read
    } else {
        Verdict::read_of_other_path
    };
    let response = domain::verdict::PlanResponse {
        status: response.status,
        headers: &response.headers,
        body: response.start.as_bytes(),
    };
    read(response, family, now)
}

#[cfg(test)]
mod tests {
    use super::headers::tests::{headers, names};
    use super::*;

    #[test]
    fn the_default_plan_key_serves_only_clients_without_a_credential() {
        let plan = |key: Option<&str>| {
            let url = "http://127.0.0.1";
            let (key, clock) = (key.map(SecretString::from), Clock::system());
            Plan::new(url, key, Deadlines::default(), clock).unwrap()
        };
        let sent = |plan: &Plan, lines: &[(&str, &str)]| {
            let mut headers = headers(lines);
            plan.add_default_key(&mut headers);
            names(&headers).join("; ")
        };
        let with_default = plan(Some("sk-ant-default"));
        assert_eq!(sent(&with_default, &[]), "x-api-key: sk-ant-default");
        for own in [("authorization", "Bearer own"), ("x-api-key", "own")] {
            assert_eq!(sent(&with_default, &[own]), format!("{}: {}", own.0, own.1));
        }
        assert_eq!(sent(&plan(None), &[]), "");
    }
}
