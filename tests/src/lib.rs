//! What end-to-end tests use: a sandbox of Spillway with one user and one key, the outside judges' folders,
//! and HTTP responses as a client receives them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed, and names the place"
)]

mod answer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use admin::{BreakerView, Command, IssuedKey, NewUser, Outcome, Settings};
use domain::breaker::{BreakerState, Circuit};
use domain::time::Timestamp;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use simulators::bedrock::{AcceptedKeys, BedrockOptions};
use simulators::{Simulator, Step};
use spillway::local_stack::LocalStack;
use spillway::sandbox::{self, Sandbox, SandboxOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use answer::Answer;

/// The Bedrock API key that is bound to the access key of every [`World`].
pub const BEDROCK_KEY: &str = "ABSKc3RvcnktYXQtMDAwMDAwMDAwMDAwOnRoZS1zdG9yeXMtb3duLWtleQ==";

/// The credential that the tests' client sends to Plan.
pub const CLIENT_CREDENTIAL: &str = sandbox::PLAN_CREDENTIAL;

/// The message of the clock's panic.
pub const PANIC_TEXT: &str = "a text of a panic, with the content of a request";

/// The time at the start of a test, in milliseconds since the Unix epoch.
pub const START_MS: i64 = 1_795_000_000_000;

/// The time between two events of a simulator, so that each is sent by itself.
const PACE: Duration = Duration::from_millis(2);

/// A sandbox with one user and one access key.
#[derive(Debug)]
pub struct World {
    /// The functions and the AWS of one machine.
    pub stack: LocalStack,
    /// The simulated plan.
    pub plan: Simulator,
    /// The simulated Bedrock Runtime.
    pub bedrock: Simulator,
    /// Spillway's address, `http://127.0.0.1:PORT`.
    pub base_url: String,
    /// The access key of the one user.
    pub key: IssuedKey,
    sandbox: Sandbox,
    /// The number of clock readings until one panics; at zero and below none does.
    panics_in: Arc<AtomicI64>,
    serving: JoinSet<()>,
}

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// A folder below `SPILLWAY_JUDGE_DIR`, which the outside judges read; `None` without judges.
fn judged(kind: &str) -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the judges' folder is the tests' own setting"
    )]
    let root = std::env::var_os("SPILLWAY_JUDGE_DIR")?;
    let world = format!(
        "{}-{}",
        std::process::id(),
        WORLDS.fetch_add(1, Ordering::Relaxed)
    );
    Some(PathBuf::from(root).join(kind).join(world))
}

/// A world with the default settings.
pub async fn world() -> World {
    World::with(|_| {}).await
}

impl World {
    /// A world whose settings are changed first.
    pub async fn with(change: impl FnOnce(&mut proxy::config::Settings)) -> Self {
        Self::at_pace(PACE, change).await
    }

    /// A world whose simulators send all of a stream at once, for many short answers.
    pub async fn without_pace(change: impl FnOnce(&mut proxy::config::Settings)) -> Self {
        Self::at_pace(Duration::ZERO, change).await
    }

    async fn at_pace(pace: Duration, change: impl FnOnce(&mut proxy::config::Settings)) -> Self {
        let panics_in = Arc::new(AtomicI64::new(0));
        let readings_left = Arc::clone(&panics_in);
        let options = SandboxOptions {
            pace,
            bedrock: BedrockOptions {
                accepts: AcceptedKeys::Only([BEDROCK_KEY.to_owned()].into()),
                dump_dir: judged("bedrock"),
                ..BedrockOptions::default()
            },
            start: Some(Timestamp::from_millis(START_MS)),
            before_clock_reading: Some(Arc::new(move || {
                let is_last = readings_left.fetch_sub(1, Ordering::Relaxed) == 1;
                assert!(!is_last, "{PANIC_TEXT}");
            })),
            ..SandboxOptions::default()
        };
        let sandbox = Sandbox::start(options, change).await.unwrap();
        let user = NewUser {
            name: "story".to_owned(),
            ..NewUser::default()
        };
        Self {
            stack: sandbox.stack.clone(),
            plan: sandbox.plan.clone(),
            bedrock: sandbox.bedrock.clone(),
            base_url: sandbox.base_url(0).to_owned(),
            key: sandbox.issue_key(user, Some(BEDROCK_KEY)).await.unwrap(),
            sandbox,
            panics_in,
            serving: JoinSet::new(),
        }
    }

