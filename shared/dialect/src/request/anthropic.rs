//! A Messages request as the client wrote it, checked for its shape.
//!
//! Wire shapes: Anthropic's Messages API reference, and recorded requests of Claude Code 2.1.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json::Object;

/// A Messages (or `count_tokens`) request before its translation. It borrows texts and opaque JSON
/// from the body.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent field of the request"
)]
pub struct MessagesRequest<'a> {
    pub(super) model: Cow<'a, str>,
    pub(super) max_tokens: Option<u64>,
    pub(super) stream: bool,
    pub(super) system: Vec<Block<'a>>,
    pub(super) messages: Vec<Message<'a>>,
    pub(super) tools: Vec<Tool<'a>>,
    pub(super) tool_choice: Option<ToolChoice<'a>>,
    pub(super) thinking: Option<Thinking<'a>>,
    pub(super) effort: Option<Cow<'a, str>>,
    pub(super) format: Option<Object<'a>>,
    pub(super) temperature: Option<Number<'a>>,
    pub(super) top_p: Option<Number<'a>>,
    pub(super) top_k: Option<Number<'a>>,
    pub(super) stop_sequences: Vec<Cow<'a, str>>,
    /// Automatic caching: a cache point after the last block.
    pub(super) cache: Option<CacheControl>,
    pub(super) user_id: Option<&'a RawValue>,
    pub(super) context_edits: Vec<ContextEdit<'a>>,
    pub(super) safeguards: bool,
    pub(super) mcp_servers: bool,
    /// Anthropic's servers keep the rest of the conversation in a thread.
    pub(super) continues_thread: bool,
    pub(super) betas: Vec<Cow<'a, str>>,
    /// Names of the fields that no translation uses, in order.
    pub(super) ignored: Vec<String>,
}

/// A number with its source text, which is sent unchanged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'a> {
    pub(super) value: f64,
    pub(super) source: &'a RawValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    User,
    Assistant,
    System,
}

#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) role: Role,
    pub(super) blocks: Vec<Block<'a>>,
    pub(super) effort: Option<Cow<'a, str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ttl {
    FiveMinutes,
    OneHour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CacheControl {
    pub(super) ttl: Ttl,
    /// It has members other than `type` and `ttl`, which Bedrock does not support.
    pub(super) scoped: bool,
}

/// A content block.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) kind: BlockKind<'a>,
    pub(super) cache: Option<CacheControl>,
    /// `citations` of a text, unless it is an empty list.
    pub(super) citations: Option<&'a RawValue>,
    /// The source text of the block, which is parsed again where it is sent unchanged.
    pub(super) source: &'a RawValue,
}

