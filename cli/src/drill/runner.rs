//! Runs a scenario in a sandbox whose clock stands still until a step moves it.

use std::pin::pin;
use std::time::Duration;

use admin::{Command, IssuedKey, NewUser, Outcome};
use anyhow::{Context as _, bail};
use domain::breaker::{BreakerState, Circuit};
use domain::id::KeyId;
use local::Fault;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::json;
use simulators::bedrock::DEMO_BEDROCK_API_KEY;
use simulators::{Point, Simulator, Step};
use tokio::time::timeout;

use super::Line;
use super::scenario::{Act, Caller, Form, Request, Scenario, Setup, Store};
use super::seen::{self, Ending, Seen, Upstream};
use crate::sandbox::{Sandbox, SandboxOptions};

/// Maximum time until a request reaches Plan, and until the store answers where no step says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two events of a simulator: each leaves by itself, as a model's do.
const PACE: Duration = Duration::from_millis(1);
/// Between two looks whether a request has reached Plan.
const LOOK: Duration = Duration::from_millis(2);
/// So many calls fail while the store is down: more than one request makes.
const CALLS: usize = 100;

pub(super) struct Runner {
    name: &'static str,
    sandbox: Sandbox,
    developer: IssuedKey,
    colleague: IssuedKey,
    failures_to_open: u32,
    asked: usize,
}

/// The breakers of a caller, as a person would tell them.
struct Breakers {
    words: String,
    /// The moments of which they tell, as the proxy writes them, and how far off those are.
    moments: Vec<(String, String)>,
}

impl Runner {
    pub(super) async fn new(scenario: &Scenario) -> anyhow::Result<Self> {
        // The simulator names resets by the system's clock, so the sandbox's starts there too.
        let options = SandboxOptions {
            pace: PACE,
            ..SandboxOptions::default()
        };
        let mut failures_to_open = 0;
        let sandbox = Sandbox::start(options, |settings| {
            change_settings(settings, &scenario.setup);
            failures_to_open = settings.policy.breaker.failures;
        })
        .await?;
        let bedrock_key = (!scenario.setup.lacks_bedrock_key).then_some(DEMO_BEDROCK_API_KEY);
        let user = |name: &str| NewUser {
            name: name.to_owned(),
            ..NewUser::default()
        };
        Ok(Self {
            name: scenario.name,
            developer: sandbox.issue_key(user("developer"), bedrock_key).await?,
            colleague: sandbox.issue_key(user("colleague"), bedrock_key).await?,
            sandbox,
            failures_to_open,
            asked: 0,
        })
    }

    pub(super) async fn play(&mut self, acts: &[Act], lines: &mut Vec<Line>) -> anyhow::Result<()> {
        for act in acts {
            match act {
                Act::Pass(duration) => {
                    self.sandbox.advance(*duration);
                }
                Act::Ask(request) => lines.push(self.ask(request).await?),
                Act::Abandon(request, acts) => Box::pin(self.abandon(request, acts, lines)).await?,
            }
        }
        Ok(())
    }

    async fn ask(&mut self, request: &Request) -> anyhow::Result<Line> {
        let tag = self.next_tag();
        let before = self.breakers(request.caller).await?;
        self.fail_store(request.store);
        let answer = self.request(request, &tag)?.send().await;
        // The URL holds the access key.
        let answer = answer.map_err(reqwest::Error::without_url);
        let answer = answer.context("Spillway does not answer")?;
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let (bytes, ending) = read(answer).await;
        self.sandbox.stack.aws().faults().clear();

        let upstream = Upstream::read(word(&headers, "x-spillway-upstream")?)?;
        let until = upstream.until.map(|told| {
            let mut moments = before.moments.iter();
            let known = moments.find(|(moment, _)| *moment == told);
            known.map_or(format!("{told}, which no breaker says"), |(_, off)| {
                off.clone()
            })
        });
        let error = word(&headers, "x-spillway-error")?;
        let content_type = word(&headers, CONTENT_TYPE.as_str())?;
        let (body, begun) = seen::body(content_type, &bytes, ending);
        let seen = Seen {
            status: Some(status),
            body,
            begun,
            leg: upstream.leg,
            reason: upstream.reason,
            probe: upstream.is_probe,
            because: upstream.because,
            until,
            error: Some(error.to_owned()).filter(|error| !error.is_empty()),
            breaker_before: before.words,
            breaker_after: self.breakers(request.caller).await?.words,
            plan_calls: calls(&self.sandbox.plan, &tag),
            bedrock_calls: calls(&self.sandbox.bedrock, &tag),
        };
        Ok(Line::new(seen, &request.expected))
    }

    async fn abandon(
        &mut self,
        request: &Request,
        meanwhile: &[Act],
        lines: &mut Vec<Line>,
    ) -> anyhow::Result<()> {
        // Checked on the step, because an answer may arrive at any moment after the request did.
        if !matches!(request.plan, Step::Hang { after, .. } if after <= Point::Headers) {
            bail!("a request that Plan answers cannot be abandoned");
        }
        let tag = self.next_tag();
        let before = self.breakers(request.caller).await?;
        let mut waiting = pin!(self.request(request, &tag)?.send());
        let plan = self.sandbox.plan.clone();
        let until_there = async {
            while calls(&plan, &tag) == 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            _ = waiting.as_mut() => bail!("a request that Plan does not answer was answered"),
            arrived = timeout(PATIENCE, until_there) => arrived.context("Plan was not asked")?,
        }
        let seen = Seen {
            status: None,
            body: "left".to_owned(),
            begun: false,
            leg: String::new(),
            reason: String::new(),
            probe: false,
            because: None,
            until: None,
            error: None,
            breaker_before: before.words,
            breaker_after: self.breakers(request.caller).await?.words,
            plan_calls: calls(&self.sandbox.plan, &tag),
            bedrock_calls: calls(&self.sandbox.bedrock, &tag),
        };
        lines.push(Line::new(seen, &request.expected));
        self.play(meanwhile, lines).await
    }

