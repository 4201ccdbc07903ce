//! The invocation of a command, and the ids that it makes.

use std::str::FromStr;

use domain::id::RequestId;
use domain::time::Timestamp;

/// One invocation of a command: the caller, the request and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The principal: an IAM ARN, or `local:NAME` on one machine.
    pub caller: String,
    /// Names the invocation in audit records.
    pub request_id: RequestId,
    /// The time.
    pub now: Timestamp,
}

impl Invocation {
    /// An invocation on this machine by the person of this name.
    pub fn local(name: &str, now: Timestamp) -> Self {
        Self {
            caller: format!("local:{name}"),
            request_id: new_id(RequestId::PREFIX),
            now,
        }
    }
}

pub(crate) fn new_id<T>(prefix: &str) -> T
where
    T: FromStr,
    T::Err: std::fmt::Debug,
{
    #[expect(
        clippy::expect_used,
        reason = "the prefix and hexadecimal digits are of the id's form"
    )]
    format!("{prefix}{}", new_uuid())
        .parse()
        .expect("the prefix and hexadecimal digits are its form")
}

pub(crate) fn new_uuid() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place where these ids are made"
    )]
    uuid::Uuid::now_v7().simple().to_string()
}
