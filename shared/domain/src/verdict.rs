//! What a response of Plan means.
//!
//! The router ([`crate::route`]) and the breaker ([`crate::breaker`]) read the same [`Verdict`], so they
//! cannot drift apart. The table of `docs/failure-taxonomy.md` is compared with the cases that test this
//! module.

mod error_body;
mod kind;
mod limit_headers;

use http::{HeaderMap, StatusCode};

use self::error_body::{ErrorBody, SuccessBody};
pub use self::kind::{UnknownVerdict, VerdictKind};
use self::limit_headers::{
    has_limit_headers, has_only_disabled_overage, retry_after, unified_limit,
};
use crate::model_family::ModelFamily;
use crate::policy::FallbackClass;
use crate::time::Timestamp;

/// A response of Plan of which the client has received nothing.
#[derive(Clone, Copy, Debug)]
pub struct PlanResponse<'a> {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers. None is trusted: numbers are bounded where they are used, and a header that cannot be
    /// read counts as absent.
    pub headers: &'a HeaderMap,
    /// How the body begins.
    pub body: BodyStart<&'a [u8]>,
}

/// How the body of a response begins. `B` holds bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyStart<B> {
    /// An event stream that has come to its content, or any other body that need not be looked at.
    Content,
    /// All of a body that is no event stream.
    Whole(B),
    /// The part of an error's body that came before it broke off or fell silent.
    Part(B),
    /// An event stream that is alive but has not come to its content in the time for which it is buffered.
    /// It counts as good: Plan has accepted the request.
    Pending,
    /// An event stream whose first event with a meaning is `error`: that event's data.
    ErrorEvent(B),
    /// An event stream that ended, broke off or fell silent before it came to any content.
    Nothing,
}

impl<B: AsRef<[u8]>> BodyStart<B> {
    /// The same start with borrowed bytes.
    pub fn as_bytes(&self) -> BodyStart<&[u8]> {
        match self {
            Self::Content => BodyStart::Content,
            Self::Whole(bytes) => BodyStart::Whole(bytes.as_ref()),
            Self::Part(bytes) => BodyStart::Part(bytes.as_ref()),
            Self::Pending => BodyStart::Pending,
            Self::ErrorEvent(bytes) => BodyStart::ErrorEvent(bytes.as_ref()),
            Self::Nothing => BodyStart::Nothing,
        }
    }
}

/// The meaning of one response of Plan, or of its absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A success.
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
    pub fn read(
        response: PlanResponse<'_>,
        requested: Option<&ModelFamily>,
        now: Timestamp,
    ) -> Self {
        let error = match response.body {
            BodyStart::Content | BodyStart::Pending => {
                return Self::of_status(response, &ErrorBody::default(), requested, now);
            }
            BodyStart::Nothing | BodyStart::Part(_) if response.status.is_success() => {
                return Self::Broken { retry_at: None };
            }
            BodyStart::Nothing => ErrorBody::unread(),
            BodyStart::Part(body) => ErrorBody::read_part(body),
            BodyStart::Whole(body) if response.status.is_success() => {
                match ErrorBody::in_success(body) {
                    SuccessBody::Answer => return Self::Good,
                    SuccessBody::Unreadable => return Self::Broken { retry_at: None },
                    SuccessBody::Error(error) => error,
                }
            }
            BodyStart::Whole(body) | BodyStart::ErrorEvent(body) => ErrorBody::read(body),
        };
        // An error inside a 200 means what it would have meant as a status.
        let status = if response.status.is_success() {
            error.status()
        } else {
            response.status
        };
        Self::of_status(PlanResponse { status, ..response }, &error, requested, now)
    }

    /// Reads the answer to a path that Bedrock has nothing for. A success there may have any body, or
    /// none: a deleted file, the answer to a HEAD, the content of a file.
    pub fn read_of_other_path(
        response: PlanResponse<'_>,
        requested: Option<&ModelFamily>,
        now: Timestamp,
    ) -> Self {
        let is_content = match response.body {
            BodyStart::Whole(body) => {
                response.status.is_success()
                    && matches!(ErrorBody::in_success(body), SuccessBody::Unreadable)
            }
            _ => false,
        };
        let body = if is_content {
            BodyStart::Content
        } else {
            response.body
        };
        Self::read(PlanResponse { body, ..response }, requested, now)
    }

    /// There is no answer: no connection, no TLS, no first byte in time, or a redirect, which nobody
    /// follows.
    pub const fn no_answer() -> Self {
        Self::Broken { retry_at: None }
    }

    fn of_status(
        response: PlanResponse<'_>,
        error: &ErrorBody,
        requested: Option<&ModelFamily>,
        now: Timestamp,
    ) -> Self {
        let headers = response.headers;
        let retry_at = || retry_after(headers, now);
        match response.status.as_u16() {
            200..=299 => Self::Good,
            429 => {
                if let Some(limit) = unified_limit(headers, requested, now) {
                    limit
                } else if error.is_about_entitlement() || has_only_disabled_overage(headers) {
                    Self::Entitlement
                } else if error.is_spend_limit() {
                    limit_without_end()
                } else if !has_limit_headers(headers) {
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

    /// The kind of verdict, without what it carries.
    pub const fn kind(&self) -> VerdictKind {
        match self {
            Self::Good => VerdictKind::Good,
            Self::UsageLimit { .. } => VerdictKind::UsageLimit,
            Self::Entitlement => VerdictKind::Entitlement,
            Self::RateLimited { .. } => VerdictKind::RateLimited,
            Self::Burst => VerdictKind::Burst,
            Self::Overloaded { .. } => VerdictKind::Overloaded,
            Self::Broken { .. } => VerdictKind::Broken,
            Self::Login => VerdictKind::Login,
            Self::ClientFault => VerdictKind::ClientFault,
        }
    }

    /// The name in logs and in the table.
    pub const fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }
}

fn limit_without_end() -> Verdict {
    Verdict::UsageLimit {
        of: LimitOf::Plan,
        until: None,
    }
}
