//! Tools: which of them Bedrock can be told of, in which words, and whether the model must use one.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::value::{RawValue, to_raw_value};

use super::anthropic::{Choice, MessagesRequest, Tool, ToolKind, is_blank};
use super::beta_names;
use super::cache::{self, Marked};
use super::json::{Fault, Object};
use super::names::Names;
use super::parts::Part;
use super::terms::{Terms, Wire};
use super::tool_history::{ToolChanges, called, wanted_tools};
use super::turns::Turn;
use crate::model::ForcedTool;
use crate::{Losses, token};

/// The tools of a request.
#[derive(Debug, Default)]
pub(super) struct Toolbox<'r> {
    pub(super) specs: Vec<Marked<Spec<'r>>>,
    /// Anthropic-defined tools that the client runs, as they came.
    pub(super) client: Vec<Object<'r>>,
    /// The betas that `client` needs.
    pub(super) betas: Vec<&'static str>,
}

/// A tool that Bedrock is told of.
#[derive(Clone, Debug)]
pub(super) enum Spec<'r> {
    Custom(Custom<'r>),
    /// Only for `InvokeModel`: the search that finds deferred tools.
    Search(Object<'r>),
}

#[derive(Clone, Debug)]
pub(super) struct Custom<'r> {
    pub(super) name: Cow<'r, str>,
    pub(super) description: Option<&'r str>,
    pub(super) schema: Cow<'r, RawValue>,
    pub(super) strict: Option<bool>,
    pub(super) deferred: bool,
}

/// What the model is told about using tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Use<'r> {
    pub(super) choice: Option<Choice<'r>>,
    pub(super) disable_parallel: bool,
}

const EMPTY_SCHEMA: &str = r#"{"type":"object"}"#;

/// The tools of a request that the target can have.
pub(super) fn toolbox<'r>(
    request: &'r MessagesRequest<'_>,
    terms: &Terms<'_>,
    names: &mut Names,
    losses: &mut Losses,
) -> Result<Toolbox<'r>, Fault> {
    refuse_only_server_tools(&request.tools)?;
    let changes = ToolChanges::of(request)?;
    let mut selection = Selection {
        wanted: wanted_tools(request),
        called: called(request),
        searched: request.tools.iter().any(|tool| is_search(tool)),
        seen: BTreeSet::new(),
        toolbox: Toolbox::default(),
        changes: &changes,
        terms,
        names,
        losses,
    };
    for (nth, tool) in changes.tools(request).into_iter().enumerate() {
        selection.add(nth, tool)?;
    }
    Ok(selection.toolbox)
}

/// The choice of the tools that the target is given, tool by tool.
struct Selection<'r, 'x> {
    /// The names of the tools that the conversation has found, called or demands.
    wanted: BTreeSet<Cow<'r, str>>,
    /// The names of the tools that the conversation has called.
    called: BTreeSet<&'r str>,
    /// The request has a search that finds deferred tools. Without one they would never be found.
    searched: bool,
    /// The names so far, as Bedrock gets them.
    seen: BTreeSet<Cow<'r, str>>,
    toolbox: Toolbox<'r>,
    changes: &'x ToolChanges<'r>,
    terms: &'x Terms<'x>,
    names: &'x mut Names,
    losses: &'x mut Losses,
}

