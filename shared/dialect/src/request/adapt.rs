//! Adapts a request to its target. All decisions are made here; the writers only write.

use std::borrow::Cow;

use super::anthropic::{Block, BlockKind, MessagesRequest, Ttl, is_blank};
use super::betas;
use super::cache::{self, WithCachePoint};
use super::context::{Purpose, TranslationContext};
use super::json::FieldError;
use super::names::ToolNames;
use super::options::{self, Options};
use super::tools::{self, TargetToolChoice, ToolSet};
use super::turns::{self, Turn};
use crate::Losses;

/// A request that is adapted to its target.
#[derive(Debug)]
pub(super) struct AdaptedRequest<'r> {
    pub(super) turns: Vec<Turn<'r>>,
    pub(super) system: Vec<WithCachePoint<Cow<'r, str>>>,
    pub(super) tool_set: ToolSet<'r>,
    pub(super) tool_use: TargetToolChoice<'r>,
    pub(super) options: Options<'r>,
    pub(super) betas: Vec<&'static str>,
}

/// Start of the system block with which Claude Code identifies itself to Anthropic. Bedrock refuses
/// it as a reserved keyword. It changes with every request, which would defeat the prompt cache.
const BILLING_HEADER: &str = "x-anthropic-billing-header:";

/// Adapts a request to its target.
pub(super) fn adapt<'r>(
    request: &'r MessagesRequest<'r>,
    context: &TranslationContext<'_>,
    names: &mut ToolNames,
    losses: &mut Losses,
) -> Result<AdaptedRequest<'r>, FieldError> {
    if request.mcp_servers {
        return Err(FieldError::unavailable(
            "MCP servers are not available on Amazon Bedrock; \
             connect them in the client instead",
        )
        .within("mcp_servers"));
    }
    options::record_ignored(request, context, losses);
    let mut tool_set = tools::select_tools(request, context, names, losses)?;
    let mut system = system(&request.system, losses);
    let mut turns = turns::turns(request, context, names, losses)?;
    tool_set.describe_called_tools(&turns, context.api);
    let mut options = match context.purpose {
        Purpose::Message => options::options(request, &turns, context, losses)?,
        Purpose::Count => Options::default(),
    };
    // After the last cache point, so that the cached prefix stays the same.
    let instruction = options.format_instruction.take();
    system.extend(instruction.map(|text| WithCachePoint::from(Cow::Owned(text))));
    let tool_use =
        tools::target_tool_choice(request, &tool_set, options.thinks(), context, names, losses);
    let betas = betas::betas(request, &options, &tool_set, context, losses);

    if let Some(last) = turns.last_mut() {
        cache::add_cache_point(&mut last.parts, request.cache, losses);
    }
    let fixed = marks(&mut tool_set.definitions)
        .chain(marks(&mut system))
        .collect();
    let messages = turns
        .iter_mut()
        .flat_map(|turn| marks(&mut turn.parts))
        .collect();
    cache::limit_cache_points(fixed, messages, context, losses);
    Ok(AdaptedRequest {
        turns,
        system,
        tool_set,
        tool_use,
        options,
        betas,
    })
}

fn system<'r>(blocks: &'r [Block<'_>], losses: &mut Losses) -> Vec<WithCachePoint<Cow<'r, str>>> {
    let mut system = Vec::new();
    for block in blocks {
        match &block.kind {
            BlockKind::Text(text) if text.trim_start().starts_with(BILLING_HEADER) => {
                losses.add("system.billing_header");
            }
            BlockKind::Text(text) if is_blank(text) => {}
            BlockKind::Text(text) => {
                system.push(WithCachePoint::from(Cow::Borrowed(text.as_ref())));
            }
            _ => losses.add("system.block"),
        }
        cache::add_cache_point(&mut system, block.cache, losses);
    }
    system
}

fn marks<T>(list: &mut [WithCachePoint<T>]) -> impl Iterator<Item = &mut Option<Ttl>> {
    list.iter_mut().map(|marked| &mut marked.cache)
}
