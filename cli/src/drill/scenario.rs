//! A scenario as data, and the functions with which the lists of scenarios are written.

use std::time::Duration;

use domain::policy::PolicyChange;
use simulators::{Step, Window};

use super::observation::Observation;

/// A drill: its steps, and what must be observed.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name on the command line, in kebab case.
    pub name: &'static str,
    /// Its summary in one line.
    pub about: &'static str,
    /// The row of the failure taxonomy that it covers; absent for drills of the breaker and of failures of both
    /// upstreams.
    pub row: Option<&'static str>,
    /// How its sandbox is set up.
    pub setup: Setup,
    /// The steps, in this order.
    pub steps: Vec<DrillStep>,
}

/// How a scenario's sandbox differs from the default.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The deployment's policy.
    pub policy: PolicyChange,
    /// Whether the callers have no Bedrock API key.
    pub lacks_bedrock_key: bool,
    /// The deadline for the first content of Plan's response.
    pub first_byte: Option<Duration>,
    /// The deadline for one operation on a breaker.
    pub store: Option<Duration>,
}

/// One step of a scenario.
#[derive(Clone, Debug)]
pub enum DrillStep {
    /// Sends a request, and reads the response to its end.
    Send(Box<Request>),
    /// Moves the clock forward.
    Advance(Duration),
    /// Sends a request to which Plan does not respond, and closes its connection after these steps.
    Abandon(Box<Request>, Vec<DrillStep>),
}

/// A request, and what must be observed of it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The caller.
    pub caller: Caller,
    /// The requested model.
    pub model: &'static str,
    /// The form of the response.
    pub mode: ResponseMode,
    /// The session id.
    pub session: Option<&'static str>,
    /// Plan's response, if Plan is called.
    pub plan: Step,
    /// Bedrock's response, if Bedrock is called.
    pub bedrock: Step,
    /// The state of the breakers' table during the request.
    pub store: StoreState,
    /// The expected observation.
    pub expected: Observation,
}

/// The owner of the access key of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A developer.
    Developer,
    /// Another developer of the same team, with a plan of their own.
    Colleague,
}

/// The form of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// An event stream, which Claude Code requests.
    Stream,
    /// One JSON body.
    Json,
}

/// The state of the breakers' table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// It works.
    Up,
    /// It rejects reads.
    Unreadable,
    /// It rejects writes.
    Unwritable,
    /// It does not respond.
    Silent,
}

pub(super) const HALF_AN_HOUR: Duration = Duration::from_mins(30);
pub(super) const A_MINUTE: Duration = Duration::from_mins(1);
pub(super) const OPUS: &str = "claude-opus-5-5";
pub(super) const SONNET: &str = "claude-sonnet-5-5";

impl Scenario {
    pub(super) fn new(name: &'static str, about: &'static str, steps: Vec<DrillStep>) -> Self {
        Self {
            name,
            about,
            row: None,
            setup: Setup::default(),
            steps,
        }
    }

    pub(super) fn row(mut self, row: &'static str) -> Self {
        self.row = Some(row);
        self
    }

    pub(super) fn setup(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(&mut self.setup);
        self
    }
}

pub(super) fn advance(duration: Duration) -> DrillStep {
    DrillStep::Advance(duration)
}

impl From<Request> for DrillStep {
    fn from(request: Request) -> Self {
        Self::Send(Box::new(request))
    }
}

/// A developer's request that Plan answers.
pub(super) fn request() -> Request {
    Request {
        caller: Caller::Developer,
        model: OPUS,
        mode: ResponseMode::Stream,
        session: None,
        plan: Step::Normal,
        bedrock: Step::Normal,
        store: StoreState::Up,
        expected: Observation {
            status: Some(200),
            body: "answer".to_owned(),
            begun: false,
            leg: "plan".to_owned(),
            reason: "good".to_owned(),
            probe: false,
            because: None,
            until: None,
            error: None,
            breaker_before: "closed".to_owned(),
            breaker_after: "closed".to_owned(),
            plan_calls: 1,
            bedrock_calls: 0,
        },
    }
}

/// A developer's request that Bedrock answers, because the breaker is open for `because` until `until`.
pub(super) fn plan_skipped(because: &str, until: &str) -> Request {
    let state = format!("open {until}");
    request().skips_plan(because, until).breaker_stays(&state)
}

/// A developer's request that Plan answers with `step`.
pub(super) fn plan_answers(step: Step) -> Request {
    Request {
        plan: step,
        ..request()
    }
}

/// The response to a used-up usage window that resets after so many seconds.
pub(super) fn limit(window: Window, reset_after_s: u64) -> Step {
    Step::UsageLimit {
        window,
        reset_after_s,
    }
}

/// An error response of Plan that no other step has.
pub(super) fn plan_error(status: u16, kind: &str, message: &str) -> Step {
    Step::Error {
        status,
        kind: kind.to_owned(),
        message: message.to_owned(),
        headers: [].into(),
    }
}

