//! The Plan leg: the developer's own request, byte for byte, to Anthropic's API, and its answer byte
//! for byte back (requirement R1.5). Nothing here parses or re-serialises a body.

mod headers;
mod url;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dialect::stream_start::{StreamStart, StreamStartReader};
use domain::verdict::{Opening, PlanReply};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout_at};

pub(crate) use self::headers::is_event_stream;
use self::headers::{end_to_end_request_headers, end_to_end_response_headers};
pub(crate) use self::url::{PlanUrl, UnsendableUrl};
use crate::StartError;
use crate::config::Deadlines;
use crate::deadline::RequestDeadlines;
use crate::route::Endpoint;

/// An answer that is not a stream is read whole before it is passed on, up to this size, so that one
/// that breaks off becomes an error and not half an answer.
const HELD_BYTES: usize = 8 * 1024 * 1024;

/// How long the body of an error is waited for. Status and headers say most of what it means.
const ERROR_BODY: Duration = Duration::from_secs(5);

/// How long a connection is silent before TCP asks whether Plan is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Plan did not answer, or not to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanFailure {
    /// No connection: DNS, TCP or TLS.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection broke.
    Broken,
    /// It answered with a redirect. A credential goes to the configured host only, and the client
    /// must not be sent elsewhere with one either.
    Redirect,
}

impl PlanFailure {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Redirect => "redirect",
        }
    }
}

/// The client of Anthropic's API.
#[derive(Debug)]
pub(crate) struct Plan {
    http: reqwest::Client,
    base_url: url::BaseUrl,
    default_key: Option<SecretString>,
    ping: Duration,
}

/// A request as it goes to Plan.
#[derive(Debug)]
pub(crate) struct PlanRequest<'a> {
    pub(crate) method: Method,
    pub(crate) url: PlanUrl,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
    /// What is wanted of it.
    pub(crate) kind: RequestKind,
    /// Whether the deployment's own Plan key may be sent (requirement R1.6).
    pub(crate) default_key: DefaultKey,
    pub(crate) deadlines: RequestDeadlines,
}

/// Whether the deployment's own Plan key is sent for a client without a credential. Beyond messages, token
/// counting and the list of models the API shows what everybody keeps in the key's workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultKey {
    Allowed,
    Withheld,
}

impl From<Endpoint> for DefaultKey {
    fn from(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::Messages | Endpoint::CountTokens | Endpoint::ModelList => Self::Allowed,
            Endpoint::PlanOnly => Self::Withheld,
        }
    }
}

/// What is wanted of Plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    /// A message as an event stream. It is held back until there is content in it.
    StreamedMessage,
    /// Any other answer of the Messages API.
    Whole,
    /// Something that Spillway does not know. A stream passes as it comes.
    Unknown,
}

/// An answer of which the client has seen nothing yet.
#[derive(Debug)]
pub(crate) struct PlanAnswer {
    pub(crate) status: StatusCode,
    /// End-to-end headers only.
    pub(crate) headers: HeaderMap,
    pub(crate) body: PlanBody,
}

#[derive(Debug)]
pub(crate) enum PlanBody {
    /// All of it.
    Whole(Bytes),
    /// The beginning of an error's body, of which the rest did not arrive.
    Part(Bytes),
    /// A stream, of which the beginning may have been read.
    Streaming {
        opened: StreamOpened,
        held: Vec<Bytes>,
        rest: Rest,
    },
}

/// What a stream has come to.
#[derive(Debug)]
pub(crate) enum StreamOpened {
    /// Content, as far as one knows.
    Content,
    /// Nothing yet, and it is not held any longer.
    Pending,
    /// An error event, whose data this is.
    Error(Vec<u8>),
    /// Nothing: it ended, broke off or fell silent.
    Nothing,
}

/// What is to come of a stream.
#[derive(Debug)]
pub(crate) enum Rest {
    Open(reqwest::Response),
    /// It has ended in good order.
    Ended,
    /// It broke off, or is given up.
    Broken,
}

