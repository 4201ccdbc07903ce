//! Audit records: who changed what, when, from which state to which (requirement R5.2). A record is written
//! in the transaction of its change and never updated.

use std::time::Duration;

use domain::id::RequestId;
use domain::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::StoreError;
use crate::layout::{IN_AUDIT, PK_AUDIT};
use crate::table::{Row, unwritable};

/// The time after which DynamoDB may remove a record (requirement R6.8): 7 years.
const RETENTION: Duration = Duration::from_hours(7 * 365 * 24);

/// A change that an admin made.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRecord {
    /// Names the record: `aud_…`.
    pub id: String,
    /// The time of the change.
    pub at: Timestamp,
    /// The request that made it.
    pub request_id: RequestId,
    /// The principal that made it: an IAM ARN, or `local:NAME` on one machine.
    pub caller: String,
    /// The kind of the change, such as `key.revoke`.
    pub action: &'static str,
    /// The id of the changed user or key, or `deployment`.
    pub target: String,
    /// The state before, as the admin API shows it, without secrets; `None` for a new target.
    pub before: Option<Value>,
    /// The state after, as the admin API shows it, without secrets; `None` for a removed target.
    pub after: Option<Value>,
}

#[derive(Serialize)]
pub(crate) struct AuditRow<'a> {
    id: &'a str,
    at: Timestamp,
    request_id: &'a str,
    caller: &'a str,
    action: &'a str,
    target: &'a str,
    /// JSON text: it is shown and compared as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    expires_s: i64,
}

impl AuditRecord {
    /// One partition per day of UTC, in the order of time; the index lists the records of each target.
    pub(crate) fn to_row(&self) -> Result<Row<AuditRow<'_>>, StoreError> {
        let json = |state: &Option<Value>| state.as_ref().map(serde_json::to_string).transpose();
        let body = AuditRow {
            id: &self.id,
            at: self.at,
            request_id: self.request_id.as_str(),
            caller: &self.caller,
            action: self.action,
            target: &self.target,
            before: json(&self.before).map_err(unwritable)?,
            after: json(&self.after).map_err(unwritable)?,
            expires_s: self.at.plus(RETENTION).as_millis() / 1000,
        };
        let day: String = self.at.to_string().chars().take(10).collect();
        let order = format!("{:015}#{}", self.at.as_millis(), self.id);
        let row = Row::new(format!("{PK_AUDIT}#{day}"), order.clone(), body);
        Ok(row.listed(format!("{IN_AUDIT}#{}", self.target), order))
    }
}
