//! A scenario as data, and the few words in which the lists of scenarios are written.

use std::time::Duration;

use domain::policy::PolicyChange;
use simulators::{Step, Window};

use super::seen::Seen;

/// A rehearsal: what happens, and what must come of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name on the command line, in kebab case.
    pub name: &'static str,
    /// What it is about, in one line.
    pub about: &'static str,
    /// The row of the failure taxonomy that it rehearses; none for what happens around the breaker and
    /// when both legs fail.
    pub row: Option<&'static str>,
    /// How its sandbox is set up.
    pub setup: Setup,
    /// What happens, in this order.
    pub acts: Vec<Act>,
}

/// How a scenario's sandbox differs from the default.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The deployment's policy.
    pub policy: PolicyChange,
    /// The callers have no Bedrock API key.
    pub lacks_bedrock_key: bool,
    /// How long Plan may be silent before its first content.
    pub first_byte: Option<Duration>,
    /// How long one operation on a breaker may take.
    pub store: Option<Duration>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Act {
    /// A request is made, and its answer read to the end.
    Ask(Box<Request>),
    /// Time passes.
    Pass(Duration),
    /// A request is made that Plan leaves without an answer. Its client gives up when all else has
    /// happened.
    Abandon(Box<Request>, Vec<Act>),
}

/// A request, and what must be seen of it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who makes it.
    pub caller: Caller,
    /// The model it asks for.
    pub model: &'static str,
    /// How it wants its answer.
    pub form: Form,
    /// The conversation it belongs to.
    pub session: Option<&'static str>,
    /// What Plan answers, when it is asked.
    pub plan: Step,
    /// What Bedrock answers, when it is asked.
    pub bedrock: Step,
    /// How the breakers' table is meanwhile.
    pub store: Store,
    /// What must be seen.
    pub expected: Seen,
}

/// Whose access key a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A developer.
    Developer,
    /// Another developer of the same team, with a plan of their own.
    Colleague,
}

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As an event stream, as Claude Code wants it.
    Stream,
    /// In one piece.
    Whole,
}

/// How the table is that keeps the breakers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It works.
    Up,
    /// It refuses reads.
    Unreadable,
    /// It refuses writes.
    Unwritable,
    /// It does not answer.
    Silent,
}

pub(super) const HALF_AN_HOUR: Duration = Duration::from_mins(30);
pub(super) const A_MINUTE: Duration = Duration::from_mins(1);
pub(super) const OPUS: &str = "claude-opus-5-5";
pub(super) const SONNET: &str = "claude-sonnet-5-5";

