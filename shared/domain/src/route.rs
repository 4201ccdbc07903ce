//! The choice of the upstream whose response the client receives.
//!
//! The proxy makes three choices: [`FirstUpstream::choose`] before anything is sent, [`AfterPlan::choose`] when
//! Plan's response has been read, and [`Winner::choose`] when Bedrock failed too. Each is a pure function over
//! small enums, and a table test covers its whole matrix. [`Upstream`] is the value of `x-spillway-upstream`, which
//! reports the result to the client.

use std::fmt;
use std::str::FromStr;

use http::StatusCode;

use crate::breaker::Admission;
use crate::policy::{FallbackClass, Policy};
use crate::time::Timestamp;
use crate::verdict::{Verdict, VerdictKind};

/// Why a request went to Bedrock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackReason {
    /// Plan's response, or its absence, had this verdict.
    Verdict(VerdictKind),
    /// The breaker is open; Plan received nothing.
    BreakerOpen {
        /// The class of the failure that opened the breaker.
        class: FallbackClass,
        /// The earliest time at which Plan receives a request again.
        until: Timestamp,
    },
    /// The conversation is pinned to Bedrock for its prompt cache; Plan received nothing.
    Session,
}

impl FallbackReason {
    /// The name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verdict(verdict) => verdict.as_str(),
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Session => "session",
        }
    }
}

impl From<FallbackClass> for FallbackReason {
    fn from(class: FallbackClass) -> Self {
        Self::Verdict(class.into())
    }
}

/// The value of `x-spillway-upstream`: which upstream the response is about, and why.
///
/// ```text
/// plan; reason=good
/// plan; reason=usage_limit; probe
/// bedrock; reason=usage_limit
/// bedrock; reason=breaker_open; because=usage_limit; until=2026-11-18T11:06:40Z
/// bedrock; reason=session
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Anthropic's API, with the developer's plan.
    Plan {
        /// The verdict on its response, or on its absence.
        verdict: VerdictKind,
        /// Whether the request was the probe of a half-open breaker.
        is_probe: bool,
    },
    /// Amazon Bedrock.
    Bedrock(FallbackReason),
}

impl Upstream {
    /// The name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan { .. } => "plan",
            Self::Bedrock(_) => "bedrock",
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; reason=", self.as_str())?;
        match self {
            Self::Plan { verdict, is_probe } => {
                let probe = if *is_probe { "; probe" } else { "" };
                write!(formatter, "{verdict}{probe}")
            }
            Self::Bedrock(reason) => {
                formatter.write_str(reason.as_str())?;
                match reason {
                    FallbackReason::BreakerOpen { class, until } => {
                        write!(formatter, "; because={class}; until={until}")
                    }
                    FallbackReason::Verdict(_) | FallbackReason::Session => Ok(()),
                }
            }
        }
    }
}

/// A text that is not a value of `x-spillway-upstream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a value of x-spillway-upstream")]
pub struct InvalidUpstream;

impl FromStr for Upstream {
    type Err = InvalidUpstream;

    fn from_str(text: &str) -> Result<Self, InvalidUpstream> {
        let parts: Vec<&str> = text.split("; ").collect();
        let upstream = match *parts.as_slice() {
            ["plan", verdict] => Self::Plan {
                verdict: value(verdict, "reason")?,
                is_probe: false,
            },
            ["plan", verdict, "probe"] => Self::Plan {
                verdict: value(verdict, "reason")?,
                is_probe: true,
            },
            ["bedrock", "reason=session"] => Self::Bedrock(FallbackReason::Session),
            ["bedrock", "reason=breaker_open", class, until] => {
                Self::Bedrock(FallbackReason::BreakerOpen {
                    class: value(class, "because")?,
                    until: value(until, "until")?,
                })
            }
            ["bedrock", verdict] => {
                Self::Bedrock(FallbackReason::Verdict(value(verdict, "reason")?))
            }
            _ => return Err(InvalidUpstream),
        };
        Ok(upstream)
    }
}

fn value<T: FromStr>(part: &str, name: &str) -> Result<T, InvalidUpstream> {
    let value = part
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('='));
    value
        .and_then(|value| value.parse().ok())
        .ok_or(InvalidUpstream)
}

/// The Bedrock key of the access key, as far as it matters for this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BedrockKeyState {
    /// None is registered, or its recorded end has passed.
    Missing,
    /// One is registered, and this request has not been sent to Bedrock.
    Usable,
    /// This request was sent to Bedrock, which did not accept the key or the AWS account.
    Rejected,
    /// This request was sent to Bedrock, which failed otherwise.
    Failed,
}

/// The first choice: which upstream receives the request next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstUpstream {
    /// Plan.
    Plan,
    /// Bedrock, and Plan receives nothing before it.
    Bedrock(FallbackReason),
    /// Neither. The breaker is open, and Bedrock has failed: its error is the response.
    Neither(FallbackReason),
}

