//! Spilling over: the same request to Bedrock, with the developer's own Bedrock API key; and what the
//! client is told when that does not work either (requirements R1.9 to R1.11).

use dialect::error::Class;
use domain::bedrock::BedrockSettings;
use domain::policy::FallbackClass;
use domain::time::Timestamp;
use domain::verdict::{LimitOf, Verdict};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use store::vault::{Owner, VaultError};

use crate::bedrock::{BedrockAnswer, BedrockCall, Failed, Purpose};
use crate::exchange::{Answer, Proxy, Request, Stop, deliver, plan_because};
use crate::plan::{PlanAnswer, PlanBody, PlanFailure, StreamOpened};
use crate::record::Record;
use crate::reply::{ERROR, FINAL_ERROR_TYPE, Refusal, SHOULD_RETRY, UPSTREAM, header};
use crate::streaming::Ending;

/// The class in `x-spillway-error` when a fallback had no Bedrock key to use.
const NO_BEDROCK_KEY: &str = "no_bedrock_key";

/// There is no answer from Bedrock.
pub(crate) enum Unspilled {
    /// No Bedrock API key is registered.
    NoKey,
    /// The request is at fault, and the client can do something about it.
    Request(Refusal),
    /// Bedrock, or the developer's key for it.
    Bedrock(Refusal),
}

impl Proxy {
    /// Sends the request to Bedrock, once. `why` is told in `x-spillway-upstream`.
    pub(crate) async fn spill(
        &self,
        request: &Request<'_>,
        purpose: Purpose,
        why: &str,
        record: &mut Record,
    ) -> Result<BedrockAnswer, Unspilled> {
        let binding = request.known.binding.as_ref();
        let binding = binding.ok_or(Unspilled::NoKey)?;
        let key = request.grant.record();
        let owner = Owner {
            key: &key.key_id,
            user: &key.user.id,
        };
        let opening = self.opener.open(owner, &binding.sealed, self.clock.now());
        let token = opening.await.map_err(|error| {
            tracing::error!(%error, key.id = %owner.key, "the Bedrock key does not open");
            Unspilled::Bedrock(sealed(&error))
        })?;
        let settings = key.effective_bedrock(BedrockSettings {
            preset: Some(self.settings.models),
            ..BedrockSettings::default()
        });
        let call = BedrockCall {
            purpose,
            request_id: request.id.clone(),
            now: self.clock.now(),
            metrics: self.settings.metrics,
            settings: &settings,
            owner,
            token: &token,
            why,
            headers: request.arrival.headers,
            body: &request.arrival.body,
            deadlines: request.arrival.deadlines,
        };
        match self.bedrock.send(call, record).await {
            Ok(answer) => {
                let model = record.note().bedrock_model.as_deref().unwrap_or_default();
                let metrics = self.settings.metrics;
                metrics.losses(model, answer.losses(), self.clock.now());
                Ok(answer)
            }
            Err(Failed::Request(refusal)) => Err(Unspilled::Request(refusal)),
            Err(Failed::Bedrock(refusal)) => Err(Unspilled::Bedrock(refusal)),
        }
    }
}

impl Unspilled {
    /// Whether the developer's Bedrock key or AWS account cannot be used.
    pub(crate) fn is_auth_error(&self) -> bool {
        match self {
            Self::Bedrock(refusal) => refusal.class == Class::AuthError.as_str(),
            Self::NoKey | Self::Request(_) => false,
        }
    }

    /// The client's error when Plan was not asked or said nothing useful. `plan` is a sentence about Plan
    /// that follows the one about Bedrock; a refusal of the request does not get it, because Claude Code
    /// acts on its exact words.
    pub(crate) fn alone(self, why: &str, plan: Option<&str>) -> Stop {
        let refusal = match self {
            Self::NoKey => no_bedrock_key("No"),
            Self::Request(refusal) => refusal,
            Self::Bedrock(refusal) => match plan {
                Some(plan) => Refusal {
                    message: format!("{} {plan}", refusal.message),
                    ..refusal
                },
                None => refusal,
            },
        };
        let upstream = header(&format!("bedrock; reason={why}"));
        let headers = HeaderMap::from_iter([(UPSTREAM, upstream)]);
        Stop::Refused(refusal, Box::new(headers))
    }

