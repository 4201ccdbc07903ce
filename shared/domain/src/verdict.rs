//! What an answer from Plan means.
//!
//! Routing ([`crate::policy`]) and the breaker ([`crate::breaker`]) read the same [`Verdict`], so they
//! cannot drift apart. The table of `docs/failure-taxonomy.md` is made from the cases that prove this
//! module.

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::model_family::ModelFamily;
use crate::policy::FallbackClass;
use crate::time::Timestamp;

/// What Plan has shown of an answer while the client has seen nothing of it.
#[derive(Clone, Copy, Debug)]
pub struct PlanReply<'a> {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers. Nothing in them is trusted: numbers are bounded where they are used, and what
    /// cannot be read is not there.
    pub headers: &'a HeaderMap,
    /// How the body begins.
    pub opening: Opening<'a>,
}

/// How the body of an answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening<'a> {
    /// An event stream that has come to its content, or any other body that need not be looked at.
    Content,
    /// All of a body that is no event stream.
    Whole(&'a [u8]),
    /// What came of the body of an error before it broke off or fell silent.
    Part(&'a [u8]),
    /// An event stream that is alive but has not come to its content in the time for which it is held.
    /// It counts as good: Plan has accepted the request.
    Pending,
    /// An event stream whose first telling event is `error`: that event's data.
    ErrorEvent(&'a [u8]),
    /// An event stream that ended, broke off or fell silent before it came to any content.
    Nothing,
}

/// The meaning of one answer from Plan, or of its absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered.
    Good,
    /// The plan, or what it includes of one model family, is used up.
    UsageLimit {
        /// Of what the limit is.
        of: LimitOf,
        /// When it comes back, where the answer names a moment that is still to come. Not bounded:
        /// the breaker caps it.
        until: Option<Timestamp>,
    },
    /// This request wants something that the plan does not include, such as long context.
    Entitlement,
    /// Plan throttles.
    RateLimited {
        /// When another try is welcome, where the answer says so.
        retry_at: Option<Timestamp>,
    },
    /// Plan refuses a request that came close to others, or whose shape it takes for another client's:
    /// a 429 that says neither when another try is welcome nor anything about a limit. It comes on plans
    /// that have most of their limits left.
    Burst,
    /// Anthropic has no capacity.
    Overloaded {
        /// When another try is welcome, where the answer says so.
        retry_at: Option<Timestamp>,
    },
    /// Anthropic failed, or there was no answer at all.
    Broken {
        /// When another try is welcome, where the answer says so.
        retry_at: Option<Timestamp>,
    },
    /// The developer's own login, as Anthropic's `authentication_error` or `permission_error` says. It never falls back, or a logged-out developer would be billed on
    /// Bedrock.
    Login,
    /// The request itself was refused. Another upstream would refuse it too.
    ClientFault,
}

/// Of what a usage limit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitOf {
    /// Of the whole plan.
    Plan,
    /// Of one model family; other models still go.
    Family(ModelFamily),
}

impl Verdict {
    /// Reads an answer. `requested` is the family of the model that was asked for, where it has one;
    /// `now` makes `retry-after` a moment, and tells a reset to come from one that has passed.
    ///
    /// The rows of the table, from top to bottom; a limit of one family is told from a limit of the
    /// plan first, because both say `anthropic-ratelimit-unified-status: rejected`.
    pub fn read(reply: PlanReply<'_>, requested: Option<&ModelFamily>, now: Timestamp) -> Self {
        let error = match reply.opening {
            Opening::Content | Opening::Pending => {
                return Self::of_status(reply, &ErrorSaid::default(), requested, now);
            }
            Opening::Nothing | Opening::Part(_) if reply.status.is_success() => {
                return Self::Broken { retry_at: None };
            }
            Opening::Nothing => ErrorSaid::unread(),
            Opening::Part(body) => ErrorSaid::read_part(body),
            Opening::Whole(body) if reply.status.is_success() => {
                match ErrorSaid::in_success(body) {
                    Body::Answer => return Self::Good,
                    Body::Unreadable => return Self::Broken { retry_at: None },
                    Body::Error(error) => error,
                }
            }
            Opening::Whole(body) | Opening::ErrorEvent(body) => ErrorSaid::read(body),
        };
        // An error inside a 200 means what it would have meant as a status.
        let status = if reply.status.is_success() {
            error.status()
        } else {
            reply.status
        };
        Self::of_status(PlanReply { status, ..reply }, &error, requested, now)
    }

