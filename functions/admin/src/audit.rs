//! Who invokes a command, and the audit record of a change.

use domain::id::RequestId;
use domain::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::audit::AuditRecord;

use crate::AdminError;
use crate::execute::{new_id, new_uuid};

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

/// A change, for its audit record.
pub(crate) struct Change {
    pub(crate) action: &'static str,
    pub(crate) target: String,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
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

    pub(crate) fn audit(&self, change: Change) -> AuditRecord {
        AuditRecord {
            id: format!("aud_{}", new_uuid()),
            at: self.now,
            request_id: self.request_id.clone(),
            caller: self.caller.clone(),
            action: change.action,
            target: change.target,
            before: change.before,
            after: change.after,
        }
    }
}

/// A state as the audit record has it: the value of the API, in which secrets are masked.
pub(crate) fn json(state: &impl Serialize) -> Result<Value, AdminError> {
    serde_json::to_value(state).map_err(|error| AdminError::Invalid(error.to_string()))
}