impl Scenario {
    pub(super) fn new(name: &'static str, about: &'static str, acts: Vec<Act>) -> Self {
        Self {
            name,
            about,
            row: None,
            setup: Setup::default(),
            acts,
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

pub(super) fn pass(duration: Duration) -> Act {
    Act::Pass(duration)
}

impl From<Request> for Act {
    fn from(request: Request) -> Self {
        Self::Ask(Box::new(request))
    }
}

/// A developer's request, which Plan answers well.
pub(super) fn ask() -> Request {
    Request {
        caller: Caller::Developer,
        model: OPUS,
        form: Form::Stream,
        session: None,
        plan: Step::Normal,
        bedrock: Step::Normal,
        store: Store::Up,
        expected: Seen {
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

/// A developer's request that does not reach Plan, because the breaker is open for this reason and so long.
pub(super) fn plan_skipped(because: &str, until: &str) -> Request {
    let state = format!("open {until}");
    ask().skips_plan(because, until).breaker_stays(&state)
}

/// A developer's request, to which Plan says `step`.
pub(super) fn plan_says(step: Step) -> Request {
    Request {
        plan: step,
        ..ask()
    }
}

/// A usage window is used up for so many seconds.
pub(super) fn limit(window: Window, reset_after_s: u64) -> Step {
    Step::UsageLimit {
        window,
        reset_after_s,
    }
}

/// An error of Plan's that no other step is.
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

/// The plan is used up for half an hour.
pub(super) fn plan_is_used_up() -> Request {
    plan_says(limit(Window::FiveHour, 1800))
}

pub(super) fn is_limited() -> Request {
    plan_is_used_up()
        .spills("usage_limit")
        .breaker("closed", "open 30m")
}

/// Who asks, and how.
impl Request {
    pub(super) fn by(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    pub(super) fn model(self, model: &'static str) -> Self {
        Self { model, ..self }
    }

    pub(super) fn whole(self) -> Self {
        Self {
            form: Form::Whole,
            ..self
        }
    }

    pub(super) fn session(self, session: &'static str) -> Self {
        Self {
            session: Some(session),
            ..self
        }
    }

    pub(super) fn bedrock_says(self, step: Step) -> Self {
        Self {
            bedrock: step,
            ..self
        }
    }

    pub(super) fn while_store_is(self, store: Store) -> Self {
        Self { store, ..self }
    }
}

/// What must be seen.
impl Request {
    fn expect(mut self, change: impl FnOnce(&mut Seen)) -> Self {
        change(&mut self.expected);
        self
    }

    /// Plan's answer is delivered; it was read as `verdict`.
    pub(super) fn delivers(self, status: u16, body: &str, verdict: &str) -> Self {
        self.expect(|seen| {
            seen.status = Some(status);
            body.clone_into(&mut seen.body);
            verdict.clone_into(&mut seen.reason);
        })
    }

    /// Plan's answer was read as `verdict`, and the request went to Bedrock, which answered.
    pub(super) fn spills(self, verdict: &str) -> Self {
        self.expect(|seen| {
            "bedrock".clone_into(&mut seen.leg);
            verdict.clone_into(&mut seen.reason);
            seen.bedrock_calls = 1;
        })
    }

    /// Plan was not asked, because its breaker is open; Bedrock answered.
    pub(super) fn skips_plan(self, because: &str, until: &str) -> Self {
        self.expect(|seen| {
            "bedrock".clone_into(&mut seen.leg);
            "breaker_open".clone_into(&mut seen.reason);
            seen.because = Some(because.to_owned());
            seen.until = Some(until.to_owned());
            (seen.plan_calls, seen.bedrock_calls) = (0, 1);
        })
    }

    /// Plan was not asked, because the conversation stays on Bedrock, which answered.
    pub(super) fn stays(self) -> Self {
        self.expect(|seen| {
            "bedrock".clone_into(&mut seen.leg);
            "session".clone_into(&mut seen.reason);
            (seen.plan_calls, seen.bedrock_calls) = (0, 1);
        })
    }

    /// Bedrock was asked, and failed.
    pub(super) fn bedrock_fails(self, class: &str) -> Self {
        self.expect(|seen| {
            seen.error = Some(class.to_owned());
            seen.bedrock_calls = 1;
        })
    }

    /// Bedrock was asked first, and failed; then Plan.
    pub(super) fn asks_bedrock_first(self) -> Self {
        self.expect(|seen| (seen.plan_calls, seen.bedrock_calls) = (1, 1))
    }

    /// The client was told an error.
    pub(super) fn tells(self, status: u16, kind: &str) -> Self {
        self.expect(|seen| {
            seen.status = Some(status);
            kind.clone_into(&mut seen.body);
        })
    }

    /// The answer had begun, and the stream went on with an error.
    pub(super) fn ends_in(self, kind: &str) -> Self {
        self.tells(200, kind).expect(|seen| seen.begun = true)
    }

    /// In `x-spillway-error`.
    pub(super) fn class(self, class: &str) -> Self {
        self.expect(|seen| seen.error = Some(class.to_owned()))
    }

    /// It was the one that asks whether Plan is back.
    pub(super) fn probes(self) -> Self {
        self.expect(|seen| seen.probe = true)
    }

    /// The breakers of the caller, before and after.
    pub(super) fn breaker(self, before: &str, after: &str) -> Self {
        self.expect(|seen| {
            before.clone_into(&mut seen.breaker_before);
            after.clone_into(&mut seen.breaker_after);
        })
    }

    /// The breakers of the caller, which stay as they are.
    pub(super) fn breaker_stays(self, state: &str) -> Self {
        self.breaker(state, state)
    }

    /// Plan does not answer it, and the client gives up after `acts`.
    pub(super) fn abandoned_after(self, acts: Vec<Act>) -> Act {
        let request = self.expect(|seen| {
            seen.status = None;
            "left".clone_into(&mut seen.body);
            seen.leg.clear();
            seen.reason.clear();
        });
        Act::Abandon(Box::new(request), acts)
    }
}
