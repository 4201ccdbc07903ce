//! The body of `InvokeModel` and `InvokeModelWithResponseStream`: a Messages request without the
//! fields that Bedrock does not support.

mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

use self::wire::{
    Base64, Block, Body, CacheControl, ContextManagement, CountBody, CountInput, CountModel,
    DocumentSource, Format, Kind, Message, Metadata, OutputConfig, OwnKind, Tool, ToolChoice,
    ToolKind, ToolReference,
};
use super::adapt::AdaptedRequest;
use super::anthropic::{Role, ToolChoiceKind, Ttl};
use super::cache::WithCachePoint;
use super::context::{Purpose, TranslationContext};
use super::parts::{CitationsConfig, DocumentContent, DocumentPart, Part};
use super::tools::{TargetToolChoice, ToolDefinition};
use super::turns::Turn;
use crate::Losses;

const VERSION: &str = "bedrock-2023-05-31";

/// The body as JSON.
pub(super) fn write(
    adapted: &AdaptedRequest<'_>,
    user_id: Option<&RawValue>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, serde_json::Error> {
    let options = &adapted.options;
    let definitions = adapted
        .tool_set
        .definitions
        .iter()
        .map(|WithCachePoint { item, cache }| {
            let kind = match item {
                ToolDefinition::Custom(custom) => ToolKind::Custom(custom),
                ToolDefinition::Search(object) => ToolKind::Native(object),
            };
            Tool {
                kind,
                cache_control: cache_control(*cache),
            }
        });
    let client = adapted.tool_set.client_tools.iter();
    let client = client.map(|tool| Tool {
        kind: ToolKind::Native(tool),
        cache_control: None,
    });
    let effort = options.effort.map(crate::model::Effort::name);
    let format = options.format.map(|format| Format {
        r#type: "json_schema",
        schema: format.schema,
    });
    let edits: Vec<_> = options
        .context_edits
        .iter()
        .map(|edit| edit.source)
        .collect();
    let body = Body {
        anthropic_version: VERSION,
        anthropic_beta: &adapted.betas,
        max_tokens: options.max_tokens.max(1),
        tools: definitions.chain(client).collect(),
        tool_choice: tool_choice(&adapted.tool_use, context, losses),
        system: adapted
            .system
            .iter()
            .map(|WithCachePoint { item, cache }| block(text(item), *cache))
            .collect(),
        messages: Messages(&adapted.turns),
        thinking: options.thinking.as_ref(),
        output_config: (effort.is_some() || format.is_some())
            .then_some(OutputConfig { effort, format }),
        temperature: options.temperature,
        top_p: options.top_p,
        top_k: options.top_k,
        stop_sequences: &options.stop_sequences,
        metadata: user_id.map(|user_id| Metadata { user_id }),
        context_management: (!edits.is_empty()).then_some(ContextManagement { edits }),
    };
    let body = serde_json::to_vec(&body)?;
    match context.purpose {
        Purpose::Message => Ok(body),
        Purpose::Count => serde_json::to_vec(&CountBody {
            input: CountInput {
                invoke_model: CountModel {
                    body: BASE64.encode(body),
                },
            },
        }),
    }
}

fn block(own: OwnKind<'_>, cache: Option<Ttl>) -> Block<'_> {
    Block {
        kind: Kind::Own(own),
        cache_control: cache_control(cache),
    }
}

fn text(text: &str) -> OwnKind<'_> {
    OwnKind::Text {
        text,
        citations: None,
    }
}

fn cache_control(cache: Option<Ttl>) -> Option<CacheControl> {
    let ttl = (cache? == Ttl::OneHour).then_some("1h");
    Some(CacheControl {
        r#type: "ephemeral",
        ttl,
    })
}

/// The messages. Each block is converted when it is written, because there can be a million.
struct Messages<'b>(&'b [Turn<'b>]);

struct ContentBlocks<'b>(&'b [WithCachePoint<Part<'b>>]);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(message))
    }
}

impl Serialize for ContentBlocks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let blocks = self.0.iter();
        serializer.collect_seq(blocks.map(|WithCachePoint { item, cache }| part(item, *cache)))
    }
}

