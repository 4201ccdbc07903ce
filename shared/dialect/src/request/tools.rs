//! The tools of a request: those that the target gets, and whether the model must use one.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::value::{RawValue, to_raw_value};

use super::anthropic::{MessagesRequest, Tool, ToolChoiceKind, ToolKind, is_blank};
use super::beta_names;
use super::cache::{self, WithCachePoint};
use super::context::{Api, TranslationContext};
use super::json::{FieldError, Object};
use super::names::ToolNames;
use super::parts::Part;
use super::tool_history::{ToolChanges, called_tools, needed_tools};
use super::turns::Turn;
use crate::model::ForcedTool;
use crate::{Losses, token};

/// The tools of a request.
#[derive(Debug, Default)]
pub(super) struct ToolSet<'r> {
    pub(super) definitions: Vec<WithCachePoint<ToolDefinition<'r>>>,
    /// Tools that Anthropic defines and the client runs, unchanged.
    pub(super) client_tools: Vec<Object<'r>>,
    /// The betas that `client_tools` need.
    pub(super) betas: Vec<&'static str>,
}

/// The definition of a tool for the target.
#[derive(Clone, Debug)]
pub(super) enum ToolDefinition<'r> {
    Custom(Custom<'r>),
    /// Tool search, which finds deferred tools. Only `InvokeModel` supports it.
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

/// `tool_choice` for the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TargetToolChoice<'r> {
    pub(super) choice: Option<ToolChoiceKind<'r>>,
    pub(super) disable_parallel: bool,
}

const EMPTY_SCHEMA: &str = r#"{"type":"object"}"#;

/// Selects the tools of a request that the target accepts.
pub(super) fn select_tools<'r>(
    request: &'r MessagesRequest<'_>,
    context: &TranslationContext<'_>,
    names: &mut ToolNames,
    losses: &mut Losses,
) -> Result<ToolSet<'r>, FieldError> {
    refuse_only_server_tools(&request.tools)?;
    let changes = ToolChanges::from_request(request)?;
    let mut selection = ToolSelection {
        wanted: needed_tools(request),
        called: called_tools(request),
        searched: request.tools.iter().any(|tool| is_search(tool)),
        selected_names: BTreeSet::new(),
        tool_set: ToolSet::default(),
        changes: &changes,
        context,
        names,
        losses,
    };
    for (nth, tool) in changes.tools(request).into_iter().enumerate() {
        selection.add(nth, tool)?;
    }
    Ok(selection.tool_set)
}

/// The state of the selection, tool by tool.
struct ToolSelection<'r, 'x> {
    /// The names of the tools that the conversation has found or called, or that `tool_choice`
    /// names.
    wanted: BTreeSet<Cow<'r, str>>,
    /// The names of the tools that the conversation calls.
    called: BTreeSet<&'r str>,
    /// The request has tool search, without which deferred tools are never found.
    searched: bool,
    /// The names of the selected tools at Bedrock.
    selected_names: BTreeSet<Cow<'r, str>>,
    tool_set: ToolSet<'r>,
    changes: &'x ToolChanges<'r>,
    context: &'x TranslationContext<'x>,
    names: &'x mut ToolNames,
    losses: &'x mut Losses,
}

impl<'r> ToolSelection<'r, '_> {
    /// Adds a tool as far as the target accepts it. `nth` is its index in the list of the request.
    fn add(&mut self, nth: usize, tool: &'r Tool<'r>) -> Result<(), FieldError> {
        if !self.context.tool_changes && self.changes.removed(&tool.name) {
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
                ToolKind::Server { .. } if self.context.tool_search && is_search(tool) => {
                    let search = tool.source.clone().without(&["cache_control"]);
                    self.tool_set
                        .definitions
                        .push(ToolDefinition::Search(search).into());
                }
                ToolKind::Server { version } => {
                    self.losses
                        .add(format!("tool:{}", server_tool_name(version)));
                }
            }
        }
        cache::add_cache_point(&mut self.tool_set.definitions, tool.cache, self.losses);
        Ok(())
    }

    /// Adds the description of a removed tool, which its calls in the conversation need.
    fn add_removed(&mut self, tool: &'r Tool<'r>) {
        if self.called.contains(tool.name.as_ref())
            && self.selected_names.insert(self.names.tool(&tool.name))
        {
            let spec = unavailable(self.names.tool(&tool.name));
            self.tool_set.definitions.push(spec.into());
        }
    }

    /// Returns true when a deferred tool is left out, because it has not been found yet.
    fn stays_deferred(&self, tool: &Tool<'_>) -> bool {
        tool.deferred
            && !self.context.tool_search
            && !self.searched
            && !self.is_added(tool)
            && !self.wanted.contains(tool.name.as_ref())
    }

    /// Returns true when the conversation adds this tool and the addition itself is not sent.
    fn is_added(&self, tool: &Tool<'_>) -> bool {
        !self.context.tool_changes && self.changes.added(&tool.name)
    }

    fn add_custom(
        &mut self,
        nth: usize,
        tool: &'r Tool<'r>,
        description: Option<&'r str>,
        schema: &'r RawValue,
        strict: Option<bool>,
    ) -> Result<(), FieldError> {
        let name = self.names.tool(&tool.name);
        if !self.selected_names.insert(name.clone()) {
            return Err(FieldError::new("Tool names must be unique.").within("tools"));
        }
        let custom = Custom {
            name,
            description: description.filter(|text| !is_blank(text)),
            schema: object_schema(schema).map_err(|error| error.within(nth).within("tools"))?,
            strict: strict.filter(|_| is_strict_sent(self.context, self.losses)),
            deferred: tool.deferred && self.context.tool_search && !self.is_added(tool),
        };
        if tool.deferred && !self.context.tool_search {
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
        self.tool_set
            .definitions
            .push(ToolDefinition::Custom(custom).into());
        Ok(())
    }

    /// Adds a tool that Anthropic defines and the client runs, with its beta.
    fn add_client(&mut self, tool: &'r Tool<'r>, beta: &'static str) {
        let source = tool.source.clone().without(&["cache_control"]);
        self.tool_set.client_tools.push(source);
        if !self.tool_set.betas.contains(&beta) {
            self.tool_set.betas.push(beta);
        }
    }
}