impl<'r> Selection<'r, '_> {
    /// Adds a tool, as far as the target takes it. `nth` is its place in the request's list.
    fn add(&mut self, nth: usize, tool: &'r Tool<'r>) -> Result<(), Fault> {
        if !self.terms.tool_changes && self.changes.removed(&tool.name) {
            self.add_removed(tool);
        } else {
            match &tool.kind {
                ToolKind::Custom { .. } if self.stays_deferred(tool) => {
                    self.losses.add("tools.defer_loading");
                }
                ToolKind::Custom {
                    description,
                    schema,
                    strict,
                } => self.add_custom(nth, tool, description.as_deref(), schema, *strict)?,
                ToolKind::Client { version } => self.add_client(tool, client_beta(version)),
                ToolKind::Server { .. } if self.terms.tool_search && is_search(tool) => {
                    let search = tool.source.clone().without(&["cache_control"]);
                    self.toolbox.specs.push(Spec::Search(search).into());
                }
                ToolKind::Server { version } => {
                    self.losses
                        .add(format!("tool:{}", server_tool_name(version)));
                }
            }
        }
        cache::mark(&mut self.toolbox.specs, tool.cache, self.losses);
        Ok(())
    }

    /// A tool that the conversation removed. Its calls in the conversation need its description.
    fn add_removed(&mut self, tool: &'r Tool<'r>) {
        if self.called.contains(tool.name.as_ref()) && self.seen.insert(self.names.tool(&tool.name))
        {
            let spec = unavailable(self.names.tool(&tool.name));
            self.toolbox.specs.push(spec.into());
        }
    }

    /// Whether a deferred tool is left out, because nothing has found it yet.
    fn stays_deferred(&self, tool: &Tool<'_>) -> bool {
        tool.deferred
            && !self.terms.tool_search
            && !self.searched
            && !self.is_added(tool)
            && !self.wanted.contains(tool.name.as_ref())
    }

    /// Whether the conversation added this tool, and the target is not given the addition itself.
    fn is_added(&self, tool: &Tool<'_>) -> bool {
        !self.terms.tool_changes && self.changes.added(&tool.name)
    }

    fn add_custom(
        &mut self,
        nth: usize,
        tool: &'r Tool<'r>,
        description: Option<&'r str>,
        schema: &'r RawValue,
        strict: Option<bool>,
    ) -> Result<(), Fault> {
        let name = self.names.tool(&tool.name);
        if !self.seen.insert(name.clone()) {
            return Err(Fault::new("Tool names must be unique.").within("tools"));
        }
        let custom = Custom {
            name,
            description: description.filter(|text| !is_blank(text)),
            schema: object_schema(schema).map_err(|fault| fault.within(nth).within("tools"))?,
            strict: strict.filter(|_| strict_goes(self.terms, self.losses)),
            deferred: tool.deferred && self.terms.tool_search && !self.is_added(tool),
        };
        if tool.deferred && !self.terms.tool_search {
            self.losses.add("tools.defer_loading");
        }
        for key in [
            "eager_input_streaming",
            "input_examples",
            "allowed_callers",
            "custom",
        ] {
            if tool.source.get(key).is_some() {
                self.losses.add(format!("tools.{key}"));
            }
        }
        self.toolbox.specs.push(Spec::Custom(custom).into());
        Ok(())
    }

    /// A tool that Anthropic defines and the client runs, with the beta that it needs.
    fn add_client(&mut self, tool: &'r Tool<'r>, beta: &'static str) {
        let source = tool.source.clone().without(&["cache_control"]);
        self.toolbox.client.push(source);
        if !self.toolbox.betas.contains(&beta) {
            self.toolbox.betas.push(beta);
        }
    }
}

impl<'r> Toolbox<'r> {
    pub(super) fn has(&self, wanted: &str) -> bool {
        self.specs
            .iter()
            .any(|spec| matches!(&spec.item, Spec::Custom(custom) if custom.name == wanted))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.specs.is_empty() && self.client.is_empty()
    }

    fn client_names(&self) -> BTreeSet<Cow<'r, str>> {
        let name = |tool: &Object<'r>| tool.text("name").ok().flatten();
        self.client.iter().filter_map(name).collect()
    }

    /// A conversation that used tools needs them described, even if they are gone.
    pub(super) fn cover_history(&mut self, turns: &[Turn<'r>], wire: Wire) {
        let described = match wire {
            Wire::Converse => !self.specs.is_empty(),
            Wire::Invoke => !self.is_empty(),
        };
        if described {
            return;
        }
        let client = self.client_names();
        let mut gone: BTreeSet<Cow<'r, str>> = BTreeSet::new();
        for part in turns.iter().flat_map(|turn| &turn.parts) {
            let Part::ToolUse { name, .. } = &part.item else {
                continue;
            };
            // Converse wants some tool described, and the model would refuse a name twice.
            let name = if client.contains(name) {
                Cow::Borrowed("unavailable")
            } else {
                name.clone()
            };
            if gone.insert(name.clone()) {
                self.specs.push(unavailable(name).into());
            }
        }
    }
}

