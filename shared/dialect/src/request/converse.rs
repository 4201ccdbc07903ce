//! The body of `Converse` and `ConverseStream`.
//!
//! Wire shapes: the Amazon Bedrock Runtime API reference, as of the service model in botocore 1.44.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::value::RawValue;

use super::anthropic::{Choice, Role, Ttl};
use super::cache::Marked;
use super::fit::Content;
use super::json::Object;
use super::labels::RequestLabels;
use super::options::ThinkingField;
use super::terms::{Purpose, Terms};
use super::tools::{Custom, Spec, Toolbox, Use};
use super::turns::{Paper, PaperContent, Part, Turn};
use crate::Losses;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'b> {
    messages: Vec<Message<'b>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<SystemBlock<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_config: Option<InferenceConfig<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'b>>,
    #[serde(skip_serializing_if = "ModelFields::is_empty")]
    additional_model_request_fields: ModelFields<'b>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_response_field_paths: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_metadata: Option<&'b RequestLabels>,
}

#[derive(Serialize)]
struct Message<'b> {
    role: &'static str,
    content: Vec<Block<'b>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum SystemBlock<'b> {
    Text(&'b str),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Block<'b> {
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
struct CachePoint {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

#[derive(Serialize)]
struct Image<'b> {
    format: &'static str,
    source: Bytes<'b>,
}

#[derive(Serialize)]
struct Bytes<'b> {
    bytes: &'b str,
}

#[derive(Serialize)]
struct Document<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    name: &'b str,
    source: DocumentSource<'b>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    citations: Option<Citations>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum DocumentSource<'b> {
    Bytes(Cow<'b, str>),
    Content(Vec<TextOnly<'b>>),
}

#[derive(Serialize)]
struct TextOnly<'b> {
    text: &'b str,
}

#[derive(Serialize)]
struct Citations {
    enabled: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'b> {
    tool_use_id: &'b str,
    name: &'b str,
    input: Input<'b>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'b> {
    Given(&'b RawValue),
    Empty {},
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolResult<'b> {
    tool_use_id: &'b str,
    content: Vec<Block<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Reasoning<'b> {
    ReasoningText { text: &'b str, signature: &'b str },
    RedactedContent(String),
}

#[derive(Serialize)]
struct SearchResult<'b> {
    source: &'b str,
    title: &'b str,
    content: Vec<TextOnly<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    citations: Option<Citations>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'b> {
    max_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'b [&'b str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'b> {
    tools: Vec<Tool<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'b>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Tool<'b> {
    ToolSpec(ToolSpec<'b>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolSpec<'b> {
    name: &'b str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'b str>,
    input_schema: Schema<'b>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct Schema<'b> {
    json: &'b RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ToolChoice<'b> {
    Auto {},
    Any {},
    Tool { name: &'b str },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputConfig<'b> {
    text_format: TextFormat<'b>,
}

#[derive(Serialize)]
struct TextFormat<'b> {
    r#type: &'static str,
    structure: Structure<'b>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'b> {
    json_schema: JsonSchema<'b>,
}

#[derive(Serialize)]
struct JsonSchema<'b> {
    /// JSON in a string, because the service model says so.
    schema: &'b str,
}

/// `additionalModelRequestFields`: what Claude knows and Converse has no member for. The model's own
/// validator reads it, and refuses what it does not know.
#[derive(Serialize)]
struct ModelFields<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'b ThinkingField<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tools: &'b [Object<'b>],
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ModelToolChoice>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    anthropic_beta: &'b [&'static str],
}

#[derive(Serialize)]
struct Effort {
    effort: &'static str,
}

#[derive(Clone, Copy, Serialize)]
struct ModelToolChoice {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
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
struct CountBody<'b> {
    input: CountInput<'b>,
}

#[derive(Serialize)]
struct CountInput<'b> {
    converse: Body<'b>,
}

/// The body as JSON.
pub(super) fn write(
    content: &Content<'_>,
    labels: Option<&RequestLabels>,
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, serde_json::Error> {
    let answer = terms.purpose == Purpose::Answer;
    let options = &content.options;
    // The only way to hear which stop sequence it was.
    let stop_path = "/stop_sequence";
    let asks_path = answer && !terms.learned.field("additionalModelResponseFieldPaths");
    let (tool_choice, model_choice) = tool_choices(&content.tool_use, terms, losses);
    let mut system = interleave(
        &content.system,
        |text| Some(SystemBlock::Text(text)),
        SystemBlock::CachePoint,
    );
    if content.tool_use.choice == Some(Choice::None) && model_choice.is_none() {
        // Behind the last cache point, so that what is cached stays the same.
        system.push(SystemBlock::Text("Answer without using any tool."));
    }
    let body = Body {
        messages: content.turns.iter().map(message).collect(),
        system,
        inference_config: answer.then_some(InferenceConfig {
            max_tokens: options.max_tokens,
            temperature: options.temperature,
            top_p: options.top_p,
            stop_sequences: &options.stop_sequences,
        }),
        tool_config: tool_config(&content.toolbox, tool_choice),
        output_config: options.format.map(|format| OutputConfig {
            text_format: TextFormat {
                r#type: "json_schema",
                structure: Structure {
                    json_schema: JsonSchema {
                        schema: format.schema.get(),
                    },
                },
            },
        }),
        additional_model_request_fields: ModelFields {
            thinking: options.thinking.as_ref(),
            output_config: options.effort.map(|effort| Effort {
                effort: effort.name(),
            }),
            top_k: options.top_k,
            tools: &content.toolbox.client,
            tool_choice: model_choice,
            anthropic_beta: &content.betas,
        },
        additional_model_response_field_paths: asks_path.then_some([stop_path]),
        request_metadata: labels,
    };
    match terms.purpose {
        Purpose::Answer => serde_json::to_vec(&body),
        Purpose::Count => serde_json::to_vec(&CountBody {
            input: CountInput { converse: body },
        }),
    }
}

/// A list with the cache points between its items; items that cannot be written leave nothing.
fn interleave<'b, T, B>(
    items: &'b [Marked<T>],
    write: impl Fn(&'b T) -> Option<B>,
    point: impl Fn(CachePoint) -> B,
) -> Vec<B> {
    let mut list = Vec::with_capacity(items.len());
    for Marked { item, cache } in items {
        let Some(written) = write(item) else { continue };
        list.push(written);
        if let Some(ttl) = cache {
            // Five minutes is what a point without a lifetime has.
            let ttl = (*ttl == Ttl::OneHour).then_some("1h");
            list.push(point(CachePoint {
                r#type: "default",
                ttl,
            }));
        }
    }
    list
}

fn message<'b>(turn: &'b Turn<'_>) -> Message<'b> {
    let role = if turn.role == Role::Assistant {
        "assistant"
    } else {
        "user"
    };
    Message {
        role,
        content: interleave(&turn.parts, block, Block::CachePoint),
    }
}

/// None for what only `InvokeModel` takes, which is never fitted for Converse.
fn block<'b>(part: &'b Part<'_>) -> Option<Block<'b>> {
    Some(match part {
        Part::Text { text, .. } => Block::Text(text),
        Part::Image { format, data } => Block::Image(Image {
            format,
            source: Bytes { bytes: data },
        }),
        Part::Document(paper) => Block::Document(document(paper)),
        Part::ToolUse { id, name, input } => Block::ToolUse(ToolUse {
            tool_use_id: id,
            name,
            input: input.map_or(Input::Empty {}, Input::Given),
        }),
        Part::ToolResult {
            id,
            parts,
            is_error,
        } => Block::ToolResult(ToolResult {
            tool_use_id: id,
            content: parts.iter().filter_map(block).collect(),
            status: is_error.map(|is_error| if is_error { "error" } else { "success" }),
        }),
        Part::Thinking { text, signature } => {
            Block::ReasoningContent(Reasoning::ReasoningText { text, signature })
        }
        // Bedrock wants bytes, and gives back Claude's own text as bytes.
        Part::Redacted { data } => {
            Block::ReasoningContent(Reasoning::RedactedContent(BASE64.encode(data)))
        }
        Part::SearchResult(result) => Block::SearchResult(SearchResult {
            source: &result.source,
            title: &result.title,
            content: result.texts.iter().map(|text| TextOnly { text }).collect(),
            citations: result.citations.then_some(Citations { enabled: true }),
        }),
        Part::Native(_) => return None,
    })
}

fn document<'b>(paper: &'b Paper<'_>) -> Document<'b> {
    let (format, source) = match &paper.content {
        PaperContent::Pdf(data) => (Some("pdf"), DocumentSource::Bytes(Cow::Borrowed(data))),
        PaperContent::Text(text) => (
            Some("txt"),
            DocumentSource::Bytes(Cow::Owned(BASE64.encode(text))),
        ),
        PaperContent::Texts(texts) => {
            let texts = texts.iter().map(|text| TextOnly { text }).collect();
            (None, DocumentSource::Content(texts))
        }
    };
    // The name must stay what it is, so the title goes where it can be read.
    let told: Vec<&str> = [&paper.document.title, &paper.document.context]
        .into_iter()
        .flatten()
        .map(AsRef::as_ref)
        .collect();
    Document {
        format,
        name: &paper.name,
        source,
        context: (!told.is_empty()).then(|| told.join("\n")),
        citations: paper
            .document
            .citations
            .then_some(Citations { enabled: true }),
    }
}

fn tool_config<'b>(
    toolbox: &'b Toolbox<'_>,
    tool_choice: Option<ToolChoice<'b>>,
) -> Option<ToolConfig<'b>> {
    let write = |spec: &'b Spec<'_>| match spec {
        Spec::Custom(Custom {
            name,
            description,
            schema,
            strict,
            ..
        }) => Some(Tool::ToolSpec(ToolSpec {
            name,
            description: *description,
            input_schema: Schema { json: schema },
            strict: *strict,
        })),
        Spec::Search(_) => None,
    };
    let tools = interleave(&toolbox.specs, write, Tool::CachePoint);
    (!tools.is_empty()).then_some(ToolConfig { tools, tool_choice })
}

/// `toolConfig.toolChoice`, and what has to be said to the model itself: that it must not use a
/// tool, or not two at once. The two must not both name a type.
fn tool_choices<'b>(
    tool_use: &'b Use<'_>,
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> (Option<ToolChoice<'b>>, Option<ModelToolChoice>) {
    let to_model = |r#type, disable: bool| ModelToolChoice {
        r#type,
        disable_parallel_tool_use: disable.then_some(true),
    };
    let disable = tool_use.disable_parallel;
    let (choice, model) = match &tool_use.choice {
        None => (None, None),
        Some(Choice::Auto) if disable => (None, Some(to_model(Some("auto"), true))),
        Some(Choice::Auto) => (Some(ToolChoice::Auto {}), None),
        Some(Choice::Any) => (
            Some(ToolChoice::Any {}),
            disable.then(|| to_model(None, true)),
        ),
        Some(Choice::Tool(name)) => (
            Some(ToolChoice::Tool { name }),
            disable.then(|| to_model(None, true)),
        ),
        Some(Choice::None) => (None, Some(to_model(Some("none"), false))),
    };
    if model.is_some() && terms.learned.field("tool_choice") {
        losses.add("tool_choice");
        return (choice, None);
    }
    (choice, model)
}
