//! Parts of a turn: content blocks in the form that Bedrock supports.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::anthropic::{Document, SearchResult};
use super::json::Object;

/// A part of a turn.
#[derive(Clone, Debug)]
pub(super) enum Part<'r> {
    Text {
        text: Cow<'r, str>,
        citations: Option<&'r RawValue>,
    },
    Image {
        format: &'static str,
        data: &'r str,
    },
    Document(DocumentPart<'r>),
    ToolUse {
        id: Cow<'r, str>,
        name: Cow<'r, str>,
        input: ToolInput<'r>,
    },
    ToolResult(ToolResult<'r>),
    Thinking {
        text: &'r str,
        signature: &'r str,
    },
    Redacted {
        data: &'r str,
    },
    SearchResult(&'r SearchResult<'r>),
    /// A tool is added or removed here. Only `InvokeModel` supports it.
    ToolChange {
        addition: bool,
        name: Cow<'r, str>,
    },
    /// A block that only `InvokeModel` supports, unchanged except for `cache_control`.
    Native(Object<'r>),
}

/// The result of a tool call.
#[derive(Clone, Debug)]
pub(super) struct ToolResult<'r> {
    /// The id of the call.
    pub(super) id: Cow<'r, str>,
    pub(super) parts: Vec<Part<'r>>,
    pub(super) is_error: Option<bool>,
}

/// A document.
#[derive(Clone, Debug)]
pub(super) struct DocumentPart<'r> {
    /// Unique in the conversation, and the same in every later request of it.
    pub(super) name: String,
    pub(super) content: DocumentContent<'r>,
    pub(super) document: &'r Document<'r>,
}

#[derive(Clone, Debug)]
pub(super) enum DocumentContent<'r> {
    Pdf(&'r str),
    Text(&'r str),
    Texts(Vec<&'r str>),
}

/// The input of a tool call. An absent input is written as `{}`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum ToolInput<'r> {
    Given(&'r RawValue),
    Empty {},
}

impl<'r> From<Option<&'r RawValue>> for ToolInput<'r> {
    fn from(input: Option<&'r RawValue>) -> Self {
        input.map_or(Self::Empty {}, Self::Given)
    }
}

/// `citations` of a document or search result, in the form of Converse and of Anthropic.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct CitationsConfig {
    enabled: bool,
}

impl CitationsConfig {
    /// The member for requested citations; None without citations.
    pub(super) fn when(requested: bool) -> Option<Self> {
        requested.then_some(Self { enabled: true })
    }
}

impl<'r> Part<'r> {
    pub(super) fn text(text: impl Into<Cow<'r, str>>) -> Self {
        Self::Text {
            text: text.into(),
            citations: None,
        }
    }

    pub(super) fn is_thinking(&self) -> bool {
        matches!(self, Self::Thinking { .. } | Self::Redacted { .. })
    }
}
