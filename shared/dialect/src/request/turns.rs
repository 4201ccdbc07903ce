//! The conversation, in the order of turns that Bedrock requires.
//!
//! User and assistant turns alternate, and the first turn is the user's. No text is blank. Tool
//! results come first in their turn, one for each call of the turn before. A conversation that
//! breaks these rules is repaired in the same way every time, so that earlier turns keep their
//! bytes and stay cached.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::anthropic::{MessagesRequest, Role, is_space};
use super::blocks::{BlockPosition, BlockReader};
use super::cache::WithCachePoint;
use super::context::{Api, Purpose, TranslationContext};
use super::json::FieldError;
use super::names::ToolNames;
use super::parts::{Part, ToolResult};
use crate::{Losses, UnsupportedFeature};

/// The text of a user turn that only the order of turns requires.
const EMPTY_TURN: &str = "(empty)";

/// One turn of the conversation.
#[derive(Debug)]
pub(super) struct Turn<'r> {
    pub(super) role: Role,
    pub(super) parts: Vec<WithCachePoint<Part<'r>>>,
}

/// The turns of a request.
pub(super) fn turns<'r>(
    request: &'r MessagesRequest<'r>,
    context: &TranslationContext<'_>,
    names: &mut ToolNames,
    losses: &mut Losses,
) -> Result<Vec<Turn<'r>>, FieldError> {
    let turns = read_turns(request, context, names, losses)?;
    // Drop empty assistant and system turns and merge the adjacent turns.
    let mut kept = Vec::with_capacity(turns.len());
    for turn in turns {
        if turn.role == Role::User || !turn.parts.is_empty() {
            append_turn(&mut kept, turn);
        }
    }
    let mut turns = pair_tools(kept, losses).map_err(|error| error.within("messages"))?;
    if turns.iter().all(|turn| turn.role == Role::System) {
        return Err(FieldError::new("at least one message is required").within("messages"));
    }
    if turns.first().is_some_and(|turn| turn.role != Role::User) {
        // Anthropic accepts a conversation that starts with the assistant; Bedrock requires the
        // user.
        losses.add("messages.first_user");
        let placeholder = Turn {
            role: Role::User,
            parts: vec![Part::text(EMPTY_TURN).into()],
        };
        turns.insert(0, placeholder);
    }
    check_final_assistant_turn(&mut turns, context)?;
    for turn in &mut turns {
        finish_user_turn(turn, context.api);
        remove_thinking_cache_points(turn, losses);
    }
    name_documents(&mut turns);
    Ok(turns)
}

/// The messages of a request as turns, in their order.
fn read_turns<'r>(
    request: &'r MessagesRequest<'r>,
    context: &TranslationContext<'_>,
    names: &mut ToolNames,
    losses: &mut Losses,
) -> Result<Vec<Turn<'r>>, FieldError> {
    let native_system = context.api == Api::Invoke
        && context.capabilities.native_system_role
        && !context
            .unsupported
            .contains(&UnsupportedFeature::SystemRole);
    let tool_names: BTreeSet<&str> = request
        .tools
        .iter()
        .map(|tool| tool.name.as_ref())
        .collect();
    let newest = request
        .messages
        .iter()
        .rposition(|message| message.role == Role::User);

    let mut turns: Vec<Turn<'r>> = Vec::new();
    for (nth, message) in request.messages.iter().enumerate() {
        if message.effort.is_some() {
            losses.add("messages.output_config");
        }
        let role = match message.role {
            Role::System if !native_system => Role::User,
            role => role,
        };
        let position = BlockPosition {
            role: message.role,
            newest: Some(nth) == newest,
        };
        let mut reader = BlockReader {
            tool_names: &tool_names,
            context,
            names,
            losses,
            parts: Vec::new(),
        };
        reader
            .message(message, position, native_system)
            .map_err(|error| error.within(nth).within("messages"))?;
        let parts = reader.parts;
        if message.role == Role::System && !native_system {
            if parts.is_empty() {
                continue;
            }
            losses.add("messages.system");
        }
        append_turn(&mut turns, Turn { role, parts });
    }
    Ok(turns)
}

/// Appends a turn, or its parts to the last turn if that has the same role.
fn append_turn<'r>(turns: &mut Vec<Turn<'r>>, turn: Turn<'r>) {
    match turns.last_mut() {
        Some(last) if last.role == turn.role => last.parts.extend(turn.parts),
        _ => turns.push(turn),
    }
}

