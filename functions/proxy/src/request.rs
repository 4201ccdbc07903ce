//! One request on its way: what it asks for, and what it is once its key was admitted.

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
use crate::plan::PlanUrl;

/// What a request asks for. Method and path decide; whether a message is streamed is in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    /// `POST /v1/messages` with `"stream": true`.
    StreamedMessage,
    /// `POST /v1/messages`.
    Message,
    /// `POST /v1/messages/count_tokens`.
    CountTokens,
    /// `GET /v1/models`.
    ModelList,
    /// Anything else under `/v1/`. Plan answers it.
    Other,
}

impl RequestKind {
    /// The name in logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::StreamedMessage | Self::Message => "messages",
            Self::CountTokens => "count_tokens",
            Self::ModelList | Self::Other => "plan_only",
        }
    }

    /// The kind, now that the body is there.
    pub(crate) const fn with_stream(self, is_stream: bool) -> Self {
        match self {
            Self::Message if is_stream => Self::StreamedMessage,
            kind => kind,
        }
    }

    /// Whether its response is a message.
    pub(crate) const fn is_message(self) -> bool {
        matches!(self, Self::StreamedMessage | Self::Message)
    }

    /// Whether Bedrock can answer it.
    pub(crate) const fn has_fallback(self) -> bool {
        self.is_message() || matches!(self, Self::CountTokens)
    }

    /// Whether the deployment's own Plan key may be sent for a client without a credential (requirement
    /// R1.6). The rest of the API would show one developer what others keep in the key's workspace.
    pub(crate) const fn allows_default_key(self) -> bool {
        !matches!(self, Self::Other)
    }
}

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
