//! The HTTP server of both simulators: it records requests, passes them to the service, and sends the replies
//! with their breaks and pauses. It logs neither headers nor bodies.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, ORIGIN};
use http::{Method, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::delivery::{Action, Reply};
use super::journal::{Journal, ReceivedRequest};
use super::script::{Step, StepQueue};
use super::service::{Request, Service};
use crate::lock::lock;

/// The maximum size of a request body: above the limits of both services.
const BODY_LIMIT: usize = 64 << 20;

/// The time for written bytes to be sent before a connection is broken.
const UNTIL_WRITTEN: Duration = Duration::from_millis(10);

/// A handle of a running simulator. All clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    service: Box<dyn Service>,
    script: StepQueue,
    journal: Mutex<Journal>,
    /// Whether held replies may be sent.
    released: watch::Sender<bool>,
}

impl Simulator {
    /// `http://ADDRESS`, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// Adds steps to the end of the script. Each applies to one request for a message (`/v1/messages`, Converse,
    /// `InvokeModel` and their streams).
    pub fn script(&self, steps: impl IntoIterator<Item = Step>) {
        let steps: Vec<Step> = steps.into_iter().collect();
        if steps.iter().any(|step| matches!(step, Step::Held { .. })) {
            self.shared.released.send_replace(false);
        }
        self.shared.script.extend(steps);
    }

    /// Releases every [`Step::Held`] that was scripted so far, also those without a request so far.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// The requests since the start or the last reset, the newest last, without those to the control endpoints.
    /// The last 1000 are kept.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        lock(&self.shared.journal).requests()
    }

    /// Clears the script, the requests, the usage windows and the prompt cache.
    pub fn reset(&self) {
        self.shared.script.clear();
        lock(&self.shared.journal).clear();
        self.shared.service.reset();
    }
}

pub(super) fn serve(
    listener: TcpListener,
    service: Box<dyn Service>,
) -> io::Result<(Simulator, impl Future<Output = ()> + Send + use<>)> {
    let shared = Arc::new(Shared {
        address: listener.local_addr()?,
        service,
        script: StepQueue::default(),
        journal: Mutex::default(),
        released: watch::Sender::new(true),
    });
    let simulator = Simulator {
        shared: Arc::clone(&shared),
    };
    Ok((simulator, run(listener, shared)))
}

async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(connection(socket, Arc::clone(&shared)));
                }
                // Probably out of file handles: wait until other connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
}

async fn connection(socket: TcpStream, shared: Arc<Shared>) {
    // Each event is sent by itself, as by the real services.
    let _ = socket.set_nodelay(true);
    let service = service_fn(|request| answer(Arc::clone(&shared), request));
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

/// Waits until held replies may be sent.
async fn released(shared: &Shared) {
    let mut released = shared.released.subscribe();
    let _ = released.wait_for(|released| *released).await;
}

/// A deliberate break of the connection.
#[derive(Debug, thiserror::Error)]
#[error("the simulator broke the connection")]
struct ConnectionBroken;

type Answer = Response<UnsyncBoxBody<Bytes, ConnectionBroken>>;

async fn answer(
    shared: Arc<Shared>,
    request: http::Request<Incoming>,
) -> Result<Answer, ConnectionBroken> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return Ok(full_response(
            413,
            "text/plain",
            "the simulator takes bodies of up to 64 MiB",
        ));
    };
    let path = parts.uri.path().to_owned();
    let request = Request {
        method: parts.method,
        path,
        headers: parts.headers,
        body: body.to_bytes(),
        now_ms: u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0),
    };
    if let Some(endpoint) = request.path.strip_prefix("/_simulator/") {
        return Ok(control(&shared, endpoint, &request));
    }
    let target = parts
        .uri
        .path_and_query()
        .map_or(request.path.as_str(), |target| target.as_str());
    let index = lock(&shared.journal).add(ReceivedRequest::from_request(&request, target));
    let reply = shared.service.answer(&request, &shared.script);
    send(&shared, index, reply).await
}

