//! From the key in the URL to the grant without which no request goes on.

use std::sync::Arc;
use std::time::Duration;

use domain::grant::{Denial, Grant};
use domain::key::AccessKey;
use domain::time::Timestamp;
use store::cache::{AccessCache, CachedKey};
use tokio::time::timeout;

/// A request is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdmissionError {
    /// The key is not served.
    Denied(Denial),
    /// The key cannot be checked.
    Unavailable,
}

/// Resolves the text of an access key, within `deadline`, and admits it at `now`.
pub(crate) async fn admit(
    directory: &AccessCache,
    key: &str,
    now: Timestamp,
    deadline: Duration,
) -> Result<(CachedKey, Grant), AdmissionError> {
    let malformed = AdmissionError::Denied(Denial::Malformed);
    let key = AccessKey::parse(key).map_err(|_| malformed)?;
    let Ok(resolved) = timeout(deadline, directory.resolve(&key, now)).await else {
        tracing::error!("reading the access key timed out");
        return Err(AdmissionError::Unavailable);
    };
    let resolved = resolved.map_err(|error| {
        tracing::error!(%error, "the access key cannot be read");
        AdmissionError::Unavailable
    })?;
    let resolved = resolved.ok_or(AdmissionError::Denied(Denial::Unknown))?;
    let grant = Arc::clone(&resolved.record).admit(now);
    let grant = grant.map_err(AdmissionError::Denied)?;
    Ok((resolved, grant))
}