    /// By which the simulators' journals tell the requests apart.
    fn next_tag(&mut self) -> String {
        self.asked += 1;
        format!("Drill {}, request {}.", self.name, self.asked)
    }

    /// What the simulators are to answer is in the prompt, so that it concerns this request only.
    fn request(&self, request: &Request, tag: &str) -> anyhow::Result<reqwest::RequestBuilder> {
        let marker = |who, step| match step {
            &Step::Normal => Ok(String::new()),
            step => serde_json::to_string(step).map(|step| format!(" [[{who}:{step}]]")),
        };
        let to_plan = marker("plan", &request.plan)?;
        let to_bedrock = marker("bedrock", &request.bedrock)?;
        let prompt = format!("{tag}{to_plan}{to_bedrock}");
        let body = json!({
            "model": request.model,
            "max_tokens": 1024,
            "stream": request.form == Form::Stream,
            "messages": [{"role": "user", "content": prompt}],
        });
        let key = &self.key(request.caller).access_key;
        let mut builder = self
            .sandbox
            .request(0, key, Method::POST, "/v1/messages")
            .body(body.to_string());
        if let Some(session) = request.session {
            builder = builder.header("x-claude-code-session-id", session);
        }
        Ok(builder)
    }

    fn key(&self, caller: Caller) -> &IssuedKey {
        match caller {
            Caller::Developer => &self.developer,
            Caller::Colleague => &self.colleague,
        }
    }

    fn fail_store(&self, store: Store) {
        let refusal = Fault::Error {
            status: 400,
            name: "AccessDeniedException",
            message: "The drill has taken the table away.".to_owned(),
        };
        let (operations, fault) = match store {
            Store::Up => return,
            Store::Unreadable => (["Query", "GetItem"], refusal),
            Store::Unwritable => (["PutItem", "UpdateItem"], refusal),
            Store::Silent => (["Query", "GetItem"], Fault::Hang),
        };
        for operation in operations {
            let faults = self.sandbox.stack.aws().faults();
            faults.fail_next(operation, CALLS, fault.clone());
        }
    }

    async fn breakers(&self, caller: Caller) -> anyhow::Result<Breakers> {
        let all = Command::ShowBreakers { key_id: None };
        let Outcome::Breakers { breakers, as_of } = self.sandbox.command(all, None).await? else {
            bail!("the breakers were not shown");
        };
        let key_id = &self.key(caller).key_id;
        let is_theirs = |of: &Option<KeyId>| of.as_ref().is_none_or(|of| of == key_id);
        let mut words = Vec::new();
        let mut moments = Vec::new();
        for breaker in breakers.iter().filter(|breaker| is_theirs(&breaker.key_id)) {
            let state = match &breaker.state {
                BreakerState::Closed { failures } if failures.is_empty() => continue,
                BreakerState::Closed { failures } => {
                    format!("closed {}/{}", failures.len(), self.failures_to_open)
                }
                BreakerState::Open { until, .. } if *until > as_of => {
                    let off = minutes(until.since(as_of));
                    let state = format!("open {off}");
                    moments.push((until.to_string(), off));
                    state
                }
                BreakerState::Open { .. } => "probe due".to_owned(),
                BreakerState::HalfOpen { lease_until, .. } => {
                    moments.push((lease_until.to_string(), minutes(lease_until.since(as_of))));
                    "half-open".to_owned()
                }
            };
            words.push(match &breaker.circuit {
                Circuit::Key => state,
                Circuit::Family(family) => format!("{family} {state}"),
                Circuit::Deployment => format!("all {state}"),
            });
        }
        if words.is_empty() {
            words.push("closed".to_owned());
        }
        Ok(Breakers {
            words: words.join(", "),
            moments,
        })
    }
}

/// To the nearest minute: what the simulators say is by a clock that runs.
fn minutes(duration: Duration) -> String {
    format!("{}m", (duration.as_secs() + 30) / 60)
}

fn change_settings(settings: &mut proxy::config::Settings, setup: &Setup) {
    // So that the same drill always says the same.
    settings.policy.breaker.jitter = Duration::ZERO;
    settings.policy = settings.policy.with(&setup.policy);
    let deadlines = &mut settings.deadlines;
    // A busy machine is not a store that is down.
    deadlines.store = setup.store.unwrap_or(PATIENCE);
    deadlines.first_byte = setup.first_byte.unwrap_or(deadlines.first_byte);
}

/// How often a simulator was asked for an answer to the request with this tag.
fn calls(simulator: &Simulator, tag: &str) -> usize {
    let requests = simulator.requests();
    let with_tag = requests.iter();
    with_tag
        .filter(|request| String::from_utf8_lossy(&request.body).contains(tag))
        .count()
}

async fn read(mut answer: reqwest::Response) -> (Vec<u8>, Ending) {
    let mut bytes = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Ok(None) => return (bytes, Ending::Orderly),
            Err(_) => return (bytes, Ending::Broken),
        }
    }
}

/// A header, empty when absent.
fn word<'h>(headers: &'h HeaderMap, name: &str) -> anyhow::Result<&'h str> {
    let value = headers.get(name).map(|value| value.to_str());
    value
        .unwrap_or(Ok(""))
        .with_context(|| format!("{name} is no text"))
}
