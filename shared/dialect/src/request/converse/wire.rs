//! The shapes of a Converse request.
//!
//! Source: the Amazon Bedrock Runtime API reference, as of the service model in botocore 1.44. A
//! union of the API is an enum.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::request::json::Object;
use crate::request::labels::RequestLabels;
use crate::request::parts::{CitationsConfig, ToolInput};
use crate::request::thinking::ThinkingField;

/// `M` is the list of messages; it is serialized message by message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'b, M> {
    pub(super) messages: M,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) system: Vec<SystemBlock<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inference_config: Option<InferenceConfig<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_config: Option<ToolConfig<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_config: Option<OutputConfig<'b>>,
    #[serde(skip_serializing_if = "ModelFields::is_empty")]
    pub(super) additional_model_request_fields: ModelFields<'b>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) additional_model_response_field_paths: Option<[&'static str; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_metadata: Option<&'b RequestLabels>,
}

#[derive(Serialize)]
pub(super) struct Message<P> {
    pub(super) role: &'static str,
    pub(super) content: P,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum SystemBlock<'b> {
    Text(&'b str),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'b> {
    Text(&'b str),
    Image(Image<'b>),
    Document(Document<'b>),
    ToolUse(ToolUse<'b>),
    ToolResult(ToolResult<'b>),
    ReasoningContent(Reasoning<'b>),
    SearchResult(SearchResult<'b>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
pub(super) struct CachePoint {
    pub(super) r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Image<'b> {
    pub(super) format: &'static str,
    pub(super) source: Bytes<'b>,
}

#[derive(Serialize)]
pub(super) struct Bytes<'b> {
    pub(super) bytes: &'b str,
}

#[derive(Serialize)]
pub(super) struct Document<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<&'static str>,
    pub(super) name: &'b str,
    pub(super) source: DocumentSource<'b>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) citations: Option<CitationsConfig>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum DocumentSource<'b> {
    Bytes(Cow<'b, str>),
    Content(Vec<TextOnly<'b>>),
}

#[derive(Serialize)]
pub(super) struct TextOnly<'b> {
    pub(super) text: &'b str,
}

#[derive(Serialize)]
pub(super) struct ToolUse<'b> {
    #[serde(rename = "toolUseId")]
    pub(super) id: &'b str,
    pub(super) name: &'b str,
    pub(super) input: ToolInput<'b>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolResult<'b> {
    pub(super) tool_use_id: &'b str,
    pub(super) content: Vec<Block<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reasoning<'b> {
    ReasoningText { text: &'b str, signature: &'b str },
    RedactedContent(String),
}

#[derive(Serialize)]
pub(super) struct SearchResult<'b> {
    pub(super) source: &'b str,
    pub(super) title: &'b str,
    pub(super) content: Vec<TextOnly<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) citations: Option<CitationsConfig>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InferenceConfig<'b> {
    pub(super) max_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) stop_sequences: &'b [&'b str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'b> {
    pub(super) tools: Vec<Tool<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<ToolChoice<'b>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Tool<'b> {
    ToolSpec(ToolSpec<'b>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolSpec<'b> {
    pub(super) name: &'b str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'b str>,
    pub(super) input_schema: Schema<'b>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) strict: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct Schema<'b> {
    pub(super) json: &'b RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum ToolChoice<'b> {
    Auto {},
    Any {},
    Tool { name: &'b str },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutputConfig<'b> {
    pub(super) text_format: TextFormat<'b>,
}

#[derive(Serialize)]
pub(super) struct TextFormat<'b> {
    pub(super) r#type: &'static str,
    pub(super) structure: Structure<'b>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Structure<'b> {
    pub(super) json_schema: JsonSchema<'b>,
}

#[derive(Serialize)]
pub(super) struct JsonSchema<'b> {
    /// JSON in a string, as the service model requires.
    pub(super) schema: &'b str,
}

/// `additionalModelRequestFields`: fields of Claude that Converse has no member for. The model's
/// validator refuses unknown fields.
#[derive(Serialize)]
pub(super) struct ModelFields<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<&'b ThinkingField<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_config: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_k: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) tools: &'b [Object<'b>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<ModelToolChoice>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) anthropic_beta: &'b [&'static str],
}

#[derive(Serialize)]
pub(super) struct Effort {
    pub(super) effort: &'static str,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct ModelToolChoice {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) disable_parallel_tool_use: Option<bool>,
}

impl ModelFields<'_> {
    fn is_empty(&self) -> bool {
        self.thinking.is_none()
            && self.output_config.is_none()
            && self.top_k.is_none()
            && self.tools.is_empty()
            && self.tool_choice.is_none()
            && self.anthropic_beta.is_empty()
    }
}

#[derive(Serialize)]
pub(super) struct CountBody<'b, M> {
    pub(super) input: CountInput<'b, M>,
}

#[derive(Serialize)]
pub(super) struct CountInput<'b, M> {
    pub(super) converse: Body<'b, M>,
}
