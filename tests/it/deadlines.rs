//! Every request ends within its deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::serve::ListenerExt as _;
use domain::policy::FallbackClass;
use simulators::{Point, Step};
use tests::Afterwards::IsSilent;
use tests::{Answer, Streaming, World, message, raw_plan};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// A timeout far longer than the deadlines of these tests, and far shorter than the defaults.
const SOON: Duration = Duration::from_secs(20);

fn hang(after: Point) -> Step {
    Step::Hang {
        after,
        content: vec![],
    }
}

async fn ask(world: &World, streaming: Streaming) -> Answer {
    let body = message("hello", streaming);
    timeout(SOON, world.ask(&body))
        .await
        .expect("an answer in time")
}

#[tokio::test]
async fn a_plan_answer_that_is_not_streamed_has_a_total_deadline() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n{";
    for bytes in [head, ""] {
        let (plan_url, _serving) = raw_plan(bytes.as_bytes().to_vec(), IsSilent).await;
        let world = World::with(|settings| {
            settings.plan_url = plan_url;
            settings.deadlines.total = Duration::from_millis(700);
        })
        .await;
        let answer = ask(&world, Streaming::No).await;
        assert_eq!(answer.status, 504, "{bytes}");
        assert_eq!(answer.error().0, "timeout_error");
    }
}

#[tokio::test]
async fn a_bedrock_answer_that_is_not_streamed_has_a_total_deadline() {
    let world = World::with(|settings| {
        settings.deadlines.total = Duration::from_millis(700);
    })
    .await;
    world.exhaust_plan(1);
    world.bedrock.script([hang(Point::Connect)]);
    let answer = ask(&world, Streaming::No).await;
    assert_eq!(answer.header("x-spillway-error"), "bedrock_unavailable");
}

#[tokio::test]
async fn a_silent_plan_and_a_silent_bedrock_share_the_first_byte_deadline() {
    let first_byte = Duration::from_secs(2);
    let world = World::with(|settings| {
        settings.policy.fallback_on.insert(FallbackClass::Broken);
        settings.deadlines.first_byte = first_byte;
    })
    .await;
    world.plan.script([hang(Point::Connect)]);
    world.bedrock.script([hang(Point::Connect)]);
    let begun = Instant::now();
    let answer = ask(&world, Streaming::Yes).await;
    let waited = begun.elapsed();
    assert_eq!(world.bedrock.requests().len(), 1);
    assert_eq!(answer.header("x-spillway-error"), "bedrock_unavailable");
    assert!(waited < first_byte * 2, "{waited:?}");
}

#[tokio::test]
async fn a_connection_to_plan_is_kept_for_the_idle_time_only() {
    for (pool_idle, connections) in [(Duration::from_hours(1), 1), (Duration::ZERO, 3)] {
        let listener = tests::loopback().await;
        let plan_url = format!("http://{}", listener.local_addr().unwrap());
        let world = World::with(|settings| {
            settings.plan_url = plan_url;
            settings.deadlines.pool_idle = pool_idle;
        })
        .await;
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        let listener = listener.tap_io(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let plan = axum::Router::new().fallback(async || "{}");
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, plan).await });
        for _ in 0..3 {
            assert_eq!(ask(&world, Streaming::No).await.status, 200);
        }
        assert_eq!(accepted.load(Ordering::Relaxed), connections);
    }
}

#[tokio::test]
async fn a_request_body_that_stops_coming_is_408() {
    let world = World::with(|settings| {
        settings.deadlines.request_idle = Duration::from_millis(100);
    })
    .await;
    let address = world.base_url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /ak/{}/v1/messages HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-length: 30000000\r\n\r\n{{",
        world.key.access_key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let reading = timeout(SOON, stream.read_to_end(&mut read));
    reading.await.expect("an answer in time").unwrap();
    let answer = Answer::parse(&read);
    assert_eq!(answer.status, 408);
    assert_eq!(answer.error().0, "timeout_error");
    assert!(world.plan.requests().is_empty());
}
