//! The meaning of a response of Plan.
//!
//! The router ([`crate::route`]) and the breaker ([`crate::breaker`]) read the same [`Verdict`], so
//! their decisions agree. The tests of this module compare its cases with the table of
//! `docs/failure-taxonomy.md`.

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
    /// An event stream that has reached its content, or another body that has no effect on the verdict.
    Content,
    /// A whole body other than an event stream.
    Whole(B),
    /// The part of an error's body that arrived before it broke off or stalled.
    Part(B),
    /// An event stream that is alive but has not reached its content within the buffering time. It counts as
    /// good: Plan has accepted the request.
    Pending,
    /// An event stream whose first event with a meaning is `error`: that event's data.
    ErrorEvent(B),
    /// An event stream that ended, broke off or stalled before any content.
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
    /// A usage limit of the plan, or of one model family within it, is reached.
    UsageLimit {
        /// The subject of the limit.
        of: LimitOf,
        /// The end of the limit, where the response names a future time. The value is unbounded; the
        /// breaker caps it.
        until: Option<Timestamp>,
    },
    /// The request needs a feature that the plan does not include, such as long context.
    Entitlement,
    /// Plan throttles requests.
    RateLimited {
        /// The earliest time for another try, where the response names one.
        retry_at: Option<Timestamp>,
    },
    /// Plan rejects a request that arrived close to others, or that does not look like Claude Code's: a 429
    /// without a time for another try and without a header about limits. It occurs on plans that are far below
    /// their limits.
    Burst,
    /// Anthropic has no capacity.
    Overloaded {
        /// The earliest time for another try, where the response names one.
        retry_at: Option<Timestamp>,
    },
    /// Anthropic failed, or no response arrived.
    Broken {
        /// The earliest time for another try, where the response names one.
        retry_at: Option<Timestamp>,
    },
    /// Anthropic rejected the developer's own login, with `authentication_error` or `permission_error`. This
    /// verdict never falls back, because Bedrock would bill the requests of a logged-out developer.
    Login,
    /// Plan rejected the request itself. Another upstream would reject it too.
    ClientFault,
}

/// The subject of a usage limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitOf {
    /// The whole plan.
    Plan,
    /// One model family; the plan serves other models.
    Family(ModelFamily),
}

impl Verdict {
    /// Reads a response. `requested` is the family of the requested model, where it has one. `now` turns
    /// `retry-after` into a time and separates future resets from past ones.
    ///
    /// The cases are the rows of the table, from top to bottom. A limit of one family is separated from a limit
    /// of the plan first, because both have `anthropic-ratelimit-unified-status: rejected`.
    pub fn read(
        response: PlanResponse<'_>,
        requested: Option<&ModelFamily>,
        now: Timestamp,
    ) -> Self {
        let error = match response.body {
            BodyStart::Content | BodyStart::Pending if response.status.is_success() => {
                return Self::Good;
            }
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
                    SuccessBody::Response => return Self::Good,
                    SuccessBody::Unreadable => return Self::Broken { retry_at: None },
                    SuccessBody::Error(error) => error,
                }
            }
            BodyStart::Whole(body) | BodyStart::ErrorEvent(body) => ErrorBody::read(body),
        };
        // An error inside a 200 has the meaning of its own status.
        let status = if response.status.is_success() {
            error.status()
        } else {
            response.status
        };
        Self::of_status(PlanResponse { status, ..response }, &error, requested, now)
    }

    /// Reads a response on a path without an equivalent on Bedrock. A success may have any body or none: a
    /// deleted file, the response to a HEAD, the content of a file.
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

    /// The verdict without a response: no connection, no TLS, no first byte in time, or a redirect, which the
    /// proxy does not follow.
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
            // A server in front of Anthropic's API responded, with a challenge page or with a rejection of the
            // request's address or country.
            401 | 403 => Self::Broken {
                retry_at: retry_at(),
            },
            400..=499 => Self::ClientFault,
            _ => Self::Broken {
                retry_at: retry_at(),
            },
        }
    }

    /// The class by which the policy decides on a fallback; `None` for a verdict that never falls back.
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

    /// The kind of the verdict, without its values.
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
