//! Requests and responses of Plan pass byte for byte (requirement R1.5).

use std::time::Duration;

use proxy::BODY_LIMIT_BYTES;
use reqwest::Method;
use simulators::{Point, Step};
use tests::{Afterwards, CLIENT_CREDENTIAL, Streaming, World, message, raw_plan, read, world};

#[tokio::test]
async fn a_300_kb_body_and_every_header_value_reach_plan_as_they_were_sent() {
    let world = world().await;
    // Spacing, key order, an escape and a number that a serialiser would change.
    let body = format!(
        "{{ \"max_tokens\":1.0e1,\n \"unknown\" : [ 1.50 ],\"model\":\"claude-opus-5-5\",\
         \"messages\":[{{\"role\":\"user\",\"content\":\"caf\\u00e9 {}\"}}]}}",
        "x".repeat(300_000)
    );
    let sent = [
        ("anthropic-beta", "claude-code-20250219,oauth-2025-04-20"),
        ("anthropic-future-header", "kept"),
        (
            "x-claude-code-session-id",
            "00000000-0000-4000-8000-000000000001",
        ),
        ("x-stainless-timeout", "600"),
        ("user-agent", "claude-cli/2.1.329 (external, sdk-cli)"),
        ("x-app", "cli"),
        ("accept", "application/json"),
    ];
    let mut request = world
        .request(Method::POST, "/v1/messages?beta=true&x=%20")
        .body(body.clone());
    for (name, value) in sent {
        request = request.header(name, value);
    }
    let request = request
        .header("accept-encoding", "gzip, br")
        .header("x-spillway-anything", "ours");
    read(request).await;

    let received = &world.plan.requests()[0];
    assert_eq!(received.path, "/v1/messages?beta=true&x=%20");
    assert_eq!(received.body, body.as_bytes());
    for (name, value) in sent {
        assert_eq!(received.header(name), Some(value), "{name}");
    }
    let bearer = format!("Bearer {CLIENT_CREDENTIAL}");
    assert_eq!(received.header("authorization"), Some(bearer.as_str()));
    assert_eq!(received.header("accept-encoding"), Some("identity"));
    assert_eq!(received.header("x-spillway-anything"), None);
    let names: Vec<_> = received
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let mut known: Vec<_> = sent.iter().map(|(name, _)| *name).collect();
    known.extend([
        "authorization",
        "anthropic-version",
        "content-type",
        "content-length",
        "accept-encoding",
        "host",
    ]);
    for name in names {
        assert!(known.contains(&name), "{name} was added on the way");
    }
}

#[tokio::test]
async fn plan_response_is_returned_unchanged() {
    let world = world().await;
    let body = "event: message_start\r\ndata: {\"odd\":  1}\r\n\r\n: a comment\n\nevent: x-unknown\n\
                data: caf\u{e9}\n\nevent: message_stop\ndata: {}\n\n";
    let headers = [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("request-id", "req_plans_own"),
        ("anthropic-ratelimit-unified-status", "allowed_warning"),
        ("anthropic-organization-id", "org"),
        ("x-should-retry", "true"),
        ("retry-after", "7"),
    ];
    world.plan.script([Step::Raw {
        status: 200,
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        body: body.to_owned(),
    }]);
    let answer = world.ask(&message("hello", Streaming::Yes)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), body);
    for (name, value) in headers {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert_eq!(answer.header("x-spillway-upstream"), "plan; reason=good");
    assert!(answer.header("x-spillway-request-id").starts_with("req_"));
}

#[tokio::test]
async fn events_are_passed_on_while_plan_is_still_writing() {
    let world = world().await;
    world.plan.script([Step::Hang {
        after: Point::FirstDelta,
        content: vec![],
    }]);
    let body = message("hello", Streaming::Yes).to_string();
    let request = world.request(Method::POST, "/v1/messages").body(body);
    let mut answer = request.send().await.unwrap();
    // The simulator writes nothing more, so these bytes were not buffered.
    let mut seen = String::new();
    while !seen.contains("content_block_delta") {
        let piece = answer.chunk().await.unwrap().expect("the stream goes on");
        seen.push_str(std::str::from_utf8(&piece).unwrap());
    }
}

