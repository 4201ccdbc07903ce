//! Tests of the simulators over real sockets.

mod bedrock;
mod names;
mod plan;
mod server;
mod steps;

use reqwest::header::HeaderMap;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::bedrock::BedrockOptions;
use super::plan::PlanOptions;
use super::{Simulator, bedrock as bedrock_simulator, plan as plan_simulator};

/// A simulator that runs until the test ends.
struct Running {
    simulator: Simulator,
    client: Client,
    serving: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn client() -> Client {
    // Only the first test gets to install it; all of them install the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().build().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test keeps the handle and ends the task"
)]
fn running(simulator: Simulator, serving: impl Future<Output = ()> + Send + 'static) -> Running {
    Running {
        simulator,
        client: client(),
        serving: tokio::spawn(serving),
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn start_plan(options: PlanOptions) -> Running {
    let (simulator, serving) = plan_simulator::serve(listener().await, options).unwrap();
    running(simulator, serving)
}

/// A plan whose window never ends.
async fn plan() -> Running {
    start_plan(PlanOptions {
        requests: None,
        ..PlanOptions::default()
    })
    .await
}

async fn start_bedrock(options: BedrockOptions) -> Running {
    let (simulator, serving) = bedrock_simulator::serve(listener().await, options).unwrap();
    running(simulator, serving)
}

async fn bedrock() -> Running {
    start_bedrock(BedrockOptions::default()).await
}

impl Running {
    /// Posts to the Messages API.
    async fn messages(&self, body: &Value) -> reqwest::Result<Response> {
        self.post("/v1/messages?beta=true", body).send().await
    }

    fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.client
            .post(format!("{}{path}", self.simulator.url()))
            .header("x-api-key", "sk-ant-test")
            .header("anthropic-version", "2023-06-01")
            .body(body.to_string())
    }
}

/// A Messages API body with one user text.
fn prompt(text: &str) -> Value {
    json!({
        "model": "claude-opus-5-5",
        "max_tokens": 1024,
        "messages": [{ "role": "user", "content": text }],
    })
}

fn streamed(mut body: Value) -> Value {
    body["stream"] = json!(true);
    body
}

/// The events of a server-sent event stream that are complete.
fn events(text: &str) -> Vec<Value> {
    text.split_inclusive("\n\n")
        .filter(|event| event.ends_with("\n\n"))
        .filter_map(|event| {
            let (name, data) = event.trim_end().split_once('\n').unwrap();
            let name = name.strip_prefix("event: ").unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).ok()?;
            assert_eq!(data["type"], name);
            Some(data)
        })
        .collect()
}

/// All that arrives until the end or the break, and whether it ended well.
async fn read(mut response: Response) -> (String, bool) {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (String::from_utf8(bytes).unwrap(), true),
            Err(_) => return (String::from_utf8(bytes).unwrap(), false),
        }
    }
}

/// A stream in one line: event types, with texts and JSON put together.
fn summary(events: &[Value]) -> String {
    let mut summary: Vec<String> = Vec::new();
    let mut delta = String::new();
    for event in events {
        let kind = event["type"].as_str().unwrap();
        if kind == "content_block_delta" {
            let part = &event["delta"];
            for name in ["text", "thinking", "partial_json"] {
                delta.push_str(part[name].as_str().unwrap_or_default());
            }
            if part["type"] == "signature_delta" {
                delta.push_str("(signed)");
            }
            continue;
        }
        if !delta.is_empty() {
            summary.push(std::mem::take(&mut delta));
        }
        summary.push(match kind {
            "content_block_start" => {
                format!("start {}", event["content_block"]["type"].as_str().unwrap())
            }
            "content_block_stop" => "stop".into(),
            "message_delta" => format!(
                "message_delta {}",
                event["delta"]["stop_reason"].as_str().unwrap()
            ),
            "error" => format!("error {}", event["error"]["type"].as_str().unwrap()),
            other => other.to_owned(),
        });
    }
    if !delta.is_empty() {
        summary.push(delta);
    }
    summary.join(" | ")
}

/// Asks a plan for a step by its name or its JSON: the status, the headers, and the body.
async fn send_marker(plan: &Running, name: &str) -> (u16, HeaderMap, String) {
    let body = streamed(prompt(&format!("[[plan:{name}]]")));
    let response = plan.messages(&body).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, read(response).await.0)
}
