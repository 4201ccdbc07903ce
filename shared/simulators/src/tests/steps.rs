//! The steps that put something around an answer, and those that both services know.

use serde_json::{Value, json};

use super::super::bedrock::DEMO_BEDROCK_API_KEY;
use super::super::{Content, Point, Step};
use super::{bedrock, events, plan, prompt, read, send_marker, streamed, summary};

/// The number of events before the first block.
fn before_content(text: &str) -> usize {
    let (before, _) = text.split_once("event: content_block_start").unwrap();
    events(before).len()
}

#[tokio::test]
async fn pings_are_sent_between_message_start_and_content() {
    let plan = plan().await;
    for (name, pings) in [
        (r#"{"step":"pings","count":100}"#, 100),
        (r#"{"step":"pings","count":0}"#, 0),
        (
            r#"{"step":"pings","count":2,"then":{"step":"pings","count":9}}"#,
            2,
        ),
    ] {
        let (status, _, text) = send_marker(&plan, name).await;
        assert_eq!(status, 200, "{name}");
        assert_eq!(before_content(&text), 1 + pings, "{name}");
        let summary = summary(&events(&text));
        assert!(summary.starts_with("message_start | "), "{name}");
        assert!(
            summary.ends_with("message_delta end_turn | message_stop"),
            "{name}: {summary}"
        );
    }
}

#[tokio::test]
async fn an_answer_can_break_after_its_pings() {
    let plan = plan().await;
    let pings = |then| Step::Pings {
        count: 3,
        then: Box::new(then),
    };
    let (after, content) = (Point::MessageStart, Vec::<Content>::new);
    let start = "message_start | ping | ping | ping";
    for (then, expected, well) in [
        (
            Step::Cut {
                after,
                content: content(),
            },
            start.to_owned(),
            false,
        ),
        (
            Step::End {
                after,
                content: content(),
            },
            start.to_owned(),
            true,
        ),
        (
            Step::StreamError {
                after,
                kind: None,
                message: None,
                content: content(),
            },
            format!("{start} | error overloaded_error"),
            true,
        ),
        (
            Step::End {
                after: Point::FirstDelta,
                content: vec![Content::Text("hi".into())],
            },
            format!("{start} | start text | ping | hi"),
            true,
        ),
        (
            Step::End {
                after: Point::Headers,
                content: content(),
            },
            String::new(),
            true,
        ),
    ] {
        plan.simulator.script([pings(then.clone())]);
        let (text, ended) = read(plan.messages(&streamed(prompt("x"))).await.unwrap()).await;
        assert_eq!(
            (summary(&events(&text)), ended),
            (expected, well),
            "{then:?}"
        );
    }
    // What is no stream has no pings.
    plan.simulator
        .script([pings(Step::Overloaded), pings(Step::Normal)]);
    assert_eq!(
        plan.messages(&streamed(prompt("x")))
            .await
            .unwrap()
            .status(),
        529
    );
    let whole = plan
        .messages(&prompt("x"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&whole).unwrap()["type"],
        "message"
    );
}

#[tokio::test]
async fn pings_are_bounded() {
    let plan = plan().await;
    let step = json!({ "step": "pings", "count": u32::MAX });
    plan.simulator
        .script([serde_json::from_value(step).unwrap()]);
    let (text, _) = read(plan.messages(&streamed(prompt("x"))).await.unwrap()).await;
    assert_eq!(text.matches("event: ping\n").count(), (1 << 16) + 1);
}

#[tokio::test]
async fn headers_can_be_replaced_added_and_taken_away() {
    let plan = plan().await;
    let limited = r#"{"step":"headers","headers":{"Retry-After":"-1","x-more":"1","content-type":"",
        "anthropic-ratelimit-unified-reset":"ÿ"},"then":{"step":"headers","headers":{"x-more":"2",
        "x-inner":"3"},"then":{"step":"usage_limit","window":"five_hour"}}}"#;
    let (status, headers, _) = send_marker(&plan, limited).await;
    assert_eq!(status, 429);
    let all = |name: &str| {
        headers
            .get_all(name)
            .iter()
            .map(reqwest::header::HeaderValue::as_bytes)
            .collect::<Vec<_>>()
    };
    assert_eq!(all("retry-after"), [b"-1"]);
    assert_eq!(
        (all("x-more"), all("x-inner")),
        (vec![&b"1"[..]], vec![&b"3"[..]])
    );
    assert_eq!(all("anthropic-ratelimit-unified-reset"), [b"\xff"]);
    assert_eq!(all("anthropic-ratelimit-unified-status"), [b"rejected"]);
    assert!(all("content-type").is_empty());

    let pinged = r#"{"step":"pings","count":5,"then":{"step":"headers","headers":{"x-more":"1"}}}"#;
    let (status, headers, text) = send_marker(&plan, pinged).await;
    assert_eq!((status, &headers["x-more"]), (200, &"1".parse().unwrap()));
    assert_eq!(before_content(&text), 6);
}

#[tokio::test]
async fn bedrock_has_its_own_error_for_each_step() {
    let bedrock = bedrock().await;
    let converse = json!({ "messages": [{ "role": "user", "content": [{ "text": "x" }] }] });
    let status = |status| Step::Status { status };
    for (step, answered, kind) in [
        (Step::SelfSetLimit, 400, "ServiceQuotaExceededException"),
        (Step::OutOfCredit, 403, "AccessDeniedException"),
        (status(400), 400, "ValidationException"),
        (status(403), 403, "AccessDeniedException"),
        (status(404), 404, "ResourceNotFoundException"),
        (status(429), 429, "ThrottlingException"),
        (status(500), 500, "InternalServerException"),
        (status(503), 503, "ServiceUnavailableException"),
        (status(502), 502, ""),
        (
            Step::Pings {
                count: 3,
                then: Box::default(),
            },
            200,
            "",
        ),
        (
            Step::Headers {
                headers: [("x-amzn-errortype".to_owned(), "OddException".to_owned())].into(),
                then: Box::new(Step::Overloaded),
            },
            503,
            "OddException",
        ),
    ] {
        bedrock.simulator.script([step.clone()]);
        let url = format!(
            "{}/model/global.anthropic.claude-sonnet-4-5-20250929-v1:0/converse",
            bedrock.simulator.url()
        );
        let call = bedrock
            .client
            .post(url)
            .bearer_auth(DEMO_BEDROCK_API_KEY)
            .body(converse.to_string());
        let response = call.send().await.unwrap();
        assert_eq!(response.status(), answered, "{step:?}");
        let summary = response
            .headers()
            .get("x-amzn-errortype")
            .map(|kind| kind.to_str().unwrap());
        assert!(
            summary.unwrap_or_default().starts_with(kind),
            "{step:?} {summary:?}"
        );
        assert_eq!(summary.is_none(), kind.is_empty(), "{step:?}");
    }
}
