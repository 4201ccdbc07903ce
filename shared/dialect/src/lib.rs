//! The Anthropic Messages API spoken to Amazon Bedrock, and Bedrock's answers spoken back.
//!
//! Pure: no clock, no randomness, no I/O. Bytes and values in, bytes and values out; the same input
//! always gives the same bytes, because Bedrock's prompt cache compares them.
//!
//! | room | what it does |
//! |---|---|
//! | [`model`] | the capability table: which Bedrock model serves a requested one, and what it can do |
//! | [`request`] | a Messages body, reduced to what the target can take, as Converse or `InvokeModel` JSON |
//! | [`reply`] | a whole Bedrock answer as an Anthropic message |
//! | [`stream`] | Bedrock's stream events as Anthropic server-sent events |
//! | [`opening`] | how an event stream of Plan's begins: with content, or with an error |
//! | [`error`] | Bedrock's failures as Anthropic errors, and what one repair can drop |

pub mod error;
pub mod model;
pub mod opening;
pub mod reply;
pub mod request;
pub mod sse;
pub mod stream;

/// What the translation of an answer needs to know of its request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyContext {
    /// The model name as the client asked for it. The answer carries this name, because Claude
    /// Code prices and labels by it.
    pub requested_model: String,
    /// Tool names that had to be shortened for Bedrock: `(as sent to Bedrock, as the client knows it)`.
    pub renamed_tools: Vec<(String, String)>,
    /// The request asked for `safeguards`: the answer says that they are unavailable here, and
    /// never gives a verdict.
    pub safeguards_requested: bool,
    /// The client's titles of the documents that were sent, in the order of the conversation, those
    /// inside tool results included: the title at position `n` belongs to the document that is named
    /// `document-{n + 1}` in the Converse body. A citation of Bedrock carries that name as its
    /// `title`; the client expects its own title there, or `null` when it gave none. The name is
    /// the safer key: whether `documentIndex` counts documents inside tool results is not documented.
    pub document_titles: Vec<Option<String>>,
}

impl ReplyContext {
    /// The client's title of the document that was sent under this name. A name that is not one of
    /// Spillway's leaves the document's index.
    pub(crate) fn document_title(&self, name: Option<&str>, index: i64) -> Option<&str> {
        let number = name
            .and_then(|name| name.strip_prefix("document-")?.parse::<usize>().ok())
            .and_then(|number| number.checked_sub(1));
        let position = number.or_else(|| usize::try_from(index).ok())?;
        self.document_titles.get(position)?.as_deref()
    }

    /// A tool's name as the client knows it.
    pub(crate) fn tool_name<'a>(&'a self, sent: &'a str) -> &'a str {
        let renamed = self
            .renamed_tools
            .iter()
            .find(|(as_sent, _)| as_sent == sent);
        renamed.map_or(sent, |(_, original)| original)
    }
}

/// Names what was left out or changed on the way to Bedrock, in the order it was met, each once:
/// the value of the `x-spillway-bedrock-dropped` header. Names are short, stable tokens such as
/// `context_management`, `beta:context-management-2025-06-27`, `tool:web_search`; never content.
///
/// Some names are the client's own (a field, a beta), so that they are made fit for a header here:
/// at most 64 names, then `more`, each of at most 72 characters of `[A-Za-z0-9._:-]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(Vec<String>);

impl Losses {
    /// Most names that are told one by one; whatever comes then is `more`.
    const MOST: usize = 64;

    /// Records one loss; a loss already recorded is not repeated.
    pub fn add(&mut self, name: impl AsRef<str>) {
        let name = match self.0.len() {
            ..Self::MOST => token(name.as_ref()),
            _ => "more".to_owned(),
        };
        if !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    /// Nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The losses in the order they were met.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// A name of the client's, short and plain enough to be told in a header or a message.
pub(crate) fn token(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    name.chars()
        .take(72)
        .map(|c| if plain(c) { c } else { '_' })
        .collect()
}

/// One part of a request that a target refused, and that a repaired request leaves out. Which other
/// requests leave it out too is its [`Scope`](error::Scope).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refused {
    /// A request field by its Anthropic name: `output_config.effort`, `thinking.display`, `top_k`,
    /// `tool_choice`, `tools.strict`, `context_management`, `thinking`; `anthropic_beta` for the whole
    /// list, when the refusal named none.
    Field(String),
    /// A value of `anthropic_beta`.
    Beta(String),
    /// `ttl` on cache points.
    CacheTtl,
    /// Cache points altogether.
    CachePoints,
    /// Thinking blocks of earlier turns: their signatures were not accepted.
    ThinkingHistory,
    /// `role: system` messages inside the conversation.
    SystemRole,
}

/// The parts that a request leaves out: those of its own repair, and the properties of its target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned(std::collections::BTreeSet<Refused>);

impl Learned {
    /// Adds a part; true when it was not in it before.
    pub fn insert(&mut self, refused: Refused) -> bool {
        self.0.insert(refused)
    }

    /// Whether this part is left out.
    pub fn contains(&self, refused: &Refused) -> bool {
        self.0.contains(refused)
    }

    /// Whether this field is left out.
    pub fn field(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|known| matches!(known, Refused::Field(field) if field == name))
    }

    /// Whether this beta is left out, by its name or with the whole list.
    pub fn beta(&self, name: &str) -> bool {
        self.field("anthropic_beta")
            || self
                .0
                .iter()
                .any(|known| matches!(known, Refused::Beta(beta) if beta == name))
    }
}