    /// What the client is told when Plan was asked: Plan's answer with its headers, which is the more
    /// useful one; unless the client can mend what Bedrock does not take, Plan said nothing, or a retry
    /// will soon be served by Bedrock.
    pub(crate) fn beside(
        self,
        plan: Result<PlanAnswer, PlanFailure>,
        verdict: &Verdict,
        record: &mut Record,
    ) -> Result<Answer, Stop> {
        let class = match &self {
            Self::NoKey => NO_BEDROCK_KEY,
            Self::Request(refusal) | Self::Bedrock(refusal) => refusal.class,
        };
        record.note().error_class = Some(class);
        match (self, plan) {
            (Self::NoKey, Ok(answer)) if is_limit(verdict) => {
                let mut headers = told_of_the_limit(&answer.headers);
                headers.insert(UPSTREAM, plan_because(verdict.as_str()));
                Err(Stop::Refused(
                    limit_without_bedrock_key(verdict, &answer.headers),
                    Box::new(headers),
                ))
            }
            (Self::Bedrock(refusal), Ok(answer))
                if is_passing(&refusal) && ends_the_turn(&answer, verdict) =>
            {
                let plan = format!("{}.", plan_state(verdict));
                let refusal = Refusal {
                    retry_after_s: refusal.retry_after_s.or(Some(PASSING_S)),
                    ..refusal
                };
                Err(Self::Bedrock(refusal).alone(verdict.as_str(), Some(&plan)))
            }
            (Self::Bedrock(_) | Self::NoKey, Ok(mut answer))
                if says_something(&answer, verdict) =>
            {
                answer
                    .headers
                    .insert(ERROR, HeaderValue::from_static(class));
                deliver(Ok(answer), Ending::Message, verdict.as_str())
            }
            (Self::NoKey, plan) => deliver(plan, Ending::Message, verdict.as_str()),
            (unspilled, _) => Err(unspilled.alone(verdict.as_str(), None)),
        }
    }
}

/// The plan is the limit, so that a Bedrock key would help.
fn is_limit(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::UsageLimit { .. } | Verdict::RateLimited { .. } | Verdict::Burst
    )
}

/// When to send a request again that met a passing failure of Bedrock, in seconds.
const PASSING_S: u32 = 5;

/// Bedrock throttles or is unavailable, and a retry may be served.
fn is_passing(refusal: &Refusal) -> bool {
    let classes = [Class::QuotaExceeded, Class::Unavailable].map(Class::as_str);
    classes.contains(&refusal.class) && refusal.should_retry != Some(false)
}

/// Whether Claude Code ends the turn at this answer of Plan's, without a retry.
fn ends_the_turn(answer: &PlanAnswer, verdict: &Verdict) -> bool {
    answer.status == StatusCode::TOO_MANY_REQUESTS
        && matches!(verdict, Verdict::UsageLimit { .. } | Verdict::Entitlement)
}

/// What Plan says about a limit, as a sentence without its full stop.
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

/// A sentence about why Plan is not asked: what opened the breaker, and when Plan is asked again.
pub(crate) fn open_breaker_sentence(because: FallbackClass, until: Timestamp) -> String {
    let plan = match because {
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

/// Whether an answer of Plan's tells the client anything: a 200 that came to nothing does not.
fn says_something(answer: &PlanAnswer, verdict: &Verdict) -> bool {
    let is_error_event = matches!(
        answer.body,
        PlanBody::Streaming {
            opened: StreamOpened::Error(_),
            ..
        }
    );
    let is_broken = matches!(verdict, Verdict::Broken { .. });
    is_error_event || !(answer.status.is_success() && is_broken)
}

/// There is nowhere to fall back to (requirement R1.9): 503 that says so. A throttle is soon over, so
/// there the client goes by what Plan said about another try.
fn limit_without_bedrock_key(verdict: &Verdict, headers: &HeaderMap) -> Refusal {
    let should_retry = match verdict {
        Verdict::RateLimited { .. } | Verdict::Burst => {
            let said = headers
                .get(SHOULD_RETRY)
                .and_then(|said| said.to_str().ok());
            said.and_then(|said| said.parse().ok())
        }
        _ => Some(false),
    };
    Refusal {
        should_retry,
        ..no_bedrock_key(&format!("{}, and no", plan_state(verdict)))
    }
}

/// All that Plan told of the limit.
fn told_of_the_limit(headers: &HeaderMap) -> HeaderMap {
    let is_of_it = |name: &HeaderName| {
        *name == RETRY_AFTER || name.as_str().starts_with("anthropic-ratelimit-")
    };
    let kept = headers.iter().filter(|(name, _)| is_of_it(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// `begins` ends in "no".
fn no_bedrock_key(begins: &str) -> Refusal {
    Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        error_type: "api_error",
        class: NO_BEDROCK_KEY,
        message: format!(
            "{begins} Amazon Bedrock API key is registered for your access key. Ask whoever runs \
             Spillway for your team to register one."
        ),
        error_code: None,
        should_retry: Some(false),
        retry_after_s: None,
    }
}

/// The Bedrock key stays sealed.
fn sealed(error: &VaultError) -> Refusal {
    match error {
        VaultError::CiphertextRejected => Refusal {
            status: StatusCode::BAD_REQUEST,
            error_type: FINAL_ERROR_TYPE,
            class: Class::AuthError.as_str(),
            message: "Your Bedrock API key cannot be opened any more; your Spillway administrator \
                      can register it anew."
                .to_owned(),
            error_code: None,
            should_retry: Some(false),
            retry_after_s: None,
        },
        VaultError::Unavailable { .. } | VaultError::NoEntropy => Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error_type: "api_error",
            class: Class::Unavailable.as_str(),
            message: "Spillway cannot open your Bedrock API key at the moment; try again in a \
                      moment."
                .to_owned(),
            error_code: None,
            should_retry: None,
            retry_after_s: None,
        },
    }
}
