//! The body of Converse. Parsing is the first check: undeclared members, blocks with two members and values of
//! another type are errors.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A shape is strict about its members.
macro_rules! shapes {
    ($($(#[$attribute:meta])* $name:ident { $($(#[$on:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$attribute])*
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub(super) struct $name { $($(#[$on])* pub(super) $field: $kind,)* }
    )*};
}

/// A union has exactly one member, which is how serde reads an enum by default; an enumeration is
/// one without contents.
macro_rules! unions {
    ($($(#[$attribute:meta])* $name:ident { $($(#[$on:meta])* $variant:ident $(($kind:ty))?,)* })*) => {$(
        $(#[$attribute])*
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub(super) enum $name { $($(#[$on])* $variant $(($kind))?,)* }
    )*};
}

shapes! {
    Body {
        messages: Vec<Message>,
        #[serde(default)]
        system: Vec<SystemBlock>,
        #[serde(default)]
        inference_config: InferenceConfig,
        tool_config: Option<ToolConfig>,
        guardrail_config: Option<Map<String, Value>>,
        #[serde(default)]
        additional_model_request_fields: Map<String, Value>,
        prompt_variables: Option<Map<String, Value>>,
        #[serde(default)]
        additional_model_response_field_paths: Vec<String>,
        #[serde(default)]
        request_metadata: BTreeMap<String, String>,
        performance_config: Option<PerformanceConfig>,
        service_tier: Option<ServiceTier>,
        output_config: Option<OutputConfig>,
    }

    Message { role: Role, content: Vec<Block>, }

    #[derive(Default)]
    InferenceConfig {
        max_tokens: Option<u64>,
        temperature: Option<f64>,
        top_p: Option<f64>,
        #[serde(default)]
        stop_sequences: Vec<String>,
    }

    ToolConfig { tools: Vec<Tool>, tool_choice: Option<ToolChoice>, }

    ToolSpec {
        name: String,
        description: Option<String>,
        input_schema: InputSchema,
        strict: Option<bool>,
    }

    InputSchema { json: Map<String, Value>, }

    NamedTool { name: String, }

    Empty {}

    OutputConfig { text_format: Option<TextFormat>, effort: Option<Value>, }

    TextFormat { r#type: String, structure: TextStructure, }

    TextStructure { json_schema: JsonSchema, }

    JsonSchema { schema: String, name: Option<String>, description: Option<String>, }

    PerformanceConfig { latency: Latency, }

    ServiceTier { r#type: Tier, }

    CachePoint {
        r#type: CacheType,
        #[serde(default)]
        ttl: TimeToLive,
    }

    Image { format: ImageFormat, source: Source, }

    Document {
        format: Option<DocumentFormat>,
        name: String,
        source: Source,
        context: Option<String>,
        citations: Option<Map<String, Value>>,
    }

    ToolUse { tool_use_id: String, name: String, input: Map<String, Value>, r#type: Option<String>, }

    ToolResult {
        tool_use_id: String,
        content: Vec<ResultBlock>,
        status: Option<ResultStatus>,
        r#type: Option<String>,
    }

    ReasoningText { text: String, signature: Option<String>, }
}

unions! {
    #[derive(Clone, Copy, PartialEq, Eq)]
    Role { User, Assistant, System, }

    SystemBlock { Text(String), GuardContent(Value), CachePoint(CachePoint), }

    Tool { ToolSpec(ToolSpec), SystemTool(NamedTool), CachePoint(CachePoint), }

    ToolChoice { Auto(Empty), Any(Empty), Tool(NamedTool), }

    CacheType { Default, }

    #[derive(Clone, Copy, Default, PartialEq, Eq)]
    TimeToLive {
        #[default]
        #[serde(rename = "5m")]
        FiveMinutes,
        #[serde(rename = "1h")]
        Hour,
    }

    Latency { Standard, Optimized, }

    Tier { Priority, Default, Flex, Reserved, }

    ImageFormat { Png, Jpeg, Gif, Webp, }

    DocumentFormat { Pdf, Csv, Doc, Docx, Xls, Xlsx, Html, Txt, Md, }

    ResultStatus { Success, Error, }

    Source { Bytes(String), S3Location(Value), Text(String), Content(Vec<Value>), }

    Reasoning { ReasoningText(ReasoningText), RedactedContent(String), }

    Block {
        Text(String),
        Image(Image),
        Document(Document),
        Video(Value),
        Audio(Value),
        ToolUse(ToolUse),
        ToolResult(ToolResult),
        GuardContent(Value),
        CachePoint(CachePoint),
        ReasoningContent(Reasoning),
        CitationsContent(Value),
        SearchResult(Value),
    }

    ResultBlock {
        Text(String),
        Json(Value),
        Image(Image),
        Document(Document),
        Video(Value),
        SearchResult(Value),
    }
}