fn message<'b>(turn: &'b Turn<'_>) -> Message<ContentBlocks<'b>> {
    let role = match turn.role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::System => "system",
    };
    Message {
        role,
        content: ContentBlocks(&turn.parts),
    }
}

fn part<'b>(part: &'b Part<'_>, cache: Option<Ttl>) -> Block<'b> {
    let own = match part {
        Part::Text { text, citations } => OwnKind::Text {
            text,
            citations: *citations,
        },
        Part::Image { format, data } => OwnKind::Image {
            source: Base64 {
                r#type: "base64",
                media_type: format!("image/{format}").into(),
                data,
            },
        },
        Part::Document(part) => document(part),
        Part::ToolUse { id, name, input } => OwnKind::ToolUse {
            id,
            name,
            input: *input,
        },
        Part::ToolResult(result) => OwnKind::ToolResult {
            tool_use_id: &result.id,
            content: result
                .parts
                .iter()
                .map(|inner| self::part(inner, None))
                .collect(),
            is_error: result.is_error,
        },
        Part::Thinking { text, signature } => OwnKind::Thinking {
            thinking: text,
            signature,
        },
        Part::Redacted { data } => OwnKind::RedactedThinking { data },
        Part::SearchResult(result) => OwnKind::SearchResult {
            source: &result.source,
            title: &result.title,
            content: result
                .texts
                .iter()
                .map(|inner| block(text(inner), None))
                .collect(),
            citations: CitationsConfig::when(result.citations),
        },
        Part::ToolChange { addition, name } => {
            let r#type = "tool_reference";
            let tool = ToolReference { r#type, name };
            if *addition {
                OwnKind::ToolAddition { tool }
            } else {
                OwnKind::ToolRemoval { tool }
            }
        }
        Part::Native(object) => {
            return Block {
                kind: Kind::Native(object),
                cache_control: cache_control(cache),
            };
        }
    };
    block(own, cache)
}

fn document<'b>(part: &'b DocumentPart<'_>) -> OwnKind<'b> {
    let data = |r#type, media_type: &'static str, data| {
        DocumentSource::Data(Base64 {
            r#type,
            media_type: media_type.into(),
            data,
        })
    };
    let source = match &part.content {
        DocumentContent::Pdf(pdf) => data("base64", "application/pdf", pdf),
        DocumentContent::Text(plain) => data("text", "text/plain", plain),
        DocumentContent::Texts(texts) => DocumentSource::Content {
            r#type: "content",
            content: texts.iter().map(|inner| block(text(inner), None)).collect(),
        },
    };
    OwnKind::Document {
        source,
        title: part.document.title.as_deref(),
        context: part.document.context.as_deref(),
        citations: CitationsConfig::when(part.document.citations),
    }
}

fn tool_choice<'b>(
    tool_use: &'b TargetToolChoice<'_>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Option<ToolChoice<'b>> {
    let choice = tool_use.choice.as_ref()?;
    if context.unsupported.has_field("tool_choice") {
        losses.add("tool_choice");
        return None;
    }
    let (r#type, name) = match choice {
        ToolChoiceKind::Auto => ("auto", None),
        ToolChoiceKind::Any => ("any", None),
        ToolChoiceKind::Tool(name) => ("tool", Some(name.as_ref())),
        ToolChoiceKind::None => ("none", None),
    };
    // `disable_parallel_tool_use` has no meaning without tools.
    let disable = tool_use.disable_parallel && *choice != ToolChoiceKind::None;
    Some(ToolChoice {
        r#type,
        name,
        disable_parallel_tool_use: disable.then_some(true),
    })
}