    /// A world whose plan answers every request with 429.
    pub async fn with_no_plan_left() -> Self {
        let exhausted = axum::Router::new().fallback(async || http::StatusCode::TOO_MANY_REQUESTS);
        let mut serving = JoinSet::new();
        let plan_url = sandbox::serve_router(&mut serving, exhausted).await;
        let plan_url = plan_url.unwrap();
        let mut world = Self::with(|settings| settings.plan_url = plan_url).await;
        world.serving = serving;
        world
    }

    /// Runs an admin's command.
    pub async fn command(&self, command: Command) -> Outcome {
        self.sandbox.command(command, None).await.unwrap()
    }

    /// Binds a Bedrock API key to the world's access key.
    pub async fn bind(&self, bedrock_key: &str) {
        let set = Command::SetBedrockKey {
            key_id: self.key.key_id.clone(),
            region: None,
        };
        self.sandbox.command(set, Some(bedrock_key)).await.unwrap();
    }

    /// Creates a user with these settings, and a key that is bound to [`BEDROCK_KEY`].
    pub async fn key_of(&self, settings: Settings) -> IssuedKey {
        let user = NewUser {
            name: "another".to_owned(),
            settings,
            ..NewUser::default()
        };
        let key = self.sandbox.issue_key(user, Some(BEDROCK_KEY)).await;
        key.unwrap()
    }

    /// Issues a second key to the world's user, without a Bedrock key.
    pub async fn key_without_bedrock(&self) -> IssuedKey {
        let user_id = self.key.user_id.clone();
        self.sandbox.issue_another_key(user_id).await.unwrap()
    }

    /// The breakers of the world's access key.
    pub async fn breakers(&self) -> Vec<BreakerView> {
        self.breakers_of(&self.key).await
    }

    /// The breakers of any access key.
    pub async fn breakers_of(&self, key: &IssuedKey) -> Vec<BreakerView> {
        let key_id = Some(key.key_id.clone());
        let shown = self.command(Command::ShowBreakers { key_id }).await;
        let Outcome::Breakers { breakers, .. } = shown else {
            panic!()
        };
        breakers
    }

    /// The state of the breaker that guards the plan of the world's access key.
    pub async fn breaker(&self) -> BreakerState {
        let breakers = self.breakers().await.into_iter();
        let mut of_key = breakers.filter(|breaker| breaker.circuit == Circuit::Key);
        of_key.next().map_or(BreakerState::CLOSED, |it| it.state)
    }

    /// Spillway's time.
    pub fn now(&self) -> Timestamp {
        self.sandbox.now()
    }

    /// Plan's response that its limit is reached for so long, in Spillway's time. The simulators would use
    /// the system's clock.
    pub fn limit_for(&self, after: Duration) -> Step {
        let reset = self.now().plus(after).as_millis() / 1000;
        let unified = |name: &str| format!("anthropic-ratelimit-unified-{name}");
        let headers = [
            (unified("status"), "rejected".to_owned()),
            (unified("5h-status"), "rejected".to_owned()),
            (unified("5h-reset"), reset.to_string()),
            (unified("reset"), reset.to_string()),
            ("retry-after".to_owned(), after.as_secs().to_string()),
        ];
        Step::Error {
            status: 429,
            kind: "rate_limit_error".to_owned(),
            message: "This request would exceed your account's rate limit.".to_owned(),
            headers: headers.into(),
        }
    }

    /// Opens the breaker of the world's access key with one request, to which Plan responds that its limit is
    /// reached for so long.
    pub async fn open_breaker(&self, after: Duration) {
        self.plan.script([self.limit_for(after)]);
        self.upstream().await;
    }

    /// Revokes the world's access key.
    pub async fn revoke_key(&self) {
        let key_id = self.key.key_id.clone();
        self.command(Command::RevokeKey { key_id }).await;
    }

    /// Makes the nth reading of Spillway's clock panic, counted from now. Later readings work again.
    pub fn panic_at_clock_reading(&self, nth: i64) {
        self.panics_in.store(nth, Ordering::Relaxed);
    }

    /// Moves Spillway's clock forward.
    pub fn pass(&self, duration: Duration) {
        self.sandbox.advance(duration);
    }

    /// Makes Plan respond to the next requests that its limit is reached.
    pub fn exhaust_plan(&self, requests: usize) {
        let limit = Step::UsageLimit {
            window: simulators::Window::FiveHour,
            reset_after_s: 1800,
        };
        self.plan.script(std::iter::repeat_n(limit, requests));
    }