#[tokio::test]
async fn answers_without_streaming_work() {
    let world = world().await;
    let answer = world.ask(&message("hello", Streaming::No)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(
        answer.text_content().contains("Simulated Claude plan"),
        "{}",
        answer.text_content()
    );
}

#[tokio::test]
async fn a_body_of_32_mb_passes_and_one_byte_more_is_refused_by_name() {
    let world = world().await;
    let head =
        r#"{"model":"claude-opus-5-5","max_tokens":9,"messages":[{"role":"user","content":""#;
    let tail = r#""}]}"#;
    let full = format!(
        "{head}{}{tail}",
        "x".repeat(BODY_LIMIT_BYTES - head.len() - tail.len())
    );
    let answer = read(
        world
            .request(Method::POST, "/v1/messages")
            .body(full.clone()),
    )
    .await;
    // assert_eq would print both bodies.
    assert!(world.plan.requests()[0].body == full.as_bytes());
    assert_ne!(answer.status, 413, "{}", answer.text());
    let answer = read(world.request(Method::POST, "/v1/messages").body(full + " ")).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.error().0, "request_too_large");
    assert_eq!(world.plan.requests().len(), 1);
}

#[tokio::test]
async fn errors_other_than_limits_are_delivered_unchanged() {
    let world = world().await;
    let cases = [
        (400, "invalid_request_error", "client_fault"),
        (401, "authentication_error", "login"),
        (403, "permission_error", "login"),
        (404, "not_found_error", "client_fault"),
        (413, "request_too_large", "client_fault"),
        (500, "api_error", "broken"),
        (503, "api_error", "broken"),
    ];
    for (status, kind, reason) in cases {
        let header = ("x-should-retry".to_owned(), "false".to_owned());
        world.plan.script([Step::Error {
            status,
            kind: kind.to_owned(),
            message: format!("plan says {status}"),
            headers: [header].into(),
        }]);
        let answer = world.ask(&message("hello", Streaming::Yes)).await;
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.error(),
            (kind.to_owned(), format!("plan says {status}"))
        );
        assert_eq!(answer.header("x-should-retry"), "false");
        let upstream = format!("plan; reason={reason}");
        assert_eq!(answer.header("x-spillway-upstream"), upstream);
    }
    assert!(world.bedrock.requests().is_empty());
}

#[tokio::test]
async fn body_that_is_not_json_is_sent_to_plan() {
    let world = world().await;
    let answer = read(
        world
            .request(Method::POST, "/v1/messages")
            .body("{not json"),
    )
    .await;
    assert_eq!(answer.status, 400);
    let upstream = answer.header("x-spillway-upstream");
    assert_eq!(upstream, "plan; reason=client_fault");
    assert_eq!(world.plan.requests()[0].body, "{not json");
}

#[tokio::test]
async fn stream_that_breaks_ends_in_an_error_event() {
    let points = [
        Point::MessageStart,
        Point::FirstDelta,
        Point::FirstBlock,
        Point::Content,
    ];
    for after in points {
        for step in [
            Step::Cut {
                after,
                content: vec![],
            },
            Step::End {
                after,
                content: vec![],
            },
        ] {
            let world = world().await;
            world.plan.script([step.clone()]);
            let answer = world.ask(&message("hello", Streaming::Yes)).await;
            assert_eq!(answer.status, 200, "{step:?}");
            // Before any content the client retries without streaming.
            let kind = match after {
                Point::MessageStart => "api_error",
                _ => "overloaded_error",
            };
            assert_eq!(answer.error().0, kind, "{step:?}");
            assert_eq!(
                answer.events().last().map(String::as_str),
                Some("error"),
                "{step:?}"
            );
            assert!(
                !answer.events().contains(&"message_stop".to_owned()),
                "{step:?}"
            );
        }
    }
}

#[tokio::test]
async fn plan_error_event_is_passed_on_and_nothing_is_added() {
    let world = world().await;
    world.plan.script([Step::StreamError {
        after: Point::FirstDelta,
        kind: Some("overloaded_error".to_owned()),
        message: Some("plan's own words".to_owned()),
        content: vec![],
    }]);
    let answer = world.ask(&message("hello", Streaming::Yes)).await;
    assert_eq!(
        answer.error(),
        ("overloaded_error".to_owned(), "plan's own words".to_owned())
    );
    assert_eq!(answer.text().matches("event: error").count(), 1);
}

