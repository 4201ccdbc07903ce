//! Runs a scenario in a sandbox whose clock stands still until a step moves it.

use std::pin::pin;
use std::time::Duration;

use admin::{Command, IssuedKey, NewUser, Outcome};
use anyhow::{Context as _, bail};
use domain::breaker::{BreakerState, Circuit};
use domain::id::KeyId;
use domain::route::{FallbackReason, Upstream};
use local::Fault;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::json;
use simulators::bedrock::DEMO_BEDROCK_API_KEY;
use simulators::{Point, Simulator, Step};
use tokio::time::timeout;

use super::RequestResult;
use super::observation::{self, BodyEnd, Observation};
use super::scenario::{Caller, DrillStep, Request, ResponseMode, Scenario, Setup, StoreState};
use crate::sandbox::{Sandbox, SandboxOptions};

/// Maximum time until a request reaches Plan, and until the store responds, where no step sets another time.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The time between two events of a simulator, so that each is sent by itself.
const PACE: Duration = Duration::from_millis(1);
/// The time between two checks whether a request has reached Plan.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// The number of calls that fail while the store is down: more than one request makes.
const FAILING_CALLS: usize = 100;

pub(super) struct Runner {
    name: &'static str,
    sandbox: Sandbox,
    developer: IssuedKey,
    colleague: IssuedKey,
    failures_to_open: u32,
    sent: usize,
}

/// The breakers of a caller as a text for people.
struct Breakers {
    text: String,
    /// The ends of open periods and leases, as the proxy writes them, each with the time until then.
    moments: Vec<(String, String)>,
}