/// A 429 without any header about limits.
pub(super) fn burst() -> Step {
    Step::Error {
        status: 429,
        kind: "rate_limit_error".to_owned(),
        message: "Rate limited".to_owned(),
        headers: [("x-should-retry".to_owned(), "true".to_owned())].into(),
    }
}

/// A request to which Plan responds that its limit is reached for half an hour.
pub(super) fn plan_limit() -> Request {
    plan_answers(limit(Window::FiveHour, 1800))
}

/// A request that Plan rejects at its limit, which opens the breaker, and that Bedrock answers.
pub(super) fn opens_breaker() -> Request {
    plan_limit()
        .falls_back("usage_limit")
        .breaker("closed", "open 30m")
}

/// The caller, and the form of the request.
impl Request {
    pub(super) fn sent_by(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    pub(super) fn model(self, model: &'static str) -> Self {
        Self { model, ..self }
    }

    pub(super) fn unstreamed(self) -> Self {
        Self {
            mode: ResponseMode::Json,
            ..self
        }
    }

    pub(super) fn session(self, session: &'static str) -> Self {
        Self {
            session: Some(session),
            ..self
        }
    }

    pub(super) fn bedrock_answers(self, step: Step) -> Self {
        Self {
            bedrock: step,
            ..self
        }
    }

    pub(super) fn while_store_is(self, store: StoreState) -> Self {
        Self { store, ..self }
    }
}

/// The expected observation.
impl Request {
    fn expect(mut self, change: impl FnOnce(&mut Observation)) -> Self {
        change(&mut self.expected);
        self
    }

    /// Plan's response is delivered; its verdict is `verdict`.
    pub(super) fn delivers(self, status: u16, body: &str, verdict: &str) -> Self {
        self.expect(|observed| {
            observed.status = Some(status);
            body.clone_into(&mut observed.body);
            verdict.clone_into(&mut observed.reason);
        })
    }

    /// The verdict on Plan's response is `verdict`, and Bedrock answers the request.
    pub(super) fn falls_back(self, verdict: &str) -> Self {
        self.expect(|observed| {
            "bedrock".clone_into(&mut observed.leg);
            verdict.clone_into(&mut observed.reason);
            observed.bedrock_calls = 1;
        })
    }

    /// The breaker is open, Plan is not called, and Bedrock answers.
    pub(super) fn skips_plan(self, because: &str, until: &str) -> Self {
        self.expect(|observed| {
            "bedrock".clone_into(&mut observed.leg);
            "breaker_open".clone_into(&mut observed.reason);
            observed.because = Some(because.to_owned());
            observed.until = Some(until.to_owned());
            (observed.plan_calls, observed.bedrock_calls) = (0, 1);
        })
    }

    /// The conversation stays on Bedrock, which answers; Plan is not called.
    pub(super) fn stays_on_bedrock(self) -> Self {
        self.expect(|observed| {
            "bedrock".clone_into(&mut observed.leg);
            "session".clone_into(&mut observed.reason);
            (observed.plan_calls, observed.bedrock_calls) = (0, 1);
        })
    }

    /// Bedrock is called and fails.
    pub(super) fn bedrock_fails(self, class: &str) -> Self {
        self.expect(|observed| {
            observed.error = Some(class.to_owned());
            observed.bedrock_calls = 1;
        })
    }

    /// Bedrock is called first and fails; then Plan is called.
    pub(super) fn tries_bedrock_first(self) -> Self {
        self.expect(|observed| (observed.plan_calls, observed.bedrock_calls) = (1, 1))
    }

    /// The client gets an error.
    pub(super) fn returns_error(self, status: u16, kind: &str) -> Self {
        self.expect(|observed| {
            observed.status = Some(status);
            kind.clone_into(&mut observed.body);
        })
    }

    /// The stream ends in an error after its first content.
    pub(super) fn breaks_with(self, kind: &str) -> Self {
        self.returns_error(200, kind)
            .expect(|observed| observed.begun = true)
    }

    /// The value of `x-spillway-error`.
    pub(super) fn error_class(self, class: &str) -> Self {
        self.expect(|observed| observed.error = Some(class.to_owned()))
    }

    /// The request is the probe of Plan.
    pub(super) fn probes(self) -> Self {
        self.expect(|observed| observed.probe = true)
    }

    /// The breakers of the caller, before and after.
    pub(super) fn breaker(self, before: &str, after: &str) -> Self {
        self.expect(|observed| {
            before.clone_into(&mut observed.breaker_before);
            after.clone_into(&mut observed.breaker_after);
        })
    }

    /// The breakers of the caller, which do not change.
    pub(super) fn breaker_stays(self, state: &str) -> Self {
        self.breaker(state, state)
    }

    /// Plan does not respond, and the client closes the connection after `steps`.
    pub(super) fn abandoned_after(self, steps: Vec<DrillStep>) -> DrillStep {
        let request = self.expect(|observed| {
            observed.status = None;
            "left".clone_into(&mut observed.body);
            observed.leg.clear();
            observed.reason.clear();
        });
        DrillStep::Abandon(Box::new(request), steps)
    }
}
