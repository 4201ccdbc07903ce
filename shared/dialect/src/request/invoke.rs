//! The body of `InvokeModel` and `InvokeModelWithResponseStream`: Anthropic's own, without what
//! Bedrock does not know.
//!
//! Wire shapes: Anthropic's Messages API reference and the Bedrock user guide's page on Claude
//! Messages; the set of top-level fields as in `BerriAI/litellm`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::anthropic::{Choice, Role, Ttl};
use super::cache::Marked;
use super::fit::Content;
use super::json::Object;
use super::parts::{Paper, PaperContent, Part};
use super::terms::{Purpose, Terms};
use super::thinking::ThinkingField;
use super::tools::{Custom, Spec, Use};
use super::turns::Turn;
use crate::Losses;

const VERSION: &str = "bedrock-2023-05-31";

#[derive(Serialize)]
struct Body<'b> {
    anthropic_version: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    anthropic_beta: &'b [&'static str],
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'b>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'b>>,
    messages: Messages<'b>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'b ThinkingField<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'b [&'b str],
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_management: Option<ContextManagement<'b>>,
}

/// The messages, each block made when it is written: there can be a million of them.
struct Messages<'b>(&'b [Turn<'b>]);

#[derive(Serialize)]
struct Message<'b> {
    role: &'static str,
    content: Parts<'b>,
}

struct Parts<'b>(&'b [Marked<Part<'b>>]);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(message))
    }
}

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let blocks = self.0.iter();
        serializer.collect_seq(blocks.map(|Marked { item, cache }| part(item, *cache)))
    }
}

#[derive(Serialize)]
struct Block<'b> {
    #[serde(flatten)]
    kind: Kind<'b>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

enum Kind<'b> {
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
enum OwnKind<'b> {
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
        citations: Option<Citations>,
    },
    ToolUse {
        id: &'b str,
        name: &'b str,
        input: Input<'b>,
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
        citations: Option<Citations>,
    },
}

#[derive(Serialize)]
struct ToolReference<'b> {
    r#type: &'static str,
    name: &'b str,
}

#[derive(Serialize)]
struct Base64<'b> {
    r#type: &'static str,
    media_type: Cow<'static, str>,
    data: &'b str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum DocumentSource<'b> {
    Data(Base64<'b>),
    Content {
        r#type: &'static str,
        content: Vec<Block<'b>>,
    },
}

#[derive(Serialize)]
struct Citations {
    enabled: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'b> {
    Given(&'b RawValue),
    Empty {},
}

#[derive(Clone, Copy, Serialize)]
struct CacheControl {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

struct Tool<'b> {
    kind: ToolKind<'b>,
    cache_control: Option<CacheControl>,
}

enum ToolKind<'b> {
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
struct ToolChoice<'b> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Serialize)]
struct OutputConfig<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'b>>,
}

#[derive(Serialize)]
struct Format<'b> {
    r#type: &'static str,
    schema: &'b RawValue,
}

#[derive(Serialize)]
struct Metadata<'b> {
    user_id: &'b RawValue,
}

#[derive(Serialize)]
struct ContextManagement<'b> {
    edits: Vec<&'b RawValue>,
}

#[derive(Serialize)]
struct CountBody {
    input: CountInput,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CountInput {
    invoke_model: CountModel,
}

#[derive(Serialize)]
struct CountModel {
    body: String,
}

/// The body as JSON.
pub(super) fn write(
    content: &Content<'_>,
    user_id: Option<&RawValue>,
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, serde_json::Error> {
    let options = &content.options;
    let specs = content.toolbox.specs.iter().map(|Marked { item, cache }| {
        let kind = match item {
            Spec::Custom(custom) => ToolKind::Custom(custom),
            Spec::Search(object) => ToolKind::Native(object),
        };
        Tool {
            kind,
            cache_control: cache_control(*cache),
        }
    });
    let client = content.toolbox.client.iter();
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
        anthropic_beta: &content.betas,
        max_tokens: options.max_tokens.max(1),
        tools: specs.chain(client).collect(),
        tool_choice: tool_choice(&content.tool_use, terms, losses),
        system: content
            .system
            .iter()
            .map(|Marked { item, cache }| block(text(item), *cache))
            .collect(),
        messages: Messages(&content.turns),
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
    match terms.purpose {
        Purpose::Answer => Ok(body),
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

fn message<'b>(turn: &'b Turn<'_>) -> Message<'b> {
    let role = match turn.role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::System => "system",
    };
    Message {
        role,
        content: Parts(&turn.parts),
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
        Part::Document(paper) => document(paper),
        Part::ToolUse { id, name, input } => OwnKind::ToolUse {
            id,
            name,
            input: input.map_or(Input::Empty {}, Input::Given),
        },
        Part::ToolResult {
            id,
            parts,
            is_error,
        } => OwnKind::ToolResult {
            tool_use_id: id,
            content: parts.iter().map(|inner| self::part(inner, None)).collect(),
            is_error: *is_error,
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
            citations: result.citations.then_some(Citations { enabled: true }),
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

fn document<'b>(paper: &'b Paper<'_>) -> OwnKind<'b> {
    let data = |r#type, media_type: &'static str, data| {
        DocumentSource::Data(Base64 {
            r#type,
            media_type: media_type.into(),
            data,
        })
    };
    let source = match &paper.content {
        PaperContent::Pdf(pdf) => data("base64", "application/pdf", pdf),
        PaperContent::Text(plain) => data("text", "text/plain", plain),
        PaperContent::Texts(texts) => DocumentSource::Content {
            r#type: "content",
            content: texts.iter().map(|inner| block(text(inner), None)).collect(),
        },
    };
    OwnKind::Document {
        source,
        title: paper.document.title.as_deref(),
        context: paper.document.context.as_deref(),
        citations: paper
            .document
            .citations
            .then_some(Citations { enabled: true }),
    }
}

fn tool_choice<'b>(
    tool_use: &'b Use<'_>,
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Option<ToolChoice<'b>> {
    let choice = tool_use.choice.as_ref()?;
    if terms.learned.field("tool_choice") {
        losses.add("tool_choice");
        return None;
    }
    let (r#type, name) = match choice {
        Choice::Auto => ("auto", None),
        Choice::Any => ("any", None),
        Choice::Tool(name) => ("tool", Some(name.as_ref())),
        Choice::None => ("none", None),
    };
    // There is nothing to disable where no tool may be used.
    let disable = tool_use.disable_parallel && *choice != Choice::None;
    Some(ToolChoice {
        r#type,
        name,
        disable_parallel_tool_use: disable.then_some(true),
    })
}
