//! The instances of a fleet, and the two upstreams behind them.
//!
//! The table is in memory, or, with `SPILLWAY_TEST_DYNAMODB_URL`, in the DynamoDB at that address.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use admin::{IssuedKey, NewUser};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use domain::breaker::{BreakerState, Circuit};
use domain::time::Timestamp;
use http::Response;
use http::header::TRANSFER_ENCODING;
use local::LocalAws;
use reqwest::{Method, RequestBuilder};
use ring::rand::{SecureRandom as _, SystemRandom};
use service::aws::{Aws, AwsSettings};
use simulators::{Simulator, Step, Window};
use spillway::sandbox::{Sandbox, SandboxOptions};
use store::breakers::{BreakerKey, StoredBreaker, Swap};
use store::layout;
use store::table::AccessTable;
use tests::{Answer, BEDROCK_KEY, START_MS, Streaming, client, loopback, message, read};
use tokio::sync::{Barrier, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(super) const WORKERS: usize = 60;

/// The maximum difference of a clock from the sandbox's time. One clock is as slow, and one as fast.
pub(super) const SKEW: Duration = Duration::from_secs(20);

/// The maximum time for which an instance caches a closed breaker.
pub(super) const CACHE_BOUND: Duration = Duration::from_secs(5);

/// The length of a probe's lease.
pub(super) const LEASE: Duration = Duration::from_mins(1);

/// The time until a limit's reset in these tests.
pub(super) const HALF_AN_HOUR: Duration = Duration::from_mins(30);

/// The timeout of each wait in a test.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The prefix of the headers about a plan's limits.
const UNIFIED: &str = "anthropic-ratelimit-unified";

pub(super) const OPUS: &str = "claude-opus-5-5";
pub(super) const SONNET: &str = "claude-sonnet-5-5";

/// Whether requests to Plan pass or wait.
#[derive(Clone, Copy)]
pub(super) enum GateState {
    Open,
    Closed,
}

/// Releases a request that waits for Plan.
pub(super) type HeldRequest = oneshot::Sender<()>;

/// Counts the requests to Plan. While it is closed, each waits until it is released.
struct RequestGate {
    requests: AtomicUsize,
    is_closed: AtomicBool,
    held: mpsc::UnboundedSender<HeldRequest>,
}

pub(super) struct Fleet {
    pub(super) plan: Simulator,
    gate: Arc<RequestGate>,
    held: mpsc::UnboundedReceiver<HeldRequest>,
    table: AccessTable,
    key: IssuedKey,
    sandbox: Sandbox,
    _running: JoinSet<()>,
}

impl Fleet {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut proxy::config::Settings)) -> Self {
        let mut running = JoinSet::new();
        let (held_sender, held) = mpsc::unbounded_channel();
        let gate = Arc::new(RequestGate {
            requests: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            held: held_sender,
        });
        let listener = loopback().await;
        let gate_url = format!("http://{}", listener.local_addr().unwrap());
        let options = SandboxOptions {
            access: external_table().await,
            clock_offsets_ms: (0..WORKERS).map(skew_ms).collect(),
            start: Some(Timestamp::from_millis(START_MS)),
            ..SandboxOptions::default()
        };
        let sandbox = Sandbox::start(options, |settings| {
            settings.plan_url = gate_url;
            // A busy machine is not a slow table.
            settings.deadlines.store = TIMEOUT;
            change(settings);
        });
        let sandbox = sandbox.await.unwrap();
        let router = gate_router(&sandbox.plan, &gate);
        running.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let user = NewUser {
            name: "fleet".to_owned(),
            ..NewUser::default()
        };
        Self {
            plan: sandbox.plan.clone(),
            gate,
            held,
            table: sandbox.stack.access().clone(),
            key: sandbox.issue_key(user, Some(BEDROCK_KEY)).await.unwrap(),
            sandbox,
            _running: running,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.sandbox.now()
    }

    pub(super) fn set(&self, now: Timestamp) {
        self.sandbox.set_time(now);
    }

    pub(super) fn pass(&self, duration: Duration) {
        self.sandbox.advance(duration);
    }

    /// Sets the time so that even the slowest clock has reached `moment`.
    pub(super) fn all_clocks_reach(&self, moment: Timestamp) {
        self.set(moment.plus(SKEW));
    }

    /// The number of requests to Plan.
    pub(super) fn plan_requests(&self) -> usize {
        self.gate.requests.load(Ordering::SeqCst)
    }

