//! Tools: which of them Bedrock can be told of, in which words, and whether the model must use one.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::value::{RawValue, to_raw_value};

use super::anthropic::{Block, Choice, Kind, MessagesRequest, Tool, ToolChange, ToolKind};
use super::cache::{self, Marked};
use super::json::{Fault, Object};
use super::names::Names;
use super::parts::{Part, is_blank};
use super::server;
use super::terms::{Terms, Wire};
use super::tool_changes::{ToolChanges, called};
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
    let wanted = wanted_tools(request);
    // Without a search that finds them, deferred tools would never be seen.
    let searched = request.tools.iter().any(|tool| is_search(tool));
    let mut toolbox = Toolbox::default();
    let mut seen = BTreeSet::new();
    let called = called(request);
    for (nth, tool) in changes.tools(request).into_iter().enumerate() {
        if !terms.tool_changes && changes.removed(&tool.name) {
            // Its calls in the conversation must stay described.
            if called.contains(tool.name.as_ref()) && seen.insert(names.tool(&tool.name)) {
                toolbox
                    .specs
                    .push(unavailable(names.tool(&tool.name)).into());
            }
            cache::mark(&mut toolbox.specs, tool.cache, losses);
            continue;
        }
        let added = !terms.tool_changes && changes.added(&tool.name);
        let at = |fault: Fault| fault.within(nth).within("tools");
        match &tool.kind {
            ToolKind::Custom { .. }
                if tool.deferred
                    && !terms.tool_search
                    && !searched
                    && !added
                    && !wanted.contains(tool.name.as_ref()) =>
            {
                losses.add("tools.defer_loading");
            }
            ToolKind::Custom {
                description,
                schema,
                strict,
            } => {
                let name = names.tool(&tool.name);
                if !seen.insert(name.clone()) {
                    return Err(Fault::new("Tool names must be unique.").within("tools"));
                }
                let custom = Custom {
                    name,
                    description: description.as_deref().filter(|text| !is_blank(text)),
                    schema: object_schema(schema).map_err(at)?,
                    strict: strict.filter(|_| strict_goes(terms, losses)),
                    deferred: tool.deferred && terms.tool_search && !added,
                };
                if tool.deferred && !terms.tool_search {
                    losses.add("tools.defer_loading");
                }
                for key in [
                    "eager_input_streaming",
                    "input_examples",
                    "allowed_callers",
                    "custom",
                ] {
                    if tool.source.get(key).is_some() {
                        losses.add(format!("tools.{key}"));
                    }
                }
                toolbox.specs.push(Spec::Custom(custom).into());
            }
            ToolKind::Client { version } => {
                let beta = client_beta(version);
                toolbox
                    .client
                    .push(tool.source.clone().without(&["cache_control"]));
                if !toolbox.betas.contains(&beta) {
                    toolbox.betas.push(beta);
                }
            }
            ToolKind::Server { .. } if terms.tool_search && is_search(tool) => {
                let search = tool.source.clone().without(&["cache_control"]);
                toolbox.specs.push(Spec::Search(search).into());
            }
            ToolKind::Server { version } => {
                losses.add(format!("tool:{}", server_tool_name(version)));
            }
        }
        cache::mark(&mut toolbox.specs, tool.cache, losses);
    }
    Ok(toolbox)
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

/// Names of tools that the conversation has found, called or demands.
pub(super) fn wanted_tools<'r>(request: &'r MessagesRequest<'_>) -> BTreeSet<Cow<'r, str>> {
    let mut wanted = BTreeSet::new();
    let mut see = |block: &'r Block<'_>| match &block.kind {
        Kind::ToolReference { name }
        | Kind::ToolUse { name, .. }
        | Kind::ToolChange(ToolChange::Add(name)) => {
            wanted.insert(Cow::Borrowed(name.as_ref()));
        }
        Kind::Server { .. } => {
            wanted.extend(
                server::found_tools(block.source)
                    .into_iter()
                    .map(Cow::Owned),
            );
        }
        _ => {}
    };
    for block in request.blocks() {
        see(block);
        if let Kind::ToolResult { content, .. } = &block.kind {
            content.iter().for_each(&mut see);
        }
    }
    if let Some(Choice::Tool(name)) = request.tool_choice.as_ref().map(|choice| &choice.kind) {
        wanted.insert(Cow::Borrowed(name.as_ref()));
    }
    wanted
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
        "context-management-2025-06-27"
    } else if version.ends_with("_20251124") {
        "computer-use-2025-11-24"
    } else {
        "computer-use-2025-01-24"
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