async fn send(shared: &Shared, index: u64, reply: Reply) -> Result<Answer, ConnectionBroken> {
    for action in reply.opening {
        match action {
            Action::Pause(duration) => tokio::time::sleep(duration).await,
            Action::AwaitRelease => released(shared).await,
            Action::Hang => std::future::pending().await,
            Action::Cut => return Err(ConnectionBroken),
            Action::Send(_) => {}
        }
    }
    lock(&shared.journal).set_status(index, reply.status);
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, latin_1(value));
    }
    if let [Action::Send(bytes)] = reply.body.as_slice()
        && !reply
            .headers
            .iter()
            .any(|(name, _)| name == "transfer-encoding")
        && response
            .headers_ref()
            .is_some_and(|headers| !is_stream(headers))
    {
        let body = Full::new(bytes.clone())
            .map_err(|never| match never {})
            .boxed_unsync();
        return response.body(body).map_err(|_| ConnectionBroken);
    }
    let parts = stream::unfold(VecDeque::from(reply.body), next_part);
    response
        .body(StreamBody::new(parts).boxed_unsync())
        .map_err(|_| ConnectionBroken)
}

/// A header's value as Latin-1 bytes, as the journal reads them.
fn latin_1(value: &str) -> Vec<u8> {
    let byte = |c: char| u8::try_from(u32::from(c)).unwrap_or(b'?');
    value.chars().map(byte).collect()
}

fn is_stream(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok());
    content_type.is_some_and(|kind| kind.contains("event"))
}

type Part = Result<Frame<Bytes>, ConnectionBroken>;

async fn next_part(mut actions: VecDeque<Action>) -> Option<(Part, VecDeque<Action>)> {
    // hyper writes to the socket while it waits for more. Thus each part is sent by itself, and before a break.
    tokio::task::yield_now().await;
    loop {
        match actions.pop_front() {
            Some(Action::Send(bytes)) if bytes.is_empty() => {}
            Some(Action::Send(bytes)) => return Some((Ok(Frame::data(bytes)), actions)),
            Some(Action::Pause(duration)) => tokio::time::sleep(duration).await,
            // Only an opening waits.
            Some(Action::AwaitRelease) => {}
            Some(Action::Hang) => std::future::pending().await,
            Some(Action::Cut) => {
                // A failing body discards the unwritten bytes of the connection.
                tokio::time::sleep(UNTIL_WRITTEN).await;
                return Some((Err(ConnectionBroken), VecDeque::new()));
            }
            None => return None,
        }
    }
}

fn control(shared: &Arc<Shared>, endpoint: &str, request: &Request) -> Answer {
    if !is_local(&request.headers) {
        return full_response(403, "text/plain", "for programs on this machine only");
    }
    let simulator = Simulator {
        shared: Arc::clone(shared),
    };
    match (&request.method, endpoint) {
        (&Method::GET, "requests") => {
            let requests: Vec<_> = simulator
                .requests()
                .iter()
                .map(ReceivedRequest::to_redacted_json)
                .collect();
            json_answer(200, &json!({ "requests": requests }))
        }
        (&Method::POST, "script") => match serde_json::from_slice::<Vec<Step>>(&request.body) {
            Ok(steps) => {
                simulator.script(steps);
                json_answer(200, &json!({}))
            }
            Err(error) => json_answer(400, &json!({ "error": error.to_string() })),
        },
        (&Method::POST, "reset") => {
            simulator.reset();
            json_answer(200, &json!({}))
        }
        _ => json_answer(
            404,
            &json!({ "error": "no such endpoint of the simulator" }),
        ),
    }
}

/// Whether a request comes from a program on this machine. A web page sends an `Origin`, or, with DNS
/// rebinding, the `Host` of its own site.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_loopback());
    !headers.contains_key(ORIGIN) && (loopback || name == "localhost")
}

fn json_answer(status: u16, body: &Value) -> Answer {
    full_response(status, "application/json", &body.to_string())
}

fn full_response(status: u16, content_type: &str, body: &str) -> Answer {
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let length = bytes.len();
    let body = Full::new(bytes)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    if let Ok(content_type) = content_type.parse() {
        headers.insert("content-type", content_type);
    }
    answer
}