    /// Makes Plan respond to the next request that its limit is reached.
    pub(super) fn limit(&self, window: Window, reset: Timestamp) {
        let short = match window {
            Window::SevenDayOpus => "7d_opus",
            _ => "5h",
        };
        let reset_s = (reset.as_millis() / 1000).to_string();
        let names = [
            format!("{UNIFIED}-{short}-reset"),
            format!("{UNIFIED}-reset"),
        ];
        self.plan.script([Step::Headers {
            headers: names.map(|name| (name, reset_s.clone())).into(),
            then: Box::new(Step::UsageLimit {
                window,
                reset_after_s: HALF_AN_HOUR.as_secs(),
            }),
        }]);
    }

    pub(super) fn close_gate(&self) {
        self.gate.is_closed.store(true, Ordering::SeqCst);
    }

    fn open_gate(&self) {
        self.gate.is_closed.store(false, Ordering::SeqCst);
    }

    /// Opens the breaker with a limit of one instance, and waits until all instances read it.
    pub(super) async fn open_breaker(&self) {
        self.all_send(OPUS).await;
        self.limit(Window::FiveHour, self.now().plus(HALF_AN_HOUR));
        self.send(0, OPUS).await;
        self.pass(CACHE_BOUND);
        let before = self.plan_requests();
        assert!(self.all_send(OPUS).await.iter().all(is_from_bedrock));
        assert_eq!(self.plan_requests(), before);
    }

    pub(super) async fn breakers(&self) -> Vec<StoredBreaker> {
        let key = self.table.key(&self.key.key_id).await.unwrap().unwrap();
        key.breakers
    }

    /// The stored breaker of the key.
    pub(super) async fn breaker(&self) -> StoredBreaker {
        let breakers = self.breakers().await.into_iter();
        let mut of_key = breakers.filter(|breaker| *breaker.key.circuit() == Circuit::Key);
        of_key
            .next()
            .expect("the breaker of the key was never written")
    }

    /// The stored breaker of the deployment.
    pub(super) async fn breaker_of_deployment(&self) -> StoredBreaker {
        let place = BreakerKey::deployment();
        self.table.breaker(&place).await.unwrap()
    }

    /// Resets the breaker of the deployment, as an admin does.
    pub(super) async fn reset_deployment(&self) {
        let breaker = self.breaker_of_deployment().await;
        let swapped = self.table.swap_breaker(&breaker, BreakerState::CLOSED);
        assert!(matches!(swapped.await.unwrap(), Swap::Won(_)));
    }

    fn request(&self, worker: usize, model: &str) -> RequestBuilder {
        let mut body = message("hello", Streaming::Yes);
        body["model"] = model.into();
        let key = &self.key.access_key;
        let request = self
            .sandbox
            .request(worker, key, Method::POST, "/v1/messages");
        request.body(body.to_string())
    }

    /// Sends a request to one instance.
    pub(super) async fn send(&self, worker: usize, model: &str) -> Answer {
        read(self.request(worker, model)).await
    }

    /// Sends a request to all instances at the same time.
    pub(super) fn start_all(&self, model: &str) -> JoinSet<Answer> {
        self.start_some(0..WORKERS, model)
    }

    /// Sends a request to these instances at the same time.
    pub(super) fn start_some(&self, workers: Range<usize>, model: &str) -> JoinSet<Answer> {
        let together = Arc::new(Barrier::new(workers.len()));
        let mut requests = JoinSet::new();
        for worker in workers {
            let (request, together) = (self.request(worker, model), Arc::clone(&together));
            requests.spawn(async move {
                together.wait().await;
                read(request).await
            });
        }
        requests
    }

    pub(super) async fn all_send(&self, model: &str) -> Vec<Answer> {
        finished(&mut self.start_all(model), WORKERS).await
    }

    /// Like [`Fleet::all_send`]; with a closed gate, the one request that waits there is released after all
    /// other responses.
    pub(super) async fn all_send_through(&mut self, gate: GateState) -> Vec<Answer> {
        if let GateState::Open = gate {
            return self.all_send(OPUS).await;
        }
        self.close_gate();
        let mut requests = self.start_all(OPUS);
        let held = self.next_held_request().await;
        let mut answers = finished(&mut requests, WORKERS - 1).await;
        self.open_gate();
        held.send(()).unwrap();
        answers.extend(finished(&mut requests, 1).await);
        answers
    }

