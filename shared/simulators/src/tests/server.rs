use serde_json::{Value, json};

use super::super::Step;
use super::{Running, plan, prompt, streamed};

async fn control(plan: &Running, endpoint: &str, body: Option<Value>) -> (u16, Value) {
    let url = format!("{}/_simulator/{endpoint}", plan.simulator.url());
    let call = match body {
        Some(body) => plan.client.post(url).body(body.to_string()),
        None => plan.client.get(url),
    };
    let response = call.send().await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_str(&response.text().await.unwrap()).unwrap(),
    )
}

#[tokio::test]
async fn a_script_can_be_given_over_http() {
    let plan = plan().await;
    let steps = json!([{ "step": "overloaded" }, { "step": "answer", "content": [{ "text": "scripted" }] }]);
    assert_eq!(
        control(&plan, "script", Some(steps)).await,
        (200, json!({}))
    );
    assert_eq!(plan.messages(&prompt("x")).await.unwrap().status(), 529);
    // The second answer is the last scripted one.
    for expected in ["scripted", "you said"] {
        let answer = plan.messages(&prompt("x")).await.unwrap();
        assert!(answer.text().await.unwrap().contains(expected));
    }

    let (status, answer) = control(&plan, "script", Some(json!([{ "step": "dance" }]))).await;
    assert_eq!(status, 400);
    assert!(
        answer["error"].as_str().unwrap().contains("dance"),
        "{answer}"
    );
}

#[tokio::test]
async fn every_step_survives_its_json() {
    for step in [
        json!({ "step": "usage_limit", "window": "five_hour", "reset_after_s": 9 }),
        json!({ "step": "tools", "calls": [{ "name": "Bash", "input": {} }] }),
        json!({ "step": "answer", "content": [
            { "text": "a" }, { "thinking": "b" }, { "redacted_thinking": "c" },
            { "tool": { "name": "T", "input": {} } },
        ]}),
        json!({ "step": "error", "status": 418, "type": "t", "message": "m" }),
        json!({ "step": "stream_error", "after": "first_block", "type": "api_error" }),
        json!({ "step": "hang", "after": "message_start" }),
        json!({ "step": "raw", "status": 200, "body": "b" }),
        json!({ "step": "status", "status": 404 }),
        json!({ "step": "pings", "count": 3, "then": {
            "step": "headers", "headers": { "a": "b" }, "then": { "step": "normal" },
        }}),
    ] {
        let parsed: Step = serde_json::from_value(step.clone()).unwrap();
        assert_eq!(serde_json::to_value(parsed).unwrap(), step);
    }
}

#[tokio::test]
async fn received_requests_can_be_read() {
    let plan = plan().await;
    let body = prompt("say hello");
    let call = plan
        .post("/v1/messages?beta=true", &body)
        .header("x-unknown", "kept");
    call.send().await.unwrap().text().await.unwrap();

    let requests = plan.simulator.requests();
    let [request] = requests.as_slice() else {
        panic!("{requests:?}")
    };
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/v1/messages?beta=true")
    );
    assert_eq!(request.header("x-unknown"), Some("kept"));
    assert_eq!(request.header("x-api-key"), Some("sk-ant-test"));
    assert_eq!(request.body.as_ref(), body.to_string().as_bytes());
    assert_eq!(request.json(), Some(body.clone()));
    assert_eq!(request.status, Some(200));

    let (_, shown) = control(&plan, "requests", None).await;
    let shown = &shown["requests"][0];
    assert_eq!(shown["body"], body.to_string());
    assert_eq!(
        (&shown["index"], &shown["status"]),
        (&json!(0), &json!(200))
    );
    let text = shown.to_string();
    assert!(!text.contains("sk-ant-test"), "{text}");
    assert!(text.contains(&format!(
        "sha256:{}",
        super::super::journal::hex_sha256(b"sk-ant-test")
    )));

    control(&plan, "reset", Some(json!({}))).await;
    assert!(plan.simulator.requests().is_empty());
}

#[tokio::test]
async fn a_web_page_cannot_use_the_control_endpoints() {
    let plan = plan().await;
    let url = format!("{}/_simulator/requests", plan.simulator.url());
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("host", "evil.example:80"),
    ] {
        let response = plan
            .client
            .get(&url)
            .header(name, value)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 403, "{name}");
    }
    for host in [
        "localhost",
        "localhost:1",
        "127.0.0.1",
        "127.8.8.8:9",
        "[::1]:9",
        "[::1]",
    ] {
        let response = plan
            .client
            .get(&url)
            .header("host", host)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{host}");
    }
}

#[tokio::test]
async fn two_clients_at_once_get_their_own_answers() {
    let plan = plan().await;
    let bodies: Vec<_> = (0..20)
        .map(|number| streamed(prompt(&format!("number {number}."))))
        .collect();
    let calls = bodies.iter().map(|body| plan.messages(body));
    for (number, response) in futures_util::future::join_all(calls)
        .await
        .into_iter()
        .enumerate()
    {
        let (text, _) = super::read(response.unwrap()).await;
        let summary = super::summary(&super::events(&text));
        assert!(
            summary.contains(&format!("“number {number}.”")),
            "{summary}"
        );
    }
}