    /// Reads the answer to a path that Bedrock has nothing for. A success there may have any body, or
    /// none: a deleted file, the answer to a HEAD, the content of a file.
    pub fn read_of_other_path(
        reply: PlanReply<'_>,
        requested: Option<&ModelFamily>,
        now: Timestamp,
    ) -> Self {
        let is_content = match reply.opening {
            Opening::Whole(body) => {
                reply.status.is_success() && matches!(ErrorSaid::in_success(body), Body::Unreadable)
            }
            _ => false,
        };
        let opening = if is_content {
            Opening::Content
        } else {
            reply.opening
        };
        Self::read(PlanReply { opening, ..reply }, requested, now)
    }

    /// There is no answer: no connection, no TLS, no first byte in time, or a redirect, which nobody
    /// follows.
    pub const fn no_answer() -> Self {
        Self::Broken { retry_at: None }
    }

    fn of_status(
        reply: PlanReply<'_>,
        error: &ErrorSaid,
        requested: Option<&ModelFamily>,
        now: Timestamp,
    ) -> Self {
        let headers = reply.headers;
        let retry_at = || retry_after(headers, now);
        match reply.status.as_u16() {
            200..=299 => Self::Good,
            429 => {
                if let Some(limit) = unified_limit(headers, requested, now) {
                    limit
                } else if error.is_about_entitlement() || tells_only_that_overage_is_off(headers) {
                    Self::Entitlement
                } else if error.is_spend_limit() {
                    limit_without_end()
                } else if !tells_of_a_limit(headers) {
                    Self::Burst
                } else {
                    Self::RateLimited {
                        retry_at: retry_at(),
                    }
                }
            }
            400 if error.is_out_of_extra_usage() => Self::Entitlement,
            400 if error.is_self_set_limit() || error.is_out_of_credit() => limit_without_end(),
            402 => limit_without_end(),
            529 => Self::Overloaded {
                retry_at: retry_at(),
            },
            500 if error.is_overload() => Self::Overloaded {
                retry_at: retry_at(),
            },
            401 | 403 if error.is_about_the_login() => Self::Login,
            // Something in front of Anthropic's API has answered: a challenge page, or a refusal of the
            // address or country that the request came from.
            401 | 403 => Self::Broken {
                retry_at: retry_at(),
            },
            400..=499 => Self::ClientFault,
            _ => Self::Broken {
                retry_at: retry_at(),
            },
        }
    }

    /// The class that decides whether the request falls back; `None` for what never does.
    pub fn fallback_class(&self) -> Option<FallbackClass> {
        match self {
            Self::UsageLimit { .. } => Some(FallbackClass::UsageLimit),
            Self::Entitlement => Some(FallbackClass::Entitlement),
            Self::RateLimited { .. } | Self::Burst => Some(FallbackClass::RateLimited),
            Self::Overloaded { .. } => Some(FallbackClass::Overloaded),
            Self::Broken { .. } => Some(FallbackClass::Broken),
            Self::Good | Self::Login | Self::ClientFault => None,
        }
    }

    /// The name in `x-spillway-upstream`, in logs and in the table.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::UsageLimit { .. } => "usage_limit",
            Self::Entitlement => "entitlement",
            Self::RateLimited { .. } => "rate_limited",
            Self::Burst => "burst",
            Self::Overloaded { .. } => "overloaded",
            Self::Broken { .. } => "broken",
            Self::Login => "login",
            Self::ClientFault => "client_fault",
        }
    }
}

fn limit_without_end() -> Verdict {
    Verdict::UsageLimit {
        of: LimitOf::Plan,
        until: None,
    }
}

const RATE_LIMIT: &str = "anthropic-ratelimit-";
const UNIFIED: &str = "anthropic-ratelimit-unified-";

/// Whether an answer tells anything about a limit or about when another try is welcome, readable or not.
fn tells_of_a_limit(headers: &HeaderMap) -> bool {
    headers.contains_key(RETRY_AFTER)
        || headers
            .keys()
            .any(|name| name.as_str().starts_with(RATE_LIMIT))
}

