//! The shapes of an `InvokeModel` request.
//!
//! Source: Anthropic's Messages API reference, and the Bedrock user guide's page on Claude Messages; the
//! set of top-level fields as in `BerriAI/litellm`.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::request::json::Object;
use crate::request::parts::{CitationsConfig, ToolInput};
use crate::request::thinking::ThinkingField;
use crate::request::tools::Custom;

/// `M` is the list of messages; it is serialized message by message.
#[derive(Serialize)]
pub(super) struct Body<'b, M> {
    pub(super) anthropic_version: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) anthropic_beta: &'b [&'static str],
    pub(super) max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Tool<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<ToolChoice<'b>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) system: Vec<Block<'b>>,
    pub(super) messages: M,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<&'b ThinkingField<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_config: Option<OutputConfig<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_k: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) stop_sequences: &'b [&'b str],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<Metadata<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context_management: Option<ContextManagement<'b>>,
}

#[derive(Serialize)]
pub(super) struct Message<P> {
    pub(super) role: &'static str,
    pub(super) content: P,
}

#[derive(Serialize)]
pub(super) struct Block<'b> {
    #[serde(flatten)]
    pub(super) kind: Kind<'b>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<CacheControl>,
}

pub(super) enum Kind<'b> {
    Own(OwnKind<'b>),
    Native(&'b Object<'b>),
}

impl Serialize for Kind<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Own(own) => own.serialize(serializer),
            Self::Native(object) => object.serialize(serializer),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum OwnKind<'b> {
    Text {
        text: &'b str,
        #[serde(skip_serializing_if = "Option::is_none")]
        citations: Option<&'b RawValue>,
    },
    Image {
        source: Base64<'b>,
    },
    Document {
        source: DocumentSource<'b>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'b str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        context: Option<&'b str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        citations: Option<CitationsConfig>,
    },
    ToolUse {
        id: &'b str,
        name: &'b str,
        input: ToolInput<'b>,
    },
    ToolResult {
        tool_use_id: &'b str,
        content: Vec<Block<'b>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        is_error: Option<bool>,
    },
    Thinking {
        thinking: &'b str,
        signature: &'b str,
    },
    RedactedThinking {
        data: &'b str,
    },
    ToolAddition {
        tool: ToolReference<'b>,
    },
    ToolRemoval {
        tool: ToolReference<'b>,
    },
    SearchResult {
        source: &'b str,
        title: &'b str,
        content: Vec<Block<'b>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        citations: Option<CitationsConfig>,
    },
}

#[derive(Serialize)]
pub(super) struct ToolReference<'b> {
    pub(super) r#type: &'static str,
    pub(super) name: &'b str,
}

#[derive(Serialize)]
pub(super) struct Base64<'b> {
    pub(super) r#type: &'static str,
    pub(super) media_type: Cow<'static, str>,
    pub(super) data: &'b str,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum DocumentSource<'b> {
    Data(Base64<'b>),
    Content {
        r#type: &'static str,
        content: Vec<Block<'b>>,
    },
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct CacheControl {
    pub(super) r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<&'static str>,
}

pub(super) struct Tool<'b> {
    pub(super) kind: ToolKind<'b>,
    pub(super) cache_control: Option<CacheControl>,
}

pub(super) enum ToolKind<'b> {
    Custom(&'b Custom<'b>),
    Native(&'b Object<'b>),
}

impl Serialize for Tool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.kind {
            ToolKind::Custom(tool) => {
                map.serialize_entry("name", &tool.name)?;
                if let Some(description) = tool.description {
                    map.serialize_entry("description", description)?;
                }
                map.serialize_entry("input_schema", &tool.schema)?;
                if let Some(strict) = tool.strict {
                    map.serialize_entry("strict", &strict)?;
                }
                if tool.deferred {
                    map.serialize_entry("defer_loading", &true)?;
                }
            }
            ToolKind::Native(object) => {
                for (key, value) in object.entries() {
                    map.serialize_entry(key, value)?;
                }
            }
        }
        if let Some(cache_control) = self.cache_control {
            map.serialize_entry("cache_control", &cache_control)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
pub(super) struct ToolChoice<'b> {
    pub(super) r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) disable_parallel_tool_use: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct OutputConfig<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<Format<'b>>,
}

#[derive(Serialize)]
pub(super) struct Format<'b> {
    pub(super) r#type: &'static str,
    pub(super) schema: &'b RawValue,
}

#[derive(Serialize)]
pub(super) struct Metadata<'b> {
    pub(super) user_id: &'b RawValue,
}

#[derive(Serialize)]
pub(super) struct ContextManagement<'b> {
    pub(super) edits: Vec<&'b RawValue>,
}

#[derive(Serialize)]
pub(super) struct CountBody {
    pub(super) input: CountInput,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CountInput {
    pub(super) invoke_model: CountModel,
}

#[derive(Serialize)]
pub(super) struct CountModel {
    pub(super) body: String,
}
