//! The response to the client when Bedrock fails too (requirements R1.9 to R1.11).

use dialect::error::Class;
use domain::policy::FallbackClass;
use domain::route::{BedrockKeyState, FallbackFailure, FallbackReason, Upstream, Winner};
use domain::time::Timestamp;
use domain::verdict::{LimitOf, Verdict};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::error_response::ErrorResponse;
use crate::plan::PlanOutcome;
use crate::request_log::RequestLog;
use crate::response::{ERROR, HeldResponse, SHOULD_RETRY};

/// The class in `x-spillway-error` when a fallback had no Bedrock key to use.
const NO_BEDROCK_KEY: &str = "no_bedrock_key";

/// The moment of a retry after a passing failure of Bedrock, in seconds from now, where Bedrock names none.
const PASSING_RETRY_S: u32 = 5;

/// There is no response from Bedrock.
#[derive(Debug)]
pub(crate) enum FallbackError {
    /// No Bedrock API key is registered.
    NoBedrockKey,
    /// The request is at fault, and the client can change it.
    Request(ErrorResponse),
    /// Bedrock failed, or the developer's key for it.
    Bedrock(ErrorResponse),
}

impl FallbackError {
    /// The state of the Bedrock key that this error shows.
    pub(crate) fn key_state(&self) -> BedrockKeyState {
        match self {
            Self::NoBedrockKey => BedrockKeyState::Missing,
            Self::Bedrock(error) if error.class == Class::AuthError.as_str() => {
                BedrockKeyState::Rejected
            }
            Self::Request(_) | Self::Bedrock(_) => BedrockKeyState::Failed,
        }
    }

    fn failure(&self) -> FallbackFailure {
        let passing = [Class::QuotaExceeded, Class::Unavailable].map(Class::as_str);
        match self {
            Self::NoBedrockKey => FallbackFailure::NoBedrockKey,
            Self::Request(_) => FallbackFailure::Request,
            Self::Bedrock(error)
                if passing.contains(&error.class) && error.should_retry != Some(false) =>
            {
                FallbackFailure::Passing
            }
            Self::Bedrock(_) => FallbackFailure::Final,
        }
    }

    fn class(&self) -> &'static str {
        match self {
            Self::NoBedrockKey => NO_BEDROCK_KEY,
            Self::Request(error) | Self::Bedrock(error) => error.class,
        }
    }

    /// The response when the breaker is open and Plan received nothing.
    pub(crate) fn behind_open_breaker(self, reason: FallbackReason) -> ErrorResponse {
        let plan = match reason {
            FallbackReason::BreakerOpen { class, until } => {
                Some(open_breaker_sentence(class, until))
            }
            FallbackReason::Verdict(_) | FallbackReason::Session => None,
        };
        self.into_response(reason, plan.as_deref())
    }

    /// The response when Plan received the request too: the winner of both.
    pub(crate) fn or_plan(
        self,
        plan: PlanOutcome,
        log: &mut RequestLog,
    ) -> Result<HeldResponse, ErrorResponse> {
        let class = self.class();
        log.fields_mut().error_class = Some(class);
        let verdict = &plan.verdict;
        let reason = FallbackReason::Verdict(verdict.kind());
        match Winner::choose(self.failure(), verdict, plan.usefulness()) {
            Winner::Plan => plan.into_held(false),
            Winner::PlanWithError => {
                let mut held = plan.into_held(false)?;
                held.headers.insert(ERROR, HeaderValue::from_static(class));
                Ok(held)
            }
            Winner::LimitWithoutBedrockKey => Err(limit_without_bedrock_key(&plan)),
            Winner::Bedrock => Err(self.into_response(reason, None)),
            Winner::BedrockWithPlanState => {
                let state = format!("{}.", plan_state(verdict));
                let error = self.into_response(reason, Some(&state));
                Err(ErrorResponse {
                    retry_after_s: error.retry_after_s.or(Some(PASSING_RETRY_S)),
                    ..error
                })
            }
        }
    }

    /// Bedrock's part of it as the response. `plan` is a sentence about Plan that follows the one about
    /// Bedrock; an error of the request does not get it, because Claude Code acts on its exact words.
    fn into_response(self, reason: FallbackReason, plan: Option<&str>) -> ErrorResponse {
        let error = match (self, plan) {
            (Self::NoBedrockKey, _) => no_bedrock_key("No"),
            (Self::Bedrock(error), Some(plan)) => ErrorResponse {
                message: format!("{} {plan}", error.message),
                ..error
            },
            (Self::Request(error) | Self::Bedrock(error), _) => error,
        };
        error.about(Upstream::Bedrock(reason))
    }
}

