//! Recorded messages and errors of Bedrock and Anthropic, each through all of Spillway. The cases are data in
//! `tests/recorded`; a failure names its case.

mod answers;
mod coverage;
mod errors;
mod message;
mod plan;
mod walk;

use std::path::PathBuf;
use std::time::Duration;

use admin::{IssuedKey, Settings};
use domain::bedrock::Dialect;
use reqwest::Method;
use serde_json::{Value, json};
use simulators::{Frame, Step};
use tests::{Answer, Streaming, World, message as request_for, read, read_unjudged};

/// The operations of the Bedrock Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Converse,
    ConverseStream,
    InvokeModel,
    InvokeModelWithResponseStream,
}

impl Operation {
    const ALL: [Self; 4] = [
        Self::Converse,
        Self::ConverseStream,
        Self::InvokeModel,
        Self::InvokeModelWithResponseStream,
    ];

    /// The member of a case that holds the response of this operation.
    fn member(self) -> &'static str {
        match self {
            Self::Converse => "converse",
            Self::ConverseStream => "converse_stream",
            Self::InvokeModel => "invoke",
            Self::InvokeModelWithResponseStream => "invoke_stream",
        }
    }

    fn streaming(self) -> Streaming {
        match self {
            Self::Converse | Self::InvokeModel => Streaming::No,
            Self::ConverseStream | Self::InvokeModelWithResponseStream => Streaming::Yes,
        }
    }

    /// The simulator's step: a full body, or the frames of a stream.
    fn step(self, recorded: &Value) -> Step {
        match self {
            Self::Converse | Self::InvokeModel => whole(200, &json!({}), &recorded.to_string()),
            Self::ConverseStream => frames(recorded),
            Self::InvokeModelWithResponseStream => {
                let chunk = |event: &Value| json!({"type": "chunk", "payload": event});
                frames(&recorded.as_array().unwrap().iter().map(chunk).collect())
            }
        }
    }
}

fn frames(recorded: &Value) -> Step {
    let events: Vec<Frame> = serde_json::from_value(recorded.clone()).unwrap();
    Step::Frames { events }
}

fn whole(status: u16, headers: &Value, body: &str) -> Step {
    let given = headers.as_object().unwrap().iter();
    let given = given.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
    let usual = ("content-type".to_owned(), "application/json".to_owned());
    Step::Raw {
        status,
        headers: std::iter::once(usual).chain(given).collect(),
        body: body.to_owned(),
    }
}

/// A world in which every request goes to Bedrock, because the breaker is open.
struct BedrockOnly {
    world: World,
    converse: IssuedKey,
    invoke: IssuedKey,
    /// Whether the responses are stored for the judges.
    judged: bool,
}

impl BedrockOnly {
    async fn unjudged() -> Self {
        let mut bedrock = Self::new().await;
        bedrock.judged = false;
        bedrock
    }

    async fn new() -> Self {
        let world = World::without_pace(|_| {}).await;
        let of = |dialect| Settings {
            dialect: Some(dialect),
            ..Settings::default()
        };
        let converse = world.key_of(of(Dialect::Converse)).await;
        let invoke = world.key_of(of(Dialect::Invoke)).await;
        for key in [&converse, &invoke] {
            world
                .plan
                .script([world.limit_for(Duration::from_mins(59))]);
            assert!(world.upstream_as(key, "limit").await.starts_with("bedrock"));
        }
        Self {
            world,
            converse,
            invoke,
            judged: true,
        }
    }

    /// Sends a request that Bedrock answers with these steps. The members of `request` replace those of the
    /// usual body.
    async fn ask(&self, operation: Operation, request: &Value, steps: Vec<Step>) -> Answer {
        let mut body = request_for("How many days?", operation.streaming());
        for (name, value) in request.as_object().unwrap() {
            body[name] = value.clone();
        }
        let key = match operation {
            Operation::Converse | Operation::ConverseStream => &self.converse,
            Operation::InvokeModel | Operation::InvokeModelWithResponseStream => &self.invoke,
        };
        self.world.bedrock.reset();
        self.world.bedrock.script(steps);
        let request = self
            .world
            .request_as(&key.access_key, Method::POST, "/v1/messages");
        let request = request.body(body.to_string());
        let answer = if self.judged {
            read(request).await
        } else {
            read_unjudged(request).await
        };
        assert!(self.world.plan.requests().len() == 2, "Plan was asked");
        answer
    }

    /// Whether the newest request reached Bedrock.
    fn was_asked(&self) -> bool {
        !self.world.bedrock.requests().is_empty()
    }
}

/// The cases of a file or folder of `tests/recorded`, by its name without `.json`.
fn cases(name: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("recorded")
        .join(name);
    let files = if path.is_dir() {
        let entries = std::fs::read_dir(&path).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    } else {
        vec![path.with_extension("json")]
    };
    let cases: Vec<Value> = files
        .iter()
        .flat_map(|file| {
            let text = std::fs::read(file).unwrap();
            let cases: Vec<Value> = serde_json::from_slice(&text).unwrap();
            cases
        })
        .collect();
    assert!(!cases.is_empty(), "{name}");
    cases
}

fn id(case: &Value) -> &str {
    case["id"].as_str().unwrap()
}

/// Fails with the names of the failed cases.
fn conclude(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