/// Whether all that an answer tells of limits is why extra usage is off: one model or beta is not
/// included, while the plan serves other requests (tombii/better-ccflare#261).
fn tells_only_that_overage_is_off(headers: &HeaderMap) -> bool {
    const REASON: &str = "anthropic-ratelimit-unified-overage-disabled-reason";
    headers.contains_key(REASON)
        && !headers.contains_key(RETRY_AFTER)
        && headers
            .keys()
            .all(|name| name == REASON || !name.as_str().starts_with(RATE_LIMIT))
}

/// The limit that the `anthropic-ratelimit-unified-*` headers of a subscription tell of, if any is
/// reached.
fn unified_limit(
    headers: &HeaderMap,
    requested: Option<&ModelFamily>,
    now: Timestamp,
) -> Option<Verdict> {
    let value = |name: &str| text(headers, &format!("{UNIFIED}{name}"));
    let summary = value("status");
    let is_of_plan = |window: &&str| matches!(*window, "5h" | "7d");
    let mut rejected: Vec<&str> = headers
        .keys()
        .filter_map(|name| name.as_str().strip_prefix(UNIFIED)?.strip_suffix("-status"))
        // Windows are named for their length: `5h`, `7d`, `7d_opus`. `overage` is none.
        .filter(|window| window.starts_with(|first: char| first.is_ascii_digit()))
        .filter(|window| value(&format!("{window}-status")) == Some("rejected"))
        .collect();
    let of_plan = rejected.iter().any(is_of_plan);
    if of_plan {
        rejected.retain(is_of_plan);
    } else if summary.is_some_and(|summary| summary != "rejected") {
        // Every answer tells of all windows. One of a family is the reason only where the summary
        // does not say otherwise.
        rejected.clear();
    }
    if rejected.is_empty() && summary != Some("rejected") {
        return None;
    }

    let of = if of_plan {
        LimitOf::Plan
    } else {
        // Of several families, the one that this request has to do with.
        let is_its = |window: &&str| {
            let named = named_family(window);
            named.is_none() || named.as_ref() == requested
        };
        if rejected.iter().any(is_its) {
            rejected.retain(is_its);
        }
        let claim = value("representative-claim").unwrap_or_default();
        let is_claimed = claim.starts_with("seven_day_") || claim.contains("overage");
        let named = match rejected.iter().min() {
            Some(window) => named_family(window),
            None if is_claimed => named_family(claim),
            None => return Some(limit_until(LimitOf::Plan, &rejected, headers, now)),
        };
        match named.as_ref().or(requested) {
            Some(family) => LimitOf::Family(family.clone()),
            // A limit of some model, of which nothing more is known than that this request met it.
            None => return Some(Verdict::Entitlement),
        }
    };
    Some(limit_until(of, &rejected, headers, now))
}

/// A limit, with the latest reset of its windows that is to come; or else the common one, or what
/// `retry-after` says.
fn limit_until(of: LimitOf, windows: &[&str], headers: &HeaderMap, now: Timestamp) -> Verdict {
    let to_come = |name: &str| {
        let seconds = text(headers, &format!("{UNIFIED}{name}"))?.parse().ok()?;
        Some(Timestamp::from_seconds(seconds)).filter(|reset| *reset > now)
    };
    let until = windows
        .iter()
        .filter_map(|window| to_come(&format!("{window}-reset")))
        .max()
        .or_else(|| to_come("reset"))
        .or_else(|| retry_after(headers, now));
    Verdict::UsageLimit { of, until }
}

/// The family that a window (`7d_opus`) or a claim (`seven_day_opus`) names. What is included of models
/// that are paid from overage (`7d_oi`) names none: it is the requested model's family then.
fn named_family(window_or_claim: &str) -> Option<ModelFamily> {
    let name = window_or_claim.rsplit('_').next()?;
    matches!(name, "opus" | "sonnet")
        .then(|| ModelFamily::of(&format!("claude-{name}")))
        .flatten()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// `retry-after` in whole seconds, which is all that Anthropic sends and its clients read.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let seconds: u32 = text(headers, "retry-after")?
        .parse::<u64>()
        .ok()
        .map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))?;
    (seconds > 0).then(|| now.plus(std::time::Duration::from_secs(seconds.into())))
}

