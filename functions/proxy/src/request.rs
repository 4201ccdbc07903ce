//! One request on its way: as it arrived, and once its key was admitted.

use bytes::Bytes;
use domain::grant::Grant;
use domain::id::RequestId;
use domain::model_family::ModelFamily;
use domain::policy::Policy;
use domain::route::BedrockKeyState;
use domain::time::Timestamp;
use http::{HeaderMap, Method};
use serde::Deserialize;
use store::cache::CachedKey;

use crate::deadline::RequestDeadlines;
use crate::plan::url::PlanUrl;
use crate::request_kind::RequestKind;

/// A request whose URL can be sent to Plan and whose body is there.
pub(crate) struct IncomingRequest<'a> {
    pub(crate) id: RequestId,
    pub(crate) kind: RequestKind,
    pub(crate) method: Method,
    /// The URL of the request to Plan.
    pub(crate) url: PlanUrl,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) deadlines: RequestDeadlines,
}

/// A request of an admitted key, with all that decides where it goes.
pub(crate) struct AuthorizedRequest<'a> {
    pub(crate) incoming: IncomingRequest<'a>,
    pub(crate) key: CachedKey,
    pub(crate) grant: Grant,
    /// The policy in force.
    pub(crate) policy: Policy,
    /// The family of the requested model.
    pub(crate) family: Option<ModelFamily>,
}

impl AuthorizedRequest<'_> {
    /// The state of the Bedrock key before anything is sent: usable when one is registered whose recorded
    /// end, if any, is still to come.
    pub(crate) fn bedrock_key_state(&self, now: Timestamp) -> BedrockKeyState {
        let binding = self.key.binding.as_ref();
        let is_usable = binding.is_some_and(|binding| {
            let end = binding.summary.bedrock_key_expires_at;
            end.is_none_or(|end| now < end)
        });
        if is_usable {
            BedrockKeyState::Usable
        } else {
            BedrockKeyState::Missing
        }
    }
}

/// The members of a body that decide the route. A body that is no such JSON has none, and Plan judges it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct BodyHead {
    pub(crate) model: Option<String>,
    stream: Option<bool>,
}

impl BodyHead {
    pub(crate) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.stream == Some(true)
    }
}

/// The conversation that a request belongs to, as Claude Code names it: a UUID, of which at most 64
/// characters are kept.
pub(crate) fn session_id(headers: &HeaderMap) -> Option<String> {
    let session = headers.get("x-claude-code-session-id")?.to_str().ok()?;
    Some(session.chars().take(64).collect()).filter(|session: &String| !session.is_empty())
}