impl PlanAnswer {
    /// What is known of it, for the verdict.
    pub(crate) fn reply(&self) -> PlanReply<'_> {
        let opening = match &self.body {
            PlanBody::Whole(bytes) => Opening::Whole(bytes),
            PlanBody::Part(bytes) => Opening::Part(bytes),
            PlanBody::Streaming { opened, .. } => match opened {
                StreamOpened::Content => Opening::Content,
                StreamOpened::Pending => Opening::Pending,
                StreamOpened::Error(data) => Opening::ErrorEvent(data),
                StreamOpened::Nothing => Opening::Nothing,
            },
        };
        PlanReply {
            status: self.status,
            headers: &self.headers,
            opening,
        }
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
        deadlines: &Deadlines,
    ) -> Result<Self, StartError> {
        Ok(Self {
            http: http_client(deadlines)?,
            base_url: url::BaseUrl::parse(base_url).ok_or(StartError::PlanUrl)?,
            default_key,
            ping: deadlines.ping,
        })
    }

    /// The URL of a request with this path and query, from `/v1/` on.
    ///
    /// # Errors
    /// [`UnsendableUrl`] when Plan would not receive it byte for byte.
    pub(crate) fn url(&self, path_and_query: &str) -> Result<PlanUrl, UnsendableUrl> {
        self.base_url.join(path_and_query)
    }

    /// Sends the request once. An answer that is no event stream is read to its end first.
    pub(crate) async fn send(&self, request: PlanRequest<'_>) -> Result<PlanAnswer, PlanFailure> {
        let deadlines = request.deadlines;
        let mut headers = end_to_end_request_headers(request.headers);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if request.default_key == DefaultKey::Allowed {
            self.add_default_key(&mut headers);
        }
        let send = self
            .http
            .request(request.method, request.url.into_url())
            .headers(headers)
            .body(request.body)
            .send();
        let first_byte_by = match request.kind {
            RequestKind::StreamedMessage => deadlines.first_byte_of_plan,
            RequestKind::Whole | RequestKind::Unknown => deadlines.whole_answer,
        };
        let answer = timeout_at(first_byte_by, send)
            .await
            .map_err(|_| PlanFailure::Timeout)?
            .map_err(|error| failure(&error))?;
        let status = answer.status();
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            return Err(PlanFailure::Redirect);
        }
        let mut headers = end_to_end_response_headers(answer.headers());
        let body = match (is_event_stream(&headers), request.kind) {
            (true, RequestKind::Unknown) => PlanBody::Streaming {
                opened: StreamOpened::Content,
                held: Vec::new(),
                rest: Rest::Open(answer),
            },
            (true, _) if status.is_success() => {
                let until = Instant::now() + self.ping;
                hold(answer, first_byte_by, until).await
            }
            _ if status.as_u16() >= 400 => {
                let until = first_byte_by.min(Instant::now() + ERROR_BODY);
                error_body(answer, until).await
            }
            _ => whole(answer, deadlines.whole_answer).await?,
        };
        if matches!(body, PlanBody::Streaming { .. }) && is_event_stream(&headers) {
            // An `error` event may be added to it.
            headers.remove(CONTENT_LENGTH);
        }
        Ok(PlanAnswer {
            status,
            headers,
            body,
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

enum Complete {
    Yes,
    No,
}

/// Reads a body to its end by `until`, or as much of it as may be held.
async fn whole(mut answer: reqwest::Response, until: Instant) -> Result<PlanBody, PlanFailure> {
    let reading = read_up_to(&mut answer, HELD_BYTES);
    match timeout_at(until, reading).await {
        Err(_) => Err(PlanFailure::Timeout),
        Ok(Err(error)) => Err(failure(&error)),
        Ok(Ok((bytes, Complete::Yes))) => Ok(PlanBody::Whole(bytes)),
        Ok(Ok((bytes, Complete::No))) => Ok(PlanBody::Streaming {
            opened: StreamOpened::Content,
            held: vec![bytes],
            rest: Rest::Open(answer),
        }),
    }
}

/// Reads the body of an error, or as much of it as comes in time.
async fn error_body(mut answer: reqwest::Response, until: Instant) -> PlanBody {
    let mut read = BytesMut::new();
    loop {
        match timeout_at(until, answer.chunk()).await {
            Ok(Ok(Some(piece))) => {
                read.extend_from_slice(&piece);
                if read.len() >= HELD_BYTES {
                    return PlanBody::Streaming {
                        opened: StreamOpened::Content,
                        held: vec![read.freeze()],
                        rest: Rest::Open(answer),
                    };
                }
            }
            Ok(Ok(None)) => return PlanBody::Whole(read.freeze()),
            Ok(Err(_)) | Err(_) => return PlanBody::Part(read.freeze()),
        }
    }
}

/// Holds a stream back until it has opened, and lets it go at `let_go_at` even if it has not: the client
/// must not wait longer without a byte. After `until`, the first-byte deadline, it is given up. What was
/// read is kept as it came.
async fn hold(mut answer: reqwest::Response, until: Instant, let_go_at: Instant) -> PlanBody {
    let mut watch = StreamStartReader::default();
    let mut held = Vec::new();
    let (opened, rest) = loop {
        if let_go_at < until && Instant::now() >= let_go_at {
            break (StreamOpened::Pending, Rest::Open(answer));
        }
        let piece = match timeout_at(until.min(let_go_at), answer.chunk()).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => break (StreamOpened::Nothing, Rest::Ended),
            Err(_) if let_go_at < until => break (StreamOpened::Pending, Rest::Open(answer)),
            Ok(Err(_)) | Err(_) => break (StreamOpened::Nothing, Rest::Broken),
        };
        let opened = watch.push(&piece);
        held.push(piece);
        match opened {
            None => {}
            Some(StreamStart::Content | StreamStart::LimitReached) => {
                break (StreamOpened::Content, Rest::Open(answer));
            }
            Some(StreamStart::Error(data)) => {
                break (StreamOpened::Error(data), Rest::Open(answer));
            }
        }
    };
    PlanBody::Streaming { opened, held, rest }
}

async fn read_up_to(
    answer: &mut reqwest::Response,
    limit: usize,
) -> Result<(Bytes, Complete), reqwest::Error> {
    let mut read = BytesMut::new();
    while let Some(piece) = answer.chunk().await? {
        read.extend_from_slice(&piece);
        if read.len() >= limit {
            return Ok((read.freeze(), Complete::No));
        }
    }
    Ok((read.freeze(), Complete::Yes))
}

fn failure(error: &reqwest::Error) -> PlanFailure {
    // The error itself names the URL: it goes nowhere.
    if error.is_connect() {
        PlanFailure::Connect
    } else if error.is_timeout() {
        PlanFailure::Timeout
    } else {
        PlanFailure::Broken
    }
}

/// One HTTP client for the life of the process. It follows no redirect, because a credential goes to
/// the configured host only, retries nothing, and reads no proxy settings from the environment.
fn http_client(deadlines: &Deadlines) -> Result<reqwest::Client, StartError> {
    let roots: rustls::RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| StartError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .retry(reqwest::retry::never())
        .connect_timeout(deadlines.connect)
        .pool_idle_timeout(deadlines.pool_idle)
        .tcp_keepalive(TCP_KEEPALIVE)
        .tcp_nodelay(true)
        .build()
        .map_err(|_| StartError::Http)
}

#[cfg(test)]
mod tests {
    use super::headers::tests::{headers, names};
    use super::*;
    use crate::route::Route;

    #[test]
    fn the_default_plan_key_serves_only_clients_without_a_credential() {
        let plan = |key: Option<&str>| {
            let url = "http://127.0.0.1";
            Plan::new(url, key.map(SecretString::from), &Deadlines::default()).unwrap()
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

    #[test]
    fn the_default_plan_key_is_withheld_from_what_others_keep_in_its_workspace() {
        for (method, path, expected) in [
            (Method::POST, "/v1/messages", DefaultKey::Allowed),
            (
                Method::POST,
                "/v1/messages/count_tokens",
                DefaultKey::Allowed,
            ),
            (Method::GET, "/v1/models", DefaultKey::Allowed),
            (Method::GET, "/v1/files", DefaultKey::Withheld),
            (
                Method::GET,
                "/v1/files/file_1/content",
                DefaultKey::Withheld,
            ),
            (Method::DELETE, "/v1/files/file_1", DefaultKey::Withheld),
            (Method::GET, "/v1/messages", DefaultKey::Withheld),
            (Method::POST, "/v1/messages/batches", DefaultKey::Withheld),
            (
                Method::GET,
                "/v1/messages/batches/b/results",
                DefaultKey::Withheld,
            ),
            (Method::POST, "/v1/models", DefaultKey::Withheld),
        ] {
            let path = format!("/ak/K{path}");
            let headers = HeaderMap::new();
            let Route::Api { endpoint, .. } = Route::of(&method, &path, &headers) else {
                panic!("{path}")
            };
            assert_eq!(DefaultKey::from(endpoint), expected, "{method} {path}");
        }
    }
}
