//! What requests ask for.

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