#[tokio::test]
async fn silent_plan_is_abandoned_with_an_anthropic_error() {
    let short = |settings: &mut proxy::config::Settings| {
        settings.deadlines.first_byte = Duration::from_millis(1400);
        settings.deadlines.whole_answer = Duration::from_millis(700);
        settings.deadlines.idle = Duration::from_millis(700);
    };
    for streaming in [Streaming::Yes, Streaming::No] {
        let world = World::with(short).await;
        world.plan.script([Step::Hang {
            after: Point::Connect,
            content: vec![],
        }]);
        let answer = world.ask(&message("hello", streaming)).await;
        assert_eq!(answer.status, 504, "{streaming:?}");
        assert_eq!(answer.error().0, "timeout_error");
    }
    for (after, kind) in [
        (Point::Headers, "api_error"),
        (Point::FirstDelta, "overloaded_error"),
    ] {
        let world = World::with(short).await;
        world.plan.script([Step::Hang {
            after,
            content: vec![],
        }]);
        let answer = world.ask(&message("hello", Streaming::Yes)).await;
        assert_eq!(answer.error().0, kind, "{after:?}");
    }
}

#[tokio::test]
async fn unreachable_plan_is_an_anthropic_error() {
    let world = world().await;
    world.plan.script([Step::Cut {
        after: Point::Connect,
        content: vec![],
    }]);
    let answer = world.ask(&message("hello", Streaming::Yes)).await;
    assert_eq!(
        (answer.status, answer.error().0.as_str()),
        (502, "api_error")
    );

    let nobody = tests::loopback().await.local_addr().unwrap();
    let world = World::with(|settings| settings.plan_url = format!("http://{nobody}")).await;
    let answer = world.ask(&message("hello", Streaming::No)).await;
    assert_eq!(
        (answer.status, answer.error().0.as_str()),
        (502, "api_error")
    );
    assert_eq!(answer.header("x-spillway-error"), "plan_unreachable");
    assert_eq!(
        answer.header("request-id"),
        answer.header("x-spillway-request-id")
    );
    assert_eq!(answer.json()["request_id"], answer.header("request-id"));
}

#[tokio::test]
async fn truncated_unstreamed_response_is_an_error() {
    let world = world().await;
    world.plan.script([Step::Cut {
        after: Point::FirstDelta,
        content: vec![],
    }]);
    let answer = world.ask(&message("hello", Streaming::No)).await;
    assert_eq!(
        (answer.status, answer.error().0.as_str()),
        (502, "api_error")
    );
}

#[tokio::test]
async fn web_page_is_passed_on_unchanged() {
    let world = world().await;
    world.plan.script([Step::Html]);
    let answer = world.ask(&message("hello", Streaming::Yes)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains('<'), "{}", answer.text());
    assert!(!answer.text().contains("event: error"));
}

#[tokio::test]
async fn plan_redirect_is_neither_followed_nor_returned() {
    let world = world().await;
    let elsewhere = ("location".to_owned(), world.bedrock.url());
    world.plan.script([Step::Raw {
        status: 307,
        headers: [elsewhere].into(),
        body: String::new(),
    }]);
    let answer = world.ask(&message("hello", Streaming::No)).await;
    assert_eq!(
        (answer.status, answer.error().0.as_str()),
        (502, "api_error")
    );
    assert_eq!(answer.header("location"), "");
    assert!(world.bedrock.requests().is_empty());
}

#[tokio::test]
async fn other_api_calls_are_answered_by_plan() {
    let world = world().await;
    let answer = read(world.request(Method::GET, "/v1/models?limit=1000")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.plan.requests()[0].path, "/v1/models?limit=1000");
    let count = message("hello", Streaming::No).to_string();
    let answer = read(
        world
            .request(Method::POST, "/v1/messages/count_tokens")
            .body(count),
    )
    .await;
    assert!(answer.json()["input_tokens"].is_u64(), "{}", answer.text());
}

#[tokio::test]
async fn answer_of_another_path_without_a_readable_body_is_good() {
    let no_content = "HTTP/1.1 204 No Content\r\n\r\n";
    let empty = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let of_a_head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n";
    let file = "HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ncontent-length: 4\r\n\r\na,b\n";
    for (method, reply) in [
        (Method::DELETE, no_content),
        (Method::POST, empty),
        (Method::HEAD, of_a_head),
        (Method::GET, file),
    ] {
        let (plan_url, _serving) = raw_plan(reply.as_bytes().to_vec(), Afterwards::Closes).await;
        let world = World::with(|settings| settings.plan_url = plan_url).await;
        let answer = read(world.request(method.clone(), "/v1/files/file_1")).await;
        let upstream = answer.header("x-spillway-upstream");
        assert_eq!(upstream, "plan; reason=good", "{method}");
    }
}