/// The calls of a turn without a result.
#[derive(Debug, Default)]
struct UnansweredCalls<'r> {
    /// The number of each call in the order of the calls.
    at: BTreeMap<Cow<'r, str>, usize>,
    /// The number of calls so far.
    count: usize,
}

impl<'r> UnansweredCalls<'r> {
    /// Adds a call. Returns false when a call with this id has no result yet.
    fn insert(&mut self, id: Cow<'r, str>) -> bool {
        self.count += 1;
        self.at.insert(id, self.count).is_none()
    }

    /// Removes the call with this id. Returns false when there is none.
    fn remove(&mut self, id: &str) -> bool {
        self.at.remove(id).is_some()
    }

    /// The ids in the order of the calls.
    fn into_ids(self) -> impl Iterator<Item = Cow<'r, str>> {
        let mut ids: Vec<_> = self.at.into_iter().collect();
        ids.sort_unstable_by_key(|(_, at)| *at);
        ids.into_iter().map(|(id, _)| id)
    }
}

/// Gives every call exactly one result, at the start of the next turn.
fn pair_tools<'r>(turns: Vec<Turn<'r>>, losses: &mut Losses) -> Result<Vec<Turn<'r>>, FieldError> {
    let mut paired: Vec<Turn<'r>> = Vec::with_capacity(turns.len());
    let mut open = UnansweredCalls::default();
    for mut turn in turns {
        match turn.role {
            Role::System => {}
            Role::Assistant => {
                add_missing_results(&mut paired, &mut open, losses);
                for part in &turn.parts {
                    if let Part::ToolUse { id, .. } = &part.item
                        && !open.insert(id.clone())
                    {
                        return Err(FieldError::new("`tool_use` ids must be unique"));
                    }
                }
            }
            Role::User => {
                let (mut results, mut rest) = (Vec::new(), Vec::new());
                for part in turn.parts {
                    match &part.item {
                        Part::ToolResult(result) if open.remove(&result.id) => results.push(part),
                        Part::ToolResult(_) => rest.extend(orphan_result_as_text(part, losses)),
                        _ => rest.push(part),
                    }
                }
                results.extend(missing_results(&mut open, losses));
                results.append(&mut rest);
                turn.parts = results;
            }
        }
        paired.push(turn);
    }
    add_missing_results(&mut paired, &mut open, losses);
    Ok(paired)
}

/// Appends a user turn with results for the calls that have none.
fn add_missing_results<'r>(
    turns: &mut Vec<Turn<'r>>,
    open: &mut UnansweredCalls<'r>,
    losses: &mut Losses,
) {
    let parts: Vec<_> = missing_results(open, losses).collect();
    if !parts.is_empty() {
        append_turn(
            turns,
            Turn {
                role: Role::User,
                parts,
            },
        );
    }
}

fn missing_results<'r>(
    open: &mut UnansweredCalls<'r>,
    losses: &mut Losses,
) -> impl Iterator<Item = WithCachePoint<Part<'r>>> + use<'r> {
    if !open.at.is_empty() {
        losses.add("tool_result:missing");
    }
    std::mem::take(open).into_ids().map(|id| {
        let parts = vec![Part::text("Tool result missing.")];
        Part::ToolResult(ToolResult {
            id,
            parts,
            is_error: Some(true),
        })
        .into()
    })
}

/// The parts of a result without its call, as user content.
fn orphan_result_as_text<'r>(
    result: WithCachePoint<Part<'r>>,
    losses: &mut Losses,
) -> Vec<WithCachePoint<Part<'r>>> {
    losses.add("tool_result:orphan");
    let Part::ToolResult(ToolResult { parts, .. }) = result.item else {
        return Vec::new();
    };
    let mut parts_as_text: Vec<WithCachePoint<Part<'r>>> =
        vec![Part::text("[result of an earlier tool call]").into()];
    // References are valid inside a result only.
    parts_as_text.extend(
        parts
            .into_iter()
            .filter(|part| !matches!(part, Part::Native(_) | Part::ToolChange { .. }))
            .map(WithCachePoint::from),
    );
    if let Some(last) = parts_as_text.last_mut() {
        last.cache = result.cache;
    }
    parts_as_text
}

