//! Conversations that stay on Bedrock for a while, for the sake of their prompt cache.

use std::time::Duration;

use domain::route::BedrockKeyState;
use domain::time::Timestamp;
use store::cache::AccessCache;
use store::sessions::BedrockSession;
use tokio::time::timeout;

use crate::request::{AuthorizedRequest, session_id};

/// Whether the conversation of the request was on Bedrock so recently that it stays there.
pub(crate) fn is_pinned(request: &AuthorizedRequest<'_>, now: Timestamp) -> bool {
    let stickiness = request.policy.session_stickiness;
    if stickiness.is_zero() || request.bedrock_key_state(now) != BedrockKeyState::Usable {
        return false;
    }
    let until = session_id(request.incoming.headers)
        .and_then(|session_id| request.key.session(&session_id));
    until.is_some_and(|until| now < until && until.since(now) <= stickiness)
}

/// Pins the conversation of the request, which Bedrock had to answer, where the policy lets it stay. A failed
/// write is logged; the response does not wait longer than `deadline` for it.
pub(crate) async fn pin(
    request: &AuthorizedRequest<'_>,
    directory: &AccessCache,
    now: Timestamp,
    deadline: Duration,
) {
    let stickiness = request.policy.session_stickiness;
    let session_id = session_id(request.incoming.headers);
    let Some(session_id) = session_id.filter(|_| !stickiness.is_zero()) else {
        return;
    };
    let until = now.plus(stickiness);
    let session = BedrockSession { session_id, until };
    let hash = &request.key.hash;
    let writing = directory.table().put_session(hash, &session);
    match timeout(deadline, writing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a conversation on Bedrock was not recorded"),
        Err(_) => tracing::warn!("recording a conversation on Bedrock timed out"),
    }
    directory.update_cached_session(hash, session, now);
}