/// The most bytes of an error's body that are read. Anthropic's have some hundred.
const ERROR_BYTES: usize = 64 * 1024;

/// What Anthropic's error envelope says.
#[derive(Debug, Default)]
struct ErrorSaid {
    kind: String,
    message: String,
    code: String,
    /// The body has not arrived, or not all of it.
    is_unread: bool,
}

enum Body {
    Answer,
    Error(ErrorSaid),
    Unreadable,
}

impl ErrorSaid {
    fn read(body: &[u8]) -> Self {
        let value = body
            .get(..ERROR_BYTES.min(body.len()))
            .filter(|read| read.len() == body.len())
            .and_then(|body| serde_json::from_slice::<Value>(body).ok())
            .unwrap_or_default();
        Self::of(&value)
    }

    fn of(value: &Value) -> Self {
        let word = |pointer: &str| {
            let text = value.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_ascii_lowercase()
        };
        Self {
            kind: word("/error/type"),
            message: word("/error/message"),
            code: word("/error/details/error_code"),
            is_unread: false,
        }
    }

    fn unread() -> Self {
        Self {
            is_unread: true,
            ..Self::default()
        }
    }

    /// What broke off may still be the whole envelope.
    fn read_part(body: &[u8]) -> Self {
        let error = Self::read(body);
        if error.kind.is_empty() {
            Self::unread()
        } else {
            error
        }
    }

    /// The body of a 2xx. A web page in front of everything, and nothing at all, are no answers.
    fn in_success(body: &[u8]) -> Body {
        #[derive(serde::Deserialize)]
        struct Envelope {
            r#type: Option<Value>,
            error: Option<Value>,
        }
        // Whatever else is in the object is skipped unread.
        match serde_json::from_slice::<Envelope>(body) {
            Err(_) => Body::Unreadable,
            Ok(envelope) if envelope.r#type == Some("error".into()) => {
                let value = serde_json::json!({ "error": envelope.error });
                Body::Error(Self::of(&value))
            }
            Ok(_) => Body::Answer,
        }
    }

    /// The status that an error of this type has when it is not inside a 200.
    fn status(&self) -> StatusCode {
        match self.kind.as_str() {
            "invalid_request_error" => StatusCode::BAD_REQUEST,
            "authentication_error" => StatusCode::UNAUTHORIZED,
            "billing_error" => StatusCode::PAYMENT_REQUIRED,
            "permission_error" => StatusCode::FORBIDDEN,
            "not_found_error" => StatusCode::NOT_FOUND,
            "request_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
            "rate_limit_error" => StatusCode::TOO_MANY_REQUESTS,
            "timeout_error" => StatusCode::GATEWAY_TIMEOUT,
            "overloaded_error" => StatusCode::from_u16(529).unwrap_or(StatusCode::BAD_GATEWAY),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn is_about_entitlement(&self) -> bool {
        self.code == "credits_required"
            || ["extra usage", "usage credits", "long context"]
                .iter()
                .any(|words| self.message.contains(words))
    }

    /// "You're out of extra usage. …" and "Third-party apps now draw from your extra usage, …", which
    /// come as a 400, and what is said of usage credits in the same place.
    fn is_out_of_extra_usage(&self) -> bool {
        self.kind == "invalid_request_error"
            && ["extra usage", "usage credits"]
                .iter()
                .any(|words| self.message.contains(words))
    }

    /// An overload that comes as a 500 (anthropics/claude-code#8107).
    fn is_overload(&self) -> bool {
        self.kind == "api_error" && self.message.starts_with("overloaded")
    }

    /// An answer whose body did not arrive may be about the login, and must not be billed on Bedrock.
    fn is_about_the_login(&self) -> bool {
        self.is_unread
            || matches!(
                self.kind.as_str(),
                "authentication_error" | "permission_error"
            )
    }

    fn is_spend_limit(&self) -> bool {
        // A cloud's own limit stands in the message.
        self.code.ends_with("spend_limit_reached") || self.message.contains("spend_limit_reached")
    }

    /// "You have reached your specified API usage limits", or "… workspace API usage limits".
    fn is_self_set_limit(&self) -> bool {
        self.message.contains("you have reached your specified")
            && self.message.contains("api usage limits")
    }

    fn is_out_of_credit(&self) -> bool {
        self.message.contains("credit balance is too low")
    }
}
