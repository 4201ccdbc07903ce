//! The kinds of verdicts.

use std::fmt;
use std::str::FromStr;

use crate::policy::FallbackClass;

/// The kind of a [`Verdict`](super::Verdict). Displays as in headers and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictKind {
    /// See [`Verdict::Good`](super::Verdict::Good).
    Good,
    /// See [`Verdict::UsageLimit`](super::Verdict::UsageLimit).
    UsageLimit,
    /// See [`Verdict::Entitlement`](super::Verdict::Entitlement).
    Entitlement,
    /// See [`Verdict::RateLimited`](super::Verdict::RateLimited).
    RateLimited,
    /// See [`Verdict::Burst`](super::Verdict::Burst).
    Burst,
    /// See [`Verdict::Overloaded`](super::Verdict::Overloaded).
    Overloaded,
    /// See [`Verdict::Broken`](super::Verdict::Broken).
    Broken,
    /// See [`Verdict::Login`](super::Verdict::Login).
    Login,
    /// See [`Verdict::ClientFault`](super::Verdict::ClientFault).
    ClientFault,
}

impl VerdictKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Good,
        Self::UsageLimit,
        Self::Entitlement,
        Self::RateLimited,
        Self::Burst,
        Self::Overloaded,
        Self::Broken,
        Self::Login,
        Self::ClientFault,
    ];

    /// The name in `x-spillway-upstream`, in logs and in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::UsageLimit => "usage_limit",
            Self::Entitlement => "entitlement",
            Self::RateLimited => "rate_limited",
            Self::Burst => "burst",
            Self::Overloaded => "overloaded",
            Self::Broken => "broken",
            Self::Login => "login",
            Self::ClientFault => "client_fault",
        }
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that is not the name of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a verdict")]
pub struct UnknownVerdict;

impl FromStr for VerdictKind {
    type Err = UnknownVerdict;

    fn from_str(text: &str) -> Result<Self, UnknownVerdict> {
        let mut kinds = Self::ALL.into_iter();
        kinds
            .find(|kind| kind.as_str() == text)
            .ok_or(UnknownVerdict)
    }
}

impl From<FallbackClass> for VerdictKind {
    fn from(class: FallbackClass) -> Self {
        match class {
            FallbackClass::UsageLimit => Self::UsageLimit,
            FallbackClass::RateLimited => Self::RateLimited,
            FallbackClass::Entitlement => Self::Entitlement,
            FallbackClass::Overloaded => Self::Overloaded,
            FallbackClass::Broken => Self::Broken,
        }
    }
}