impl FirstUpstream {
    /// Chooses by the admission of the breakers, the pin of the conversation to Bedrock, and the Bedrock key.
    /// If Bedrock fails for a pinned conversation, the caller chooses again without the pin.
    ///
    /// An open breaker does not stop a request that Bedrock cannot serve (requirement R1.9): without a usable
    /// Bedrock key the request goes to Plan. With a key that Bedrock rejects it goes to Plan too, unless a limit
    /// with a known end opened the breaker; Plan would repeat that limit.
    pub const fn choose(
        admission: Admission,
        is_pinned: bool,
        bedrock_key: BedrockKeyState,
    ) -> Self {
        match (admission, bedrock_key, is_pinned) {
            (Admission::Allow, BedrockKeyState::Usable, true) => {
                Self::Bedrock(FallbackReason::Session)
            }
            (Admission::Allow | Admission::Probe, _, _) | (_, BedrockKeyState::Missing, _) => {
                Self::Plan
            }
            (
                Admission::Deny {
                    is_limit_with_end: false,
                    ..
                },
                BedrockKeyState::Rejected,
                _,
            ) => Self::Plan,
            (Admission::Deny { class, until, .. }, BedrockKeyState::Usable, _) => {
                Self::Bedrock(FallbackReason::BreakerOpen { class, until })
            }
            (
                Admission::Deny { class, until, .. },
                BedrockKeyState::Rejected | BedrockKeyState::Failed,
                _,
            ) => Self::Neither(FallbackReason::BreakerOpen { class, until }),
        }
    }
}

/// The second choice: what follows Plan's response, while the client has received nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterPlan {
    /// Return Plan's response.
    Return,
    /// Send the same request to Bedrock.
    FallBack(FallbackClass),
    /// The request would go to Bedrock, but Bedrock has failed already: choose between both.
    ChooseWinner,
}

impl AfterPlan {
    /// Chooses by the verdict on Plan's response, the policy in force, and whether Bedrock has failed on
    /// this request already; no request goes to Bedrock twice.
    pub fn choose(verdict: &Verdict, policy: &Policy, has_bedrock_failed: bool) -> Self {
        match (verdict.fallback_class(), has_bedrock_failed) {
            (Some(class), false) if policy.fallback_on.contains(&class) => Self::FallBack(class),
            (Some(class), true) if policy.fallback_on.contains(&class) => Self::ChooseWinner,
            (Some(_) | None, _) => Self::Return,
        }
    }
}

/// The kind of Bedrock's failure, as far as it decides on the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackFailure {
    /// No Bedrock key is registered; Bedrock received nothing.
    NoBedrockKey,
    /// Bedrock cannot process the request, and the client can change it.
    Request,
    /// Bedrock throttles or is unavailable; a retry may succeed.
    Passing,
    /// Another failure of Bedrock, the Bedrock key or the AWS account.
    Final,
}

/// The usefulness of Plan's response to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usefulness {
    /// There is no response.
    NoResponse,
    /// The response is a success without a message.
    Empty,
    /// The response informs the client.
    Useful,
    /// The response informs the client, and Claude Code ends the turn without a retry.
    EndsTurn,
}

impl Usefulness {
    /// The usefulness of a response with this status and verdict. `is_error_event` is true for an event stream
    /// that begins with an `error` event.
    pub fn from_response(status: StatusCode, verdict: &Verdict, is_error_event: bool) -> Self {
        let is_broken = matches!(verdict, Verdict::Broken { .. });
        let ends_turn = matches!(verdict, Verdict::UsageLimit { .. } | Verdict::Entitlement);
        if status == StatusCode::TOO_MANY_REQUESTS && ends_turn {
            Self::EndsTurn
        } else if status.is_success() && is_broken && !is_error_event {
            Self::Empty
        } else {
            Self::Useful
        }
    }
}

/// The third choice: which response the client receives when Plan's verdict led to a fallback and Bedrock
/// failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// Plan's response, or the error in place of a missing one.
    Plan,
    /// Plan's response, with the class of Bedrock's failure in `x-spillway-error`.
    PlanWithError,
    /// The error that the plan has reached a limit and that no Bedrock key is registered (requirement R1.9).
    LimitWithoutBedrockKey,
    /// Bedrock's error.
    Bedrock,
    /// Bedrock's error with the state of the plan, and with a time for the retry.
    BedrockWithPlanState,
}

impl Winner {
    /// Chooses by how Bedrock failed, the verdict on Plan's response and that response's use.
    ///
    /// Plan's response wins, with three exceptions: the client can change the request for Bedrock, Plan's response
    /// is empty, or Claude Code would end the turn at Plan's response while Bedrock may soon serve a retry.
    pub const fn choose(failure: FallbackFailure, verdict: &Verdict, plan: Usefulness) -> Self {
        use FallbackFailure::{Final, NoBedrockKey, Passing, Request};
        use Usefulness::{Empty, EndsTurn, NoResponse, Useful};
        match (failure, plan) {
            (NoBedrockKey, Empty | Useful | EndsTurn) if is_limit(verdict) => {
                Self::LimitWithoutBedrockKey
            }
            (NoBedrockKey, NoResponse | Empty) => Self::Plan,
            (Passing, EndsTurn) => Self::BedrockWithPlanState,
            (NoBedrockKey | Passing | Final, Useful | EndsTurn) => Self::PlanWithError,
            (Request, _) | (Passing | Final, NoResponse | Empty) => Self::Bedrock,
        }
    }
}

/// Whether the plan has reached a limit, so that a Bedrock key would help.
const fn is_limit(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::UsageLimit { .. } | Verdict::RateLimited { .. } | Verdict::Burst
    )
}
