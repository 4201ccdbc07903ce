//! A defect of Spillway and a large request do not affect other requests.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tests::{PANIC_TEXT, Streaming, World, message, read, world};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::fmt::MakeWriter;

/// Called with each log line.
#[derive(Clone)]
struct OnLine(Arc<dyn Fn(&str) + Send + Sync>);

impl Write for OnLine {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        (self.0)(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for OnLine {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// A runtime with one worker thread, whose log lines are passed to `on_line`.
fn one_worker(on_line: impl Fn(&str) + Send + Sync + 'static) -> Runtime {
    let on_line = OnLine(Arc::new(on_line));
    let start = move || {
        let log = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(on_line.clone())
            .finish();
        // The subscriber of this thread, until the thread ends.
        std::mem::forget(tracing_subscriber::util::SubscriberInitExt::set_default(
            log,
        ));
    };
    Builder::new_multi_thread()
        .worker_threads(1)
        .on_thread_start(start)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn panic_is_a_500_in_anthropics_envelope_and_is_logged() {
    let log = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&log);
    let runtime = one_worker(move |line| {
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(line);
    });
    let id = runtime.block_on(async {
        let world = world().await;
        // The first clock reading starts the request log.
        world.panic_at_clock_reading(2);
        let answer = world.ask(&message("hello", Streaming::Yes)).await;
        assert_eq!(answer.status, 500);
        let body = answer.json();
        assert_eq!(body["type"], "error");
        assert_eq!(body["error"]["type"], "api_error");
        let id = answer.header("x-spillway-request-id").to_owned();
        assert_eq!(body["request_id"], id.as_str());
        assert_eq!(answer.header("request-id"), id);
        assert_eq!(answer.header("x-spillway-error"), "panic");
        assert!(!answer.text().contains(PANIC_TEXT));

        assert_eq!(world.upstream().await, "plan; reason=good");
        id
    });
    let log = log.lock().unwrap().clone();
    let lines = log.lines().map(serde_json::from_str::<Value>);
    let lines: Vec<Value> = lines.map(Result::unwrap).collect();
    let of_it: Vec<_> = lines
        .iter()
        .filter(|it| it["request.id"] == id.as_str())
        .collect();
    let record = of_it.iter().find(|it| it["message"] == "request").unwrap();
    assert_eq!(record["error.class"], "panic");
    assert_eq!(record["outcome"], "panicked");
    assert_eq!(record["status"], 500);
    assert!(
        of_it
            .iter()
            .any(|it| it["class"] == "panic" && it["level"] == "ERROR")
    );
    assert!(!log.contains(PANIC_TEXT));
}

/// A timeout far longer than `/health` needs, so that the test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn health_is_answered_while_five_megabytes_are_translated() {
    let (translating, began) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let was_held = Arc::new(AtomicBool::new(false));
    let held = Arc::clone(&was_held);
    // The warning of a model that is not in the table is logged in the middle of the translation.
    let runtime = one_worker(move |line| {
        if line.contains("\"Bedrock model\"") {
            translating.send(()).unwrap();
            let answered = may_go_on.lock().unwrap().recv_timeout(PATIENCE);
            held.store(answered.is_err(), Ordering::Relaxed);
        }
    });
    runtime.block_on(async {
        let world = World::without_pace(|_| {}).await;
        world.exhaust_plan(1);
        let mut body = message(&"word ".repeat(1_000_000), Streaming::No);
        body["model"] = "anthropic.claude-opus-9-9".into();
        let health = async {
            let began = tokio::task::spawn_blocking(move || began.recv_timeout(PATIENCE));
            began.await.unwrap().unwrap();
            let health = read(world.bare(Method::GET, "/health")).await;
            // The receiver is gone when the translation was not stopped.
            let _ = go_on.send(());
            health.status
        };
        let (_, health) = tokio::join!(world.ask(&body), health);
        assert_eq!(health, 200);
    });
    assert!(!was_held.load(Ordering::Relaxed), "/health waited for it");
}