/// Checks a final assistant turn, which the model continues (prefill).
fn check_final_assistant_turn(
    turns: &mut Vec<Turn<'_>>,
    context: &TranslationContext<'_>,
) -> Result<(), FieldError> {
    let Some(last) = turns.last_mut().filter(|turn| turn.role == Role::Assistant) else {
        return Ok(());
    };
    while last
        .parts
        .last()
        .is_some_and(|part| part.item.is_thinking())
    {
        last.parts.pop();
    }
    if last.parts.is_empty() {
        turns.pop();
        return Ok(());
    }
    if !context.capabilities.prefill && context.purpose == Purpose::Message {
        return Err(FieldError::new(
            "This model does not support assistant message prefill. \
             The conversation must end with a user message.",
        ));
    }
    if let Some(WithCachePoint {
        item: Part::Text { text, .. },
        ..
    }) = last.parts.last_mut()
    {
        let length = text.trim_end_matches(is_space).len();
        match text {
            Cow::Borrowed(text) => *text = text.get(..length).unwrap_or(text),
            Cow::Owned(text) => text.truncate(length),
        }
    }
    Ok(())
}

fn finish_user_turn(turn: &mut Turn<'_>, api: Api) {
    if turn.role != Role::User {
        return;
    }
    if turn.parts.is_empty() {
        // Without it two assistant turns would be adjacent.
        turn.parts.push(Part::text(EMPTY_TURN).into());
    }
    let holds = |wanted: fn(&Part<'_>) -> bool| turn.parts.iter().any(|part| wanted(&part.item));
    if api == Api::Converse
        && holds(|part| matches!(part, Part::Document(_)))
        && !holds(|part| matches!(part, Part::Text { .. }))
    {
        turn.parts.push(Part::text(".").into());
    }
}

/// Removes the cache points after thinking, where Bedrock does not allow them.
fn remove_thinking_cache_points(turn: &mut Turn<'_>, losses: &mut Losses) {
    for part in turn.parts.iter_mut().filter(|part| part.item.is_thinking()) {
        if part.cache.take().is_some() {
            losses.add("cache_control");
        }
    }
}

fn name_documents(turns: &mut [Turn<'_>]) {
    let mut count = 0_usize;
    let mut name = |part: &mut Part<'_>| {
        if let Part::Document(part) = part {
            count += 1;
            part.name = format!("document-{count}");
        }
    };
    for part in turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        match &mut part.item {
            Part::ToolResult(result) => result.parts.iter_mut().for_each(&mut name),
            other => name(other),
        }
    }
}

/// The client's titles of the documents, in the order in which [`name_documents`] numbers them.
pub(super) fn document_titles(turns: &[Turn<'_>]) -> Vec<Option<String>> {
    let title = |part: &Part<'_>| match part {
        Part::Document(part) => Some(part.document.title.as_deref().map(str::to_owned)),
        _ => None,
    };
    let parts = turns.iter().flat_map(|turn| &turn.parts);
    parts
        .flat_map(|part| match &part.item {
            Part::ToolResult(result) => result.parts.iter().filter_map(title).collect(),
            other => title(other).into_iter().collect::<Vec<_>>(),
        })
        .collect()
}

/// Returns true when the current tool loop started without thinking. Models with budgets only then
/// refuse to think in it ("Expected `thinking`").
pub(super) fn tool_loop_starts_without_thinking(turns: &[Turn<'_>]) -> bool {
    let has_results = |turn: &&Turn<'_>| {
        turn.parts
            .iter()
            .any(|part| matches!(part.item, Part::ToolResult(_)))
    };
    let mut kept = turns
        .iter()
        .rev()
        .filter(|turn| turn.role != Role::System)
        .peekable();
    let mut opening = None;
    while kept
        .next_if(|turn| turn.role == Role::User && has_results(turn))
        .is_some()
    {
        opening = kept.next();
    }
    opening.is_some_and(|turn| {
        turn.parts
            .first()
            .is_some_and(|part| !part.item.is_thinking())
    })
}

/// Returns true when the conversation contains thinking blocks.
pub(super) fn holds_thinking(turns: &[Turn<'_>]) -> bool {
    turns
        .iter()
        .flat_map(|turn| &turn.parts)
        .any(|part| part.item.is_thinking())
}
