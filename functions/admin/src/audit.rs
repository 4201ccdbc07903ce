//! The audit record of a change.

use std::fmt::Display;

use serde::Serialize;
use service::id::new_uuid;
use store::audit::AuditRecord;

use crate::execute::AdminError;
use crate::invocation::Invocation;

/// The audit record of a change of `target` from the first state to the second. The states are values of
/// the API, in which secrets are masked.
pub(crate) fn audit_record<T: Serialize>(
    invocation: &Invocation,
    action: &'static str,
    target: impl Display,
    (before, after): (Option<&T>, Option<&T>),
) -> Result<AuditRecord, AdminError> {
    let json = |state: Option<&T>| state.map(serde_json::to_value).transpose();
    let invalid = |error: serde_json::Error| AdminError::Invalid(error.to_string());
    Ok(AuditRecord {
        id: format!("aud_{}", new_uuid()),
        at: invocation.now,
        request_id: invocation.request_id.clone(),
        caller: invocation.caller.clone(),
        action,
        target: target.to_string(),
        before: json(before).map_err(invalid)?,
        after: json(after).map_err(invalid)?,
    })
}