/// The state of the plan by Plan's response, as a sentence without its full stop.
fn plan_state(verdict: &Verdict) -> String {
    let until = |moment: Option<Timestamp>| {
        moment.map_or_else(String::new, |moment| format!(" until {}", moment.in_utc()))
    };
    match verdict {
        Verdict::UsageLimit { of, until: end } => {
            let models = match of {
                LimitOf::Plan => String::new(),
                LimitOf::Family(family) => format!(" for {family} models"),
            };
            format!(
                "Your Claude plan has reached its limit{models}{}",
                until(*end)
            )
        }
        Verdict::RateLimited { retry_at } => {
            format!(
                "Your Claude plan is throttling requests{}",
                until(*retry_at)
            )
        }
        Verdict::Burst => "Your Claude plan is throttling requests".to_owned(),
        _ => "Your Claude plan does not include this request".to_owned(),
    }
}

/// A sentence about an open breaker: what opened it, and when a request goes to Plan again.
pub(crate) fn open_breaker_sentence(class: FallbackClass, until: Timestamp) -> String {
    let plan = match class {
        FallbackClass::UsageLimit => "Your Claude plan has reached its limit",
        FallbackClass::RateLimited => "Your Claude plan is throttling requests",
        FallbackClass::Entitlement => "Your Claude plan does not include this request",
        FallbackClass::Overloaded => "Anthropic's API is overloaded",
        FallbackClass::Broken => "Anthropic's API is failing",
    };
    format!(
        "{plan}; Spillway tries it again at {} at the earliest.",
        until.in_utc()
    )
}

/// The plan has reached a limit, and there is no Bedrock key to fall back with (requirement R1.9): a 503 with
/// both facts and Plan's headers about the limit. A throttle is soon over, so there Plan's header decides the retry.
fn limit_without_bedrock_key(plan: &PlanOutcome) -> ErrorResponse {
    let headers = plan.headers();
    let should_retry = match plan.verdict {
        Verdict::RateLimited { .. } | Verdict::Burst => {
            headers.and_then(|headers| headers.get(SHOULD_RETRY)?.to_str().ok()?.parse().ok())
        }
        _ => Some(false),
    };
    let error = ErrorResponse {
        should_retry,
        headers: headers.map(rate_limit_headers).unwrap_or_default(),
        ..no_bedrock_key(&format!("{}, and no", plan_state(&plan.verdict)))
    };
    error.about(plan.upstream(false))
}

/// The headers of a response of Plan that are about its limits.
fn rate_limit_headers(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let is_about_limits = |name: &HeaderName| {
        *name == RETRY_AFTER || name.as_str().starts_with("anthropic-ratelimit-")
    };
    let about_limits = headers.iter().filter(|(name, _)| is_about_limits(name));
    about_limits
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// `begins` is the beginning of the sentence, which ends in "no".
fn no_bedrock_key(begins: &str) -> ErrorResponse {
    ErrorResponse::final_error(
        StatusCode::SERVICE_UNAVAILABLE,
        "api_error",
        NO_BEDROCK_KEY,
        format!(
            "{begins} Amazon Bedrock API key is registered for your access key. Ask whoever runs \
             Spillway for your team to register one."
        ),
    )
}