impl<'r> ToolSet<'r> {
    pub(super) fn has(&self, wanted: &str) -> bool {
        self.definitions.iter().any(
            |spec| matches!(&spec.item, ToolDefinition::Custom(custom) if custom.name == wanted),
        )
    }

    pub(super) fn is_empty(&self) -> bool {
        self.definitions.is_empty() && self.client_tools.is_empty()
    }

    fn client_names(&self) -> BTreeSet<Cow<'r, str>> {
        let name = |tool: &Object<'r>| tool.text("name").ok().flatten();
        self.client_tools.iter().filter_map(name).collect()
    }

    /// Describes the called tools of a conversation if no tool is described otherwise, because
    /// Bedrock requires a description.
    pub(super) fn describe_called_tools(&mut self, turns: &[Turn<'r>], api: Api) {
        let described = match api {
            Api::Converse => !self.definitions.is_empty(),
            Api::Invoke => !self.is_empty(),
        };
        if described {
            return;
        }
        let client = self.client_names();
        let mut described: BTreeSet<Cow<'r, str>> = BTreeSet::new();
        for part in turns.iter().flat_map(|turn| &turn.parts) {
            let Part::ToolUse { name, .. } = &part.item else {
                continue;
            };
            // Converse requires a described tool, and the model refuses the same name twice.
            let name = if client.contains(name) {
                Cow::Borrowed("unavailable")
            } else {
                name.clone()
            };
            if described.insert(name.clone()) {
                self.definitions.push(unavailable(name).into());
            }
        }
    }
}

/// The definition of a called tool that is no longer available.
fn unavailable(name: Cow<'_, str>) -> ToolDefinition<'_> {
    ToolDefinition::Custom(Custom {
        name,
        description: Some("Not available in this turn."),
        schema: empty_schema(),
        strict: None,
        deferred: false,
    })
}

fn empty_schema() -> Cow<'static, RawValue> {
    // The constant is JSON, so the default (`null`) is never used.
    Cow::Owned(RawValue::from_string(EMPTY_SCHEMA.to_owned()).unwrap_or_default())
}

/// Refuses a request that has only tools of Anthropic's servers, because the model would invent
/// their results. Claude Code passes the message to its main conversation as the error of the tool.
fn refuse_only_server_tools(tools: &[Tool<'_>]) -> Result<(), FieldError> {
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
    Err(FieldError::unavailable(format!(
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

fn is_strict_sent(context: &TranslationContext<'_>, losses: &mut Losses) -> bool {
    let is_sent =
        context.capabilities.structured_output && !context.unsupported.has_field("tools.strict");
    if !is_sent {
        losses.add("tools.strict");
    }
    is_sent
}

/// The schema, unchanged unless its `type` is missing or `custom`.
fn object_schema(schema: &RawValue) -> Result<Cow<'_, RawValue>, FieldError> {
    let object = Object::read(schema)?;
    match object.text("type") {
        Ok(Some(kind)) if kind != "custom" => Ok(Cow::Borrowed(schema)),
        // An array of types is valid JSON Schema.
        Err(_) => Ok(Cow::Borrowed(schema)),
        Ok(_) => to_raw_value(&object.with_object_type())
            .map(Cow::Owned)
            .map_err(|_| FieldError::new("Input should be a valid object")),
    }
}

/// `tool_choice` of the request, reduced to what the target accepts.
pub(super) fn target_tool_choice<'r>(
    request: &'r MessagesRequest<'_>,
    tool_set: &ToolSet<'r>,
    thinks: bool,
    context: &TranslationContext<'_>,
    names: &mut ToolNames,
    losses: &mut Losses,
) -> TargetToolChoice<'r> {
    let Some(requested) = &request.tool_choice else {
        return TargetToolChoice::default();
    };
    if tool_set.is_empty() {
        return TargetToolChoice::default();
    }
    let forcible = match context.capabilities.forced_tool {
        _ if context.unsupported.has_field("tool_choice") => false,
        ForcedTool::Yes => true,
        ForcedTool::WithoutThinking => !thinks,
        ForcedTool::No => false,
    };
    let choice = match &requested.kind {
        ToolChoiceKind::Any if forcible => ToolChoiceKind::Any,
        ToolChoiceKind::Tool(name) if forcible && tool_set.has(&names.tool(name)) => {
            ToolChoiceKind::Tool(names.tool(name))
        }
        ToolChoiceKind::Any | ToolChoiceKind::Tool(_) => {
            losses.add("tool_choice");
            ToolChoiceKind::Auto
        }
        ToolChoiceKind::Auto => ToolChoiceKind::Auto,
        ToolChoiceKind::None => ToolChoiceKind::None,
    };
    TargetToolChoice {
        choice: Some(choice),
        disable_parallel: requested.disable_parallel,
    }
}
