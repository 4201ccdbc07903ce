//! The body of `Converse` and `ConverseStream`, and that of `CountTokens` in the same form.

mod wire;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::{Serialize, SerializeSeq as _, Serializer};

use self::wire::{
    Block, Body, Bytes, CachePoint, CountBody, CountInput, Document, DocumentSource, Effort, Image,
    InferenceConfig, JsonSchema, Message, ModelFields, ModelToolChoice, OutputConfig, Reasoning,
    Schema, SearchResult, Structure, SystemBlock, TextFormat, TextOnly, Tool, ToolChoice,
    ToolConfig, ToolResult, ToolSpec, ToolUse,
};
use super::adapt::AdaptedRequest;
use super::anthropic::{Role, ToolChoiceKind, Ttl};
use super::cache::WithCachePoint;
use super::context::{Purpose, TranslationContext};
use super::labels::RequestLabels;
use super::parts::{CitationsConfig, DocumentContent, DocumentPart, Part};
use super::tools::{Custom, TargetToolChoice, ToolDefinition, ToolSet};
use super::turns::Turn;
use crate::Losses;

/// Paths of the stop sequence in the model's response: in a whole message, and in the
/// `message_delta` event, as another gateway recorded it for both APIs.
const STOP_SEQUENCE_PATHS: [&str; 2] = ["/stop_sequence", "/delta/stop_sequence"];

/// The body as JSON.
pub(super) fn write(
    adapted: &AdaptedRequest<'_>,
    labels: Option<&RequestLabels>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, serde_json::Error> {
    let is_message = context.purpose == Purpose::Message;
    let options = &adapted.options;
    let asks_path = is_message
        && !context
            .unsupported
            .has_field("additionalModelResponseFieldPaths");
    let (tool_choice, model_choice) = tool_choices(&adapted.tool_use, context, losses);
    let mut system = interleave(
        &adapted.system,
        |text| Some(SystemBlock::Text(text)),
        SystemBlock::CachePoint,
    );
    if adapted.tool_use.choice == Some(ToolChoiceKind::None) && model_choice.is_none() {
        // After the last cache point, so that the cached prefix stays the same.
        system.push(SystemBlock::Text("Answer without using any tool."));
    }
    let body = Body {
        messages: Messages(&adapted.turns),
        system,
        inference_config: is_message.then_some(InferenceConfig {
            max_tokens: options.max_tokens,
            temperature: options.temperature,
            top_p: options.top_p,
            stop_sequences: &options.stop_sequences,
        }),
        tool_config: tool_config(&adapted.tool_set, tool_choice),
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
            tools: &adapted.tool_set.client_tools,
            tool_choice: model_choice,
            anthropic_beta: &adapted.betas,
        },
        additional_model_response_field_paths: asks_path.then_some(STOP_SEQUENCE_PATHS),
        request_metadata: labels,
    };
    match context.purpose {
        Purpose::Message => serde_json::to_vec(&body),
        Purpose::Count => serde_json::to_vec(&CountBody {
            input: CountInput { converse: body },
        }),
    }
}

/// A list with the cache points after its items. Items that `write` rejects are left out with their
/// cache point.
fn interleave<'b, T, B>(
    items: &'b [WithCachePoint<T>],
    write: impl Fn(&'b T) -> Option<B>,
    point: impl Fn(CachePoint) -> B,
) -> Vec<B> {
    let mut list = Vec::with_capacity(items.len());
    for WithCachePoint { item, cache } in items {
        let Some(written) = write(item) else { continue };
        list.push(written);
        if let Some(ttl) = cache {
            list.push(point(cache_point(*ttl)));
        }
    }
    list
}

fn cache_point(ttl: Ttl) -> CachePoint {
    CachePoint {
        r#type: "default",
        // A point without `ttl` lives five minutes.
        ttl: (ttl == Ttl::OneHour).then_some("1h"),
    }
}

/// The messages. Each is converted when it is written, because the blocks of all messages need more
/// memory than the request.
struct Messages<'b>(&'b [Turn<'b>]);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|turn| Message {
            role: match turn.role {
                Role::Assistant => "assistant",
                Role::User | Role::System => "user",
            },
            content: ContentBlocks(&turn.parts),
        }))
    }
}

/// The blocks of a message, with the cache points between them.
struct ContentBlocks<'b>(&'b [WithCachePoint<Part<'b>>]);

impl Serialize for ContentBlocks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for WithCachePoint { item, cache } in self.0 {
            let Some(block) = block(item) else { continue };
            list.serialize_element(&block)?;
            if let Some(ttl) = cache {
                list.serialize_element(&Block::CachePoint(cache_point(*ttl)))?;
            }
        }
        list.end()
    }
}