impl Runner {
    pub(super) async fn new(scenario: &Scenario) -> anyhow::Result<Self> {
        // The simulators compute resets with the system's clock, so the sandbox starts at its time.
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
            sent: 0,
        })
    }

    pub(super) async fn run(
        &mut self,
        steps: &[DrillStep],
        results: &mut Vec<RequestResult>,
    ) -> anyhow::Result<()> {
        for step in steps {
            match step {
                DrillStep::Advance(duration) => {
                    self.sandbox.advance(*duration);
                }
                DrillStep::Send(request) => results.push(self.send(request).await?),
                DrillStep::Abandon(request, steps) => {
                    Box::pin(self.abandon(request, steps, results)).await?;
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, request: &Request) -> anyhow::Result<RequestResult> {
        let tag = self.next_tag();
        let before = self.breakers(request.caller).await?;
        self.fail_store(request.store);
        let answer = self.request(request, &tag)?.send().await;
        // The URL holds the access key.
        let answer = answer.map_err(reqwest::Error::without_url);
        let answer = answer.context("no response from Spillway")?;
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let (bytes, ending) = read(answer).await;
        self.sandbox.stack.aws().faults().clear();

        let upstream = header_text(&headers, "x-spillway-upstream")?;
        let upstream = Some(upstream).filter(|text| !text.is_empty());
        let upstream: Option<Upstream> = upstream.map(str::parse).transpose()?;
        let (reason, is_probe, open) = match upstream {
            Some(Upstream::Plan { verdict, is_probe }) => (verdict.as_str(), is_probe, None),
            Some(Upstream::Bedrock(reason)) => match reason {
                FallbackReason::BreakerOpen { class, until } => {
                    (reason.as_str(), false, Some((class, until.to_string())))
                }
                FallbackReason::Verdict(_) | FallbackReason::Session => {
                    (reason.as_str(), false, None)
                }
            },
            None => ("", false, None),
        };
        let until = open.as_ref().map(|(_, until)| {
            let mut moments = before.moments.iter();
            let known = moments.find(|(moment, _)| moment == until);
            known.map_or(
                format!("{until}, which is the time of no breaker"),
                |(_, off)| off.clone(),
            )
        });
        let error = header_text(&headers, "x-spillway-error")?;
        let content_type = header_text(&headers, CONTENT_TYPE.as_str())?;
        let (body, begun) = observation::body(content_type, &bytes, ending);
        let observed = Observation {
            status: Some(status),
            body,
            begun,
            leg: upstream.map_or("", Upstream::as_str).to_owned(),
            reason: reason.to_owned(),
            probe: is_probe,
            because: open.map(|(class, _)| class.to_string()),
            until,
            error: Some(error.to_owned()).filter(|error| !error.is_empty()),
            breaker_before: before.text,
            breaker_after: self.breakers(request.caller).await?.text,
            plan_calls: calls(&self.sandbox.plan, &tag),
            bedrock_calls: calls(&self.sandbox.bedrock, &tag),
        };
        Ok(RequestResult::new(observed, &request.expected))
    }

    async fn abandon(
        &mut self,
        request: &Request,
        steps: &[DrillStep],
        results: &mut Vec<RequestResult>,
    ) -> anyhow::Result<()> {
        // Checked on the step, because an answer may arrive at any moment after the request did.
        if !matches!(request.plan, Step::Hang { after, .. } if after <= Point::Headers) {
            bail!("a request cannot be abandoned when Plan responds to it");
        }
        let tag = self.next_tag();
        let before = self.breakers(request.caller).await?;
        let mut waiting = pin!(self.request(request, &tag)?.send());
        let plan = self.sandbox.plan.clone();
        let until_received = async {
            while calls(&plan, &tag) == 0 {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        tokio::select! {
            _ = waiting.as_mut() => bail!("a request was answered without a response from Plan"),
            arrived = timeout(LONGEST_WAIT, until_received) => arrived.context("the request did not reach Plan")?,
        }
        let observed = Observation {
            status: None,
            body: "left".to_owned(),
            begun: false,
            leg: String::new(),
            reason: String::new(),
            probe: false,
            because: None,
            until: None,
            error: None,
            breaker_before: before.text,
            breaker_after: self.breakers(request.caller).await?.text,
            plan_calls: calls(&self.sandbox.plan, &tag),
            bedrock_calls: calls(&self.sandbox.bedrock, &tag),
        };
        results.push(RequestResult::new(observed, &request.expected));
        self.run(steps, results).await
    }

    /// A text that identifies the next request in the simulators' journals.
    fn next_tag(&mut self) -> String {
        self.sent += 1;
        format!("Drill {}, request {}.", self.name, self.sent)
    }

    /// The HTTP request. Its prompt holds the steps of the simulators, which thus apply to this request only.
    fn request(&self, request: &Request, tag: &str) -> anyhow::Result<reqwest::RequestBuilder> {
        let marker = |simulator, step| match step {
            &Step::Normal => Ok(String::new()),
            step => serde_json::to_string(step).map(|step| format!(" [[{simulator}:{step}]]")),
        };
        let to_plan = marker("plan", &request.plan)?;
        let to_bedrock = marker("bedrock", &request.bedrock)?;
        let prompt = format!("{tag}{to_plan}{to_bedrock}");
        let body = json!({
            "model": request.model,
            "max_tokens": 1024,
            "stream": request.mode == ResponseMode::Stream,
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

    fn fail_store(&self, store: StoreState) {
        let denied = Fault::Error {
            status: 400,
            name: "AccessDeniedException",
            message: "The drill denies access to the table.".to_owned(),
        };
        let (operations, fault) = match store {
            StoreState::Up => return,
            StoreState::Unreadable => (["Query", "GetItem"], denied),
            StoreState::Unwritable => (["PutItem", "UpdateItem"], denied),
            StoreState::Silent => (["Query", "GetItem"], Fault::Hang),
        };
        for operation in operations {
            let faults = self.sandbox.stack.aws().faults();
            faults.fail_next(operation, FAILING_CALLS, fault.clone());
        }
    }

    async fn breakers(&self, caller: Caller) -> anyhow::Result<Breakers> {
        let all = Command::ShowBreakers { key_id: None };
        let Outcome::Breakers { breakers, as_of } = self.sandbox.command(all, None).await? else {
            bail!("the command returned no breakers");
        };
        let key_id = &self.key(caller).key_id;
        let is_of_caller = |of: &Option<KeyId>| of.as_ref().is_none_or(|of| of == key_id);
        let mut words = Vec::new();
        let mut moments = Vec::new();
        for breaker in breakers
            .iter()
            .filter(|breaker| is_of_caller(&breaker.key_id))
        {
            let state = match &breaker.state {
                BreakerState::Closed { failures } if failures.is_empty() => continue,
                BreakerState::Closed { failures } => {
                    format!("closed {}/{}", failures.len(), self.failures_to_open)
                }
                BreakerState::Open { until, .. } if *until > as_of.0 => {
                    let off = minutes(until.since(as_of.0));
                    let state = format!("open {off}");
                    moments.push((until.to_string(), off));
                    state
                }
                BreakerState::Open { .. } => "probe due".to_owned(),
                BreakerState::HalfOpen { lease_until, .. } => {
                    moments.push((lease_until.to_string(), minutes(lease_until.since(as_of.0))));
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
            text: words.join(", "),
            moments,
        })
    }
}

/// A duration to the nearest minute: the simulators' clock runs during a drill.
fn minutes(duration: Duration) -> String {
    format!("{}m", (duration.as_secs() + 30) / 60)
}

fn change_settings(settings: &mut proxy::config::Settings, setup: &Setup) {
    // Without jitter, a drill always has the same result.
    settings.policy.breaker.jitter = Duration::ZERO;
    settings.policy = settings.policy.with(&setup.policy);
    let deadlines = &mut settings.deadlines;
    // A slow store is no failure, unless the drill is about that.
    deadlines.store = setup.store.unwrap_or(LONGEST_WAIT);
    deadlines.first_byte = setup.first_byte.unwrap_or(deadlines.first_byte);
}

/// The number of calls of a simulator for the request with this tag.
fn calls(simulator: &Simulator, tag: &str) -> usize {
    let requests = simulator.requests();
    let with_tag = requests.iter();
    with_tag
        .filter(|request| String::from_utf8_lossy(&request.body).contains(tag))
        .count()
}

async fn read(mut answer: reqwest::Response) -> (Vec<u8>, BodyEnd) {
    let mut bytes = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Ok(None) => return (bytes, BodyEnd::Orderly),
            Err(_) => return (bytes, BodyEnd::Broken),
        }
    }
}

/// The text of a header; empty when it is absent.
fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> anyhow::Result<&'h str> {
    let value = headers.get(name).map(|value| value.to_str());
    value
        .unwrap_or(Ok(""))
        .with_context(|| format!("{name} is not text"))
}
