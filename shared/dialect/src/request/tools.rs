//! Tools: which of them Bedrock can be told of, in which words, and whether the model must use one.

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
    /// Anthropic-defined tools that the client runs, as they came.
    pub(super) client_tools: Vec<Object<'r>>,
    /// The betas that `client` needs.
    pub(super) betas: Vec<&'static str>,
}

/// A tool that Bedrock is told of.
#[derive(Clone, Debug)]
pub(super) enum ToolDefinition<'r> {
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
pub(super) struct TargetToolChoice<'r> {
    pub(super) choice: Option<ToolChoiceKind<'r>>,
    pub(super) disable_parallel: bool,
}

const EMPTY_SCHEMA: &str = r#"{"type":"object"}"#;

/// The tools of a request that the target can have.
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
        seen: BTreeSet::new(),
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

/// The choice of the tools that the target is given, tool by tool.
struct ToolSelection<'r, 'x> {
    /// The names of the tools that the conversation has found, called or demands.
    wanted: BTreeSet<Cow<'r, str>>,
    /// The names of the tools that the conversation has called.
    called: BTreeSet<&'r str>,
    /// The request has a search that finds deferred tools. Without one they would never be found.
    searched: bool,
    /// The names so far, as Bedrock gets them.
    seen: BTreeSet<Cow<'r, str>>,
    tool_set: ToolSet<'r>,
    changes: &'x ToolChanges<'r>,
    context: &'x TranslationContext<'x>,
    names: &'x mut ToolNames,
    losses: &'x mut Losses,
}

impl<'r> ToolSelection<'r, '_> {
    /// Adds a tool, as far as the target takes it. `nth` is its place in the request's list.
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

    /// A tool that the conversation removed. Its calls in the conversation need its description.
    fn add_removed(&mut self, tool: &'r Tool<'r>) {
        if self.called.contains(tool.name.as_ref()) && self.seen.insert(self.names.tool(&tool.name))
        {
            let spec = unavailable(self.names.tool(&tool.name));
            self.tool_set.definitions.push(spec.into());
        }
    }

    /// Whether a deferred tool is left out, because nothing has found it yet.
    fn stays_deferred(&self, tool: &Tool<'_>) -> bool {
        tool.deferred
            && !self.context.tool_search
            && !self.searched
            && !self.is_added(tool)
            && !self.wanted.contains(tool.name.as_ref())
    }

    /// Whether the conversation added this tool, and the target is not given the addition itself.
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
        if !self.seen.insert(name.clone()) {
            return Err(FieldError::new("Tool names must be unique.").within("tools"));
        }
        let custom = Custom {
            name,
            description: description.filter(|text| !is_blank(text)),
            schema: object_schema(schema).map_err(|error| error.within(nth).within("tools"))?,
            strict: strict.filter(|_| strict_goes(self.context, self.losses)),
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

    /// A tool that Anthropic defines and the client runs, with the beta that it needs.
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

    /// A conversation that used tools needs them described, even if they are gone.
    pub(super) fn describe_called_tools(&mut self, turns: &[Turn<'r>], api: Api) {
        let described = match api {
            Api::Converse => !self.definitions.is_empty(),
            Api::Invoke => !self.is_empty(),
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
                self.definitions.push(unavailable(name).into());
            }
        }
    }
}

/// A tool that the conversation called and that is there no longer.
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
    // A constant that is JSON, so that the default (`null`) is never reached.
    Cow::Owned(RawValue::from_string(EMPTY_SCHEMA.to_owned()).unwrap_or_default())
}

/// A request that has nothing but tools of Anthropic's servers asks for what Bedrock cannot do: the
/// model would make the result up. Claude Code hands this sentence to its main turn as the
/// tool's error and goes on.
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

fn strict_goes(context: &TranslationContext<'_>, losses: &mut Losses) -> bool {
    let goes = context.capabilities.structured_output && !context.learned.field("tools.strict");
    if !goes {
        losses.add("tools.strict");
    }
    goes
}

/// The schema as it is, unless its `type` is missing or not JSON Schema's.
fn object_schema(schema: &RawValue) -> Result<Cow<'_, RawValue>, FieldError> {
    let object = Object::read(schema)?;
    match object.text("type") {
        Ok(Some(kind)) if kind != "custom" => Ok(Cow::Borrowed(schema)),
        // An array of types is JSON Schema, too.
        Err(_) => Ok(Cow::Borrowed(schema)),
        Ok(_) => to_raw_value(&object.with_object_type())
            .map(Cow::Owned)
            .map_err(|_| FieldError::new("Input should be a valid object")),
    }
}

/// What the request asks about using tools, as far as the target can be made to.
pub(super) fn target_tool_choice<'r>(
    request: &'r MessagesRequest<'_>,
    tool_set: &ToolSet<'r>,
    thinks: bool,
    context: &TranslationContext<'_>,
    names: &mut ToolNames,
    losses: &mut Losses,
) -> TargetToolChoice<'r> {
    let Some(asked) = &request.tool_choice else {
        return TargetToolChoice::default();
    };
    if tool_set.is_empty() {
        return TargetToolChoice::default();
    }
    let forcible = match context.capabilities.forced_tool {
        _ if context.learned.field("tool_choice") => false,
        ForcedTool::Yes => true,
        ForcedTool::WithoutThinking => !thinks,
        ForcedTool::No => false,
    };
    let choice = match &asked.kind {
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
        disable_parallel: asked.disable_parallel,
    }
}