#[derive(Debug)]
pub(super) enum BlockKind<'a> {
    Text(Cow<'a, str>),
    Image(Image<'a>),
    Document(Box<Document<'a>>),
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Option<&'a RawValue>,
        /// It has a `caller`, which Bedrock does not support.
        has_caller: bool,
    },
    ToolResult {
        id: Cow<'a, str>,
        content: Vec<Block<'a>>,
        is_error: Option<bool>,
    },
    ToolReference {
        name: Cow<'a, str>,
    },
    Thinking {
        text: Cow<'a, str>,
        signature: Option<Cow<'a, str>>,
    },
    RedactedThinking {
        data: Cow<'a, str>,
    },
    SearchResult(Box<SearchResult<'a>>),
    /// `tool_addition` or `tool_removal` (beta `mid-conversation-tool-changes-2026-07-01`).
    ToolChange(ToolChange<'a>),
    /// `mid_conv_system`: a system message as a block of another turn.
    MidConversationSystem {
        content: Vec<Block<'a>>,
    },
    /// A call or result of a tool that Anthropic's servers ran, or a server-made block.
    Server {
        name: Cow<'a, str>,
    },
    Unknown {
        name: Cow<'a, str>,
    },
}

/// A change of the tools at one point of the conversation.
#[derive(Debug)]
pub(super) enum ToolChange<'a> {
    /// A tool of `tools`, by name.
    Add(Cow<'a, str>),
    /// A tool with its definition (beta `inline-tools-2026-09-15`), which may replace one of `tools`.
    Define(Box<Tool<'a>>),
    /// A tool of `tools`, or one defined before, by name.
    Remove(Cow<'a, str>),
    /// A change of another kind, such as tools of an MCP server.
    Unknown { addition: bool },
}

#[derive(Debug)]
pub(super) enum Image<'a> {
    Data {
        format: &'static str,
        /// Base64.
        data: Cow<'a, str>,
    },
    /// `url`, `file` and every other source outside the request.
    NotInline,
}

#[derive(Debug)]
pub(super) enum DocumentSource<'a> {
    /// Base64.
    Pdf(Cow<'a, str>),
    Text(Cow<'a, str>),
    Blocks(Vec<Block<'a>>),
    /// `url`, `file` and every other source outside the request.
    NotInline,
}

#[derive(Debug)]
pub(super) struct Document<'a> {
    pub(super) source: DocumentSource<'a>,
    pub(super) title: Option<Cow<'a, str>>,
    pub(super) context: Option<Cow<'a, str>>,
    pub(super) citations: bool,
}

#[derive(Debug)]
pub(super) struct SearchResult<'a> {
    pub(super) source: Cow<'a, str>,
    pub(super) title: Cow<'a, str>,
    pub(super) texts: Vec<Cow<'a, str>>,
    pub(super) citations: bool,
}

#[derive(Debug)]
pub(super) struct Tool<'a> {
    pub(super) kind: ToolKind<'a>,
    pub(super) name: Cow<'a, str>,
    pub(super) cache: Option<CacheControl>,
    pub(super) deferred: bool,
    pub(super) source: Object<'a>,
}

#[derive(Debug)]
pub(super) enum ToolKind<'a> {
    /// Defined by the client, run by the client.
    Custom {
        description: Option<Cow<'a, str>>,
        schema: &'a RawValue,
        strict: Option<bool>,
    },
    /// Defined by Anthropic, run by the client, such as `bash_20250124`.
    Client { version: Cow<'a, str> },
    /// Run by Anthropic's servers.
    Server { version: Cow<'a, str> },
}

#[derive(Debug)]
pub(super) struct ToolChoice<'a> {
    pub(super) kind: ToolChoiceKind<'a>,
    pub(super) disable_parallel: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ToolChoiceKind<'a> {
    Auto,
    Any,
    Tool(Cow<'a, str>),
    None,
}

#[derive(Debug)]
pub(super) struct Thinking<'a> {
    pub(super) kind: ThinkingKind,
    pub(super) display: Option<Cow<'a, str>>,
    pub(super) block_binding: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThinkingKind {
    Enabled {
        budget: u64,
    },
    Adaptive,
    BetweenTools,
    Disabled,
    /// An unknown kind.
    Unknown,
}

#[derive(Debug)]
pub(super) struct ContextEdit<'a> {
    pub(super) kind: Cow<'a, str>,
    pub(super) source: &'a RawValue,
}

impl<'a> MessagesRequest<'a> {
    /// All blocks of the messages, those inside `mid_conv_system` blocks after the block itself.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Block<'a>> {
        let blocks = self.messages.iter().flat_map(|message| &message.blocks);
        blocks.flat_map(|block| {
            let inner = match &block.kind {
                BlockKind::MidConversationSystem { content } => content.as_slice(),
                _ => &[],
            };
            std::iter::once(block).chain(inner)
        })
    }

    /// The requested model name.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns true when the client requests server-sent events.
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// The requested maximum of output tokens. None in a `count_tokens` request.
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }
}

/// The requested level of effort: the last level inside the conversation, else that of the whole
/// request.
pub(super) fn requested_effort<'r>(request: &'r MessagesRequest<'_>) -> Option<&'r str> {
    let in_conversation = request
        .messages
        .iter()
        .rev()
        .find_map(|message| message.effort.as_deref());
    in_conversation.or(request.effort.as_deref())
}

/// Returns true for a text of white space only, as Anthropic's API checks it: Python's white space
/// is Unicode's and the four information separators.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(is_space)
}

pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}
