//! Translation between the Anthropic Messages API and Amazon Bedrock, in both directions.
//!
//! Pure: no clock, no randomness, no I/O. Bytes and values in, bytes and values out; the same input
//! always gives the same bytes, because Bedrock's prompt cache compares them.
//!
//! | module | what it does |
//! |---|---|
//! | [`model`] | the capability table: which Bedrock model serves a requested one, and what it can do |
//! | [`request`] | a Messages body, reduced to what the target can take, as Converse or `InvokeModel` JSON |
//! | [`reply`] | a whole Bedrock response as an Anthropic message |
//! | [`stream`] | Bedrock's stream events as Anthropic server-sent events |
//! | [`stream_start`] | how an event stream of the Messages API starts: with content, or with an error |
//! | [`error`] | Bedrock's failures as Anthropic errors, and the parts of a request that a repair can drop |

pub mod error;
pub mod model;
pub mod reply;
pub mod request;
pub mod sse;
pub mod stream;
pub mod stream_start;

use std::fmt;

/// The facts of a request that the translation of its response needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyContext {
    /// The model name that the client requested. The response carries this name, because Claude
    /// Code takes prices and labels from it.
    pub requested_model: String,
    /// Tool names that were changed for Bedrock: `(name at Bedrock, name at the client)`.
    pub renamed_tools: Vec<(String, String)>,
    /// The request contains `safeguards`. The response then states that they are unavailable on
    /// Bedrock.
    pub safeguards_requested: bool,
    /// The client's titles of the documents in the request, in the order of the conversation,
    /// including those in tool results. The first title belongs to the document `document-1` of the
    /// Converse body. A citation of Bedrock has that name as its `title`; the client expects its own
    /// title, or `null`. The name is the key, because AWS does not document whether `documentIndex`
    /// counts documents in tool results.
    pub document_titles: Vec<Option<String>>,
}

impl ReplyContext {
    /// The client's title of the document with this name at Bedrock. For a name of another form the
    /// document is looked up by `index`.
    pub(crate) fn document_title(&self, name: Option<&str>, index: i64) -> Option<&str> {
        let number = name
            .and_then(|name| name.strip_prefix("document-")?.parse::<usize>().ok())
            .and_then(|number| number.checked_sub(1));
        let position = number.or_else(|| usize::try_from(index).ok())?;
        self.document_titles.get(position)?.as_deref()
    }

    /// The client's name of the tool that has the name `sent` at Bedrock.
    pub(crate) fn tool_name<'a>(&'a self, sent: &'a str) -> &'a str {
        let renamed = self
            .renamed_tools
            .iter()
            .find(|(as_sent, _)| as_sent == sent);
        renamed.map_or(sent, |(_, original)| original)
    }
}

/// The parts of a request or of its response that the translation left out or changed, each once,
/// in order. They are the value of the header `x-spillway-bedrock-dropped`. Their names are short,
/// stable tokens such as `context_management`, `beta:context-management-2025-06-27`,
/// `tool:web_search` and `reply:citation`, without content. `docs/bedrock.md` lists them.
///
/// Some names contain a word of the client, such as a field or a beta. Every name is reduced to at
/// most 72 characters of `[A-Za-z0-9._:-]`, and the list to 64 names followed by `more`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(Vec<String>);

impl Losses {
    /// Maximum number of names; one further entry is `more`.
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

    /// Adds the losses of another list, such as those of the response to those of its request.
    pub fn extend(&mut self, other: &Self) {
        other.iter().for_each(|name| self.add(name));
    }

    /// Returns true when nothing was left out or changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, in the order of the losses.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Writes the names with a comma between them, as in the header.
impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// Reduces a name of the client to 72 characters that a header or an error message can carry.
pub(crate) fn token(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    name.chars()
        .take(72)
        .map(|c| if plain(c) { c } else { '_' })
        .collect()
}

/// A part of a request that a target refuses and that a repaired request leaves out. The
/// [`Scope`](error::Scope) of the refusal decides which other requests leave it out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnsupportedFeature {
    /// A request field by its Anthropic name: `output_config.effort`, `thinking.display`, `top_k`,
    /// `tool_choice`, `tools.strict`, `context_management`, `thinking`; `anthropic_beta` for the
    /// whole list, when the refusal names no beta.
    Field(String),
    /// A value of `anthropic_beta`.
    Beta(String),
    /// `ttl` on cache points.
    CacheTtl,
    /// All cache points.
    CachePoints,
    /// Thinking blocks of earlier turns, whose signatures the target refuses.
    ThinkingHistory,
    /// `role: system` messages inside the conversation.
    SystemRole,
}

/// The parts that a request leaves out: those that its repair removed, and those that its target is
/// known to refuse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnsupportedFeatures(std::collections::BTreeSet<UnsupportedFeature>);

impl UnsupportedFeatures {
    /// Adds a part. Returns true when it is new.
    pub fn insert(&mut self, refused: UnsupportedFeature) -> bool {
        self.0.insert(refused)
    }

    /// Returns true when this part is left out.
    pub fn contains(&self, refused: &UnsupportedFeature) -> bool {
        self.0.contains(refused)
    }

    /// Returns true when this field is left out.
    pub fn has_field(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|known| matches!(known, UnsupportedFeature::Field(field) if field == name))
    }

    /// Returns true when this beta is left out, by its name or with the whole list.
    pub fn has_beta(&self, name: &str) -> bool {
        self.has_field("anthropic_beta")
            || self
                .0
                .iter()
                .any(|known| matches!(known, UnsupportedFeature::Beta(beta) if beta == name))
    }
}
