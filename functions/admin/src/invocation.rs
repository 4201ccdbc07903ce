//! The invocation of a command.

use domain::id::RequestId;
use domain::time::Timestamp;
use service::id::new_id;

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