/// A tool that the conversation called and that is there no longer.
fn unavailable(name: Cow<'_, str>) -> Spec<'_> {
    Spec::Custom(Custom {
        name,
        description: Some("Not available in this turn."),
        schema: empty_schema(),
        strict: None,
        deferred: false,
    })
}

fn empty_schema() -> Cow<'static, RawValue> {
    // A constant that is JSON, so that the default (`null`) is never reached.
    Cow::Owned(RawValue::from_string(EMPTY_SCHEMA.to_owned()).unwrap_or_default())
}

/// A request that has nothing but tools of Anthropic's servers asks for what Bedrock cannot do: the
/// model would make the result up. Claude Code hands this sentence to its main turn as the
/// tool's error and goes on.
fn refuse_only_server_tools(tools: &[Tool<'_>]) -> Result<(), Fault> {
    let server = |tool: &Tool<'_>| match &tool.kind {
        ToolKind::Server { version } => Some(server_tool_name(version)),
        ToolKind::Custom { .. } | ToolKind::Client { .. } => None,
    };
    let Some(first) = tools.first().and_then(server) else {
        return Ok(());
    };
    if tools.iter().any(|tool| server(tool).is_none()) {
        return Ok(());
    }
    Err(Fault::unavailable(format!(
        "{first} is not available on Amazon Bedrock"
    )))
}

fn is_search(tool: &Tool<'_>) -> bool {
    matches!(&tool.kind, ToolKind::Server { version } if version.starts_with("tool_search_tool"))
}

/// `web_search` for `web_search_20250305`.
fn server_tool_name(version: &str) -> String {
    let name = match version.rsplit_once('_') {
        Some((name, date)) if date.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => version,
    };
    token(name)
}

fn client_beta(version: &str) -> &'static str {
    if version.starts_with("memory_") {
        beta_names::CONTEXT_MANAGEMENT
    } else if version.ends_with("_20251124") {
        beta_names::COMPUTER_USE_2025_11
    } else {
        beta_names::COMPUTER_USE_2025_01
    }
}

fn strict_goes(terms: &Terms<'_>, losses: &mut Losses) -> bool {
    let goes = terms.capabilities.structured_output && !terms.learned.field("tools.strict");
    if !goes {
        losses.add("tools.strict");
    }
    goes
}

/// The schema as it is, unless its `type` is missing or not JSON Schema's.
fn object_schema(schema: &RawValue) -> Result<Cow<'_, RawValue>, Fault> {
    let object = Object::read(schema)?;
    match object.text("type") {
        Ok(Some(kind)) if kind != "custom" => Ok(Cow::Borrowed(schema)),
        // An array of types is JSON Schema, too.
        Err(_) => Ok(Cow::Borrowed(schema)),
        Ok(_) => to_raw_value(&object.typed_object())
            .map(Cow::Owned)
            .map_err(|_| Fault::new("Input should be a valid object")),
    }
}

/// What the request asks about using tools, as far as the target can be made to.
pub(super) fn tool_use<'r>(
    request: &'r MessagesRequest<'_>,
    toolbox: &Toolbox<'r>,
    thinks: bool,
    terms: &Terms<'_>,
    names: &mut Names,
    losses: &mut Losses,
) -> Use<'r> {
    let Some(asked) = &request.tool_choice else {
        return Use::default();
    };
    if toolbox.is_empty() {
        return Use::default();
    }
    let forcible = match terms.capabilities.forced_tool {
        _ if terms.learned.field("tool_choice") => false,
        ForcedTool::Yes => true,
        ForcedTool::WithoutThinking => !thinks,
        ForcedTool::No => false,
    };
    let choice = match &asked.kind {
        Choice::Any if forcible => Choice::Any,
        Choice::Tool(name) if forcible && toolbox.has(&names.tool(name)) => {
            Choice::Tool(names.tool(name))
        }
        Choice::Any | Choice::Tool(_) => {
            losses.add("tool_choice");
            Choice::Auto
        }
        Choice::Auto => Choice::Auto,
        Choice::None => Choice::None,
    };
    Use {
        choice: Some(choice),
        disable_parallel: asked.disable_parallel,
    }
}