    /// Sends a request to all instances; all wait for Plan, and then all fail.
    pub(super) async fn fail_all_at_once(&mut self) -> Vec<Answer> {
        self.close_gate();
        let failures = std::iter::repeat_n(Step::Overloaded, WORKERS);
        self.plan.script(failures);
        let mut requests = self.start_all(OPUS);
        let mut held = Vec::new();
        for _ in 0..WORKERS {
            held.push(self.next_held_request().await);
        }
        self.open_gate();
        for held in held {
            held.send(()).unwrap();
        }
        finished(&mut requests, WORKERS).await
    }

    /// Sends a request to each of the first instances, which all wait for Plan.
    pub(super) async fn hold_some(
        &mut self,
        workers: usize,
    ) -> (JoinSet<Answer>, Vec<HeldRequest>) {
        self.close_gate();
        let requests = self.start_some(0..workers, OPUS);
        let mut held = Vec::new();
        for _ in 0..workers {
            held.push(self.next_held_request().await);
        }
        (requests, held)
    }

    pub(super) async fn next_held_request(&mut self) -> HeldRequest {
        let held = timeout(TIMEOUT, self.held.recv()).await;
        held.expect("no request waits for Plan").unwrap()
    }
}

/// The first `count` responses.
pub(super) async fn finished(requests: &mut JoinSet<Answer>, count: usize) -> Vec<Answer> {
    let mut answers = Vec::new();
    while answers.len() < count {
        let next = timeout(TIMEOUT, requests.join_next()).await;
        let answer = next.expect("the response timed out").unwrap().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answers.push(answer);
    }
    answers
}

pub(super) fn upstream(answer: &Answer) -> &str {
    answer.header("x-spillway-upstream")
}

pub(super) fn is_from_plan(answer: &Answer) -> bool {
    upstream(answer) == "plan; reason=good"
}

pub(super) fn is_from_bedrock(answer: &Answer) -> bool {
    upstream(answer).starts_with("bedrock; ")
}

pub(super) fn open_until(breaker: &StoredBreaker) -> Timestamp {
    match breaker.state {
        BreakerState::Open { until, .. } => until,
        BreakerState::Closed { .. } | BreakerState::HalfOpen { .. } => panic!("{breaker:?}"),
    }
}

/// The ids of the requests whose failures a closed breaker has counted.
pub(super) fn counted(breaker: &StoredBreaker) -> BTreeSet<String> {
    let BreakerState::Closed { failures } = &breaker.state else {
        panic!("{breaker:?}");
    };
    failures
        .iter()
        .map(|failure| failure.request.to_string())
        .collect()
}

fn skew_ms(worker: usize) -> i64 {
    let (worker, last) = (
        i64::try_from(worker).unwrap(),
        i64::try_from(WORKERS - 1).unwrap(),
    );
    let most = i64::try_from(SKEW.as_millis()).unwrap();
    2 * most * worker / last - most
}

/// Forwards requests to Plan through the gate.
fn gate_router(plan: &Simulator, gate: &Arc<RequestGate>) -> axum::Router {
    let (url, http, gate) = (plan.url(), client(), Arc::clone(gate));
    axum::Router::new().fallback(move |request: Request| {
        let (url, http, gate) = (url.clone(), http.clone(), Arc::clone(&gate));
        async move {
            gate.requests.fetch_add(1, Ordering::SeqCst);
            if gate.is_closed.load(Ordering::SeqCst) {
                let (held, released) = oneshot::channel();
                gate.held.send(held).unwrap();
                released.await.unwrap();
            }
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let sent = http
                .request(head.method, format!("{url}{}", head.uri))
                .headers(head.headers)
                .body(body);
            let answer = sent.send().await.unwrap();
            let (status, mut headers) = (answer.status(), answer.headers().clone());
            headers.remove(TRANSFER_ENCODING);
            let mut response = Response::new(Body::from(answer.bytes().await.unwrap()));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
    })
}

/// A fresh table in the DynamoDB at `SPILLWAY_TEST_DYNAMODB_URL`, if that is set.
async fn external_table() -> Option<AccessTable> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests read the address of the table"
    )]
    let url = std::env::var("SPILLWAY_TEST_DYNAMODB_URL").ok()?;
    let region = "eu-central-1".to_owned();
    let there = Aws::new(AwsSettings {
        region,
        credentials: LocalAws::credentials(),
        endpoint_url: Some(url),
    });
    let dynamodb = there.unwrap().dynamodb();
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).unwrap();
    let name = random.iter().fold("fleet-".to_owned(), |mut name, byte| {
        write!(name, "{byte:02x}").unwrap();
        name
    });
    layout::create(&dynamodb, &layout::ACCESS, &name)
        .await
        .unwrap();
    Some(AccessTable::new(dynamodb, name))
}