    /// A request under the world's access key, with a client's usual headers.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_as(&self.key.access_key, method, path)
    }

    /// A request under any access key.
    pub fn request_as(&self, access_key: &str, method: Method, path: &str) -> RequestBuilder {
        self.sandbox.request(0, access_key, method, path)
    }

    /// A request without any of Spillway's or Anthropic's headers.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base_url);
        self.sandbox.http().request(method, url)
    }

    /// Sends a streamed message, and returns the header `x-spillway-upstream`.
    pub async fn upstream(&self) -> String {
        let answer = self.ask(&message("hello", Streaming::Yes)).await;
        answer.header("x-spillway-upstream").to_owned()
    }

    /// Like [`World::upstream`], under any access key and as part of a conversation.
    pub async fn upstream_as(&self, key: &IssuedKey, session_id: &str) -> String {
        let request = self
            .request_as(&key.access_key, Method::POST, "/v1/messages")
            .header("x-claude-code-session-id", session_id)
            .body(message("hello", Streaming::Yes).to_string());
        let answer = read(request).await;
        answer.header("x-spillway-upstream").to_owned()
    }

    /// Sends a message and reads the full response.
    pub async fn ask(&self, body: &Value) -> Answer {
        read(
            self.request(Method::POST, "/v1/messages?beta=true")
                .body(body.to_string()),
        )
        .await
    }
}

/// A request of the Messages API with this text.
pub fn message(text: &str, streaming: Streaming) -> Value {
    json!({
        "model": "claude-opus-5-5",
        "max_tokens": 1024,
        "stream": streaming == Streaming::Yes,
        "messages": [{"role": "user", "content": text}],
    })
}

/// Whether a response is requested as an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// `stream: true`.
    Yes,
    /// `stream: false`.
    No,
}

/// Sends a request and reads the full response.
pub async fn read_unjudged(request: RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.bytes().await.expect("the answer is whole").to_vec(),
    }
}

/// Sends a request, reads the full response, and stores it for the outside judges.
pub async fn read(request: RequestBuilder) -> Answer {
    read_after(request, |_| true, || {}).await
}

/// Like [`read`], and calls `then` once what has come of the body fulfils `reached`.
pub async fn read_after(
    request: RequestBuilder,
    reached: impl Fn(&[u8]) -> bool,
    then: impl FnOnce(),
) -> Answer {
    let mut streamed = request.send().await.unwrap();
    let (status, headers) = (streamed.status().as_u16(), streamed.headers().clone());
    let mut body = Vec::new();
    let mut then = Some(then);
    loop {
        if reached(&body)
            && let Some(then) = then.take()
        {
            then();
        }
        match streamed.chunk().await.expect("the answer is whole") {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => break,
        }
    }
    let answer = Answer {
        status,
        headers,
        body,
    };
    assert!(then.is_none(), "{}", answer.text());
    let Answer {
        status,
        headers,
        body,
    } = &answer;
    // Responses that Spillway wrote, and streams of Plan that are a message.
    let upstream = headers
        .get("x-spillway-upstream")
        .map(http::HeaderValue::as_bytes);
    let is_ours = upstream.is_some_and(|upstream| upstream.starts_with(b"bedrock"));
    let is_stream = headers
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if is_stream && (is_ours || body.starts_with(b"event: message_start\ndata: ")) {
        keep_for_judges(body, "answer.sse");
    } else if *status == 200 && is_ours && is_message(body) {
        keep_for_judges(body, "answer.message");
    }
    answer
}

/// Whether a body is a complete message.
fn is_message(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|body| body["type"] == "message")
}

fn keep_for_judges(answer: &[u8], name: &str) {
    if let Some(folder) = judged("sse") {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), answer).unwrap();
    }
}

/// A plain HTTP client, for loopback.
pub fn client() -> reqwest::Client {
    sandbox::http_client().unwrap()
}

/// A listener on a free port of the loopback interface.
pub async fn loopback() -> TcpListener {
    sandbox::loopback().await.unwrap()
}

/// What a [`raw_plan`] does after sending its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It closes the connection.
    Closes,
    /// It sends nothing more.
    IsSilent,
}

/// Serves a Plan that answers every request with these bytes. Returns its address and its task.
pub async fn raw_plan(bytes: Vec<u8>, afterwards: Afterwards) -> (String, JoinSet<()>) {
    let listener = loopback().await;
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 16 * 1024];
            assert_ne!(stream.read(&mut request).await.unwrap(), 0);
            stream.write_all(&bytes).await.unwrap();
            if afterwards == Afterwards::IsSilent {
                open.push(stream);
            }
        }
    });
    (url, serving)
}