/// None for a part that only `InvokeModel` supports; such parts are not made for Converse.
fn block<'b>(part: &'b Part<'_>) -> Option<Block<'b>> {
    Some(match part {
        Part::Text { text, .. } => Block::Text(text),
        Part::Image { format, data } => Block::Image(Image {
            format,
            source: Bytes { bytes: data },
        }),
        Part::Document(part) => Block::Document(document(part)),
        Part::ToolUse { id, name, input } => Block::ToolUse(ToolUse {
            id,
            name,
            input: *input,
        }),
        Part::ToolResult(result) => Block::ToolResult(ToolResult {
            tool_use_id: &result.id,
            content: result.parts.iter().filter_map(block).collect(),
            status: result
                .is_error
                .map(|is_error| if is_error { "error" } else { "success" }),
        }),
        Part::Thinking { text, signature } => {
            Block::ReasoningContent(Reasoning::ReasoningText { text, signature })
        }
        // Bedrock expects bytes: the base64 of Claude's text.
        Part::Redacted { data } => {
            Block::ReasoningContent(Reasoning::RedactedContent(BASE64.encode(data)))
        }
        Part::SearchResult(result) => Block::SearchResult(SearchResult {
            source: &result.source,
            title: &result.title,
            content: result.texts.iter().map(|text| TextOnly { text }).collect(),
            citations: CitationsConfig::when(result.citations),
        }),
        Part::Native(_) | Part::ToolChange { .. } => return None,
    })
}

fn document<'b>(part: &'b DocumentPart<'_>) -> Document<'b> {
    let (format, source) = match &part.content {
        DocumentContent::Pdf(data) => (Some("pdf"), DocumentSource::Bytes(Cow::Borrowed(data))),
        DocumentContent::Text(text) => (
            Some("txt"),
            DocumentSource::Bytes(Cow::Owned(BASE64.encode(text))),
        ),
        DocumentContent::Texts(texts) => {
            let texts = texts.iter().map(|text| TextOnly { text }).collect();
            (None, DocumentSource::Content(texts))
        }
    };
    // The name is fixed, so the title is written to `context`.
    let title_and_context: Vec<&str> = [&part.document.title, &part.document.context]
        .into_iter()
        .flatten()
        .map(AsRef::as_ref)
        .collect();
    Document {
        format,
        name: &part.name,
        source,
        context: (!title_and_context.is_empty()).then(|| title_and_context.join("\n")),
        citations: CitationsConfig::when(part.document.citations),
    }
}

fn tool_config<'b>(
    tool_set: &'b ToolSet<'_>,
    tool_choice: Option<ToolChoice<'b>>,
) -> Option<ToolConfig<'b>> {
    let write = |spec: &'b ToolDefinition<'_>| match spec {
        ToolDefinition::Custom(Custom {
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
        ToolDefinition::Search(_) => None,
    };
    let tools = interleave(&tool_set.definitions, write, Tool::CachePoint);
    (!tools.is_empty()).then_some(ToolConfig { tools, tool_choice })
}

/// `toolConfig.toolChoice`, and the model's own `tool_choice` for what Converse does not support:
/// no tool, or no parallel calls. At most one of them has a `type`.
fn tool_choices<'b>(
    tool_use: &'b TargetToolChoice<'_>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> (Option<ToolChoice<'b>>, Option<ModelToolChoice>) {
    let model_choice_of = |r#type, disable: bool| ModelToolChoice {
        r#type,
        disable_parallel_tool_use: disable.then_some(true),
    };
    let disable = tool_use.disable_parallel;
    let (choice, model) = match &tool_use.choice {
        None => (None, None),
        Some(ToolChoiceKind::Auto) if disable => (None, Some(model_choice_of(Some("auto"), true))),
        Some(ToolChoiceKind::Auto) => (Some(ToolChoice::Auto {}), None),
        Some(ToolChoiceKind::Any) => (
            Some(ToolChoice::Any {}),
            disable.then(|| model_choice_of(None, true)),
        ),
        Some(ToolChoiceKind::Tool(name)) => (
            Some(ToolChoice::Tool { name }),
            disable.then(|| model_choice_of(None, true)),
        ),
        Some(ToolChoiceKind::None) => (None, Some(model_choice_of(Some("none"), false))),
    };
    if model.is_some() && context.unsupported.has_field("tool_choice") {
        losses.add("tool_choice");
        return (choice, None);
    }
    (choice, model)
}
