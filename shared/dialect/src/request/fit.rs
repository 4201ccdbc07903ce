//! A request brought within the reach of its target: everything decided, nothing written yet.

use std::borrow::Cow;

use super::anthropic::{Block, Kind, MessagesRequest, Ttl, is_blank};
use super::betas;
use super::cache::{self, Marked};
use super::json::Fault;
use super::names::Names;
use super::options::{self, Options};
use super::terms::{Purpose, Terms};
use super::tools::{self, Toolbox, Use};
use super::turns::{self, Turn};
use crate::Losses;

/// A request, fitted to its target.
#[derive(Debug)]
pub(super) struct Content<'r> {
    pub(super) turns: Vec<Turn<'r>>,
    pub(super) system: Vec<Marked<Cow<'r, str>>>,
    pub(super) toolbox: Toolbox<'r>,
    pub(super) tool_use: Use<'r>,
    pub(super) options: Options<'r>,
    pub(super) betas: Vec<&'static str>,
}

/// Opens the block in which Claude Code names itself to Anthropic. Elsewhere it is refused as a
/// reserved keyword, and it changes with every request, so that nothing would ever be cached.
const BILLING_HEADER: &str = "x-anthropic-billing-header:";

/// Fits a request to its target.
pub(super) fn fit<'r>(
    request: &'r MessagesRequest<'r>,
    terms: &Terms<'_>,
    names: &mut Names,
    losses: &mut Losses,
) -> Result<Content<'r>, Fault> {
    if request.mcp_servers {
        return Err(Fault::unavailable(
            "MCP servers are not available on Amazon Bedrock; \
             connect them in the client instead",
        )
        .within("mcp_servers"));
    }
    options::record_ignored(request, terms, losses);
    let mut toolbox = tools::toolbox(request, terms, names, losses)?;
    let mut system = system(&request.system, losses);
    let mut turns = turns::turns(request, terms, names, losses)?;
    toolbox.cover_history(&turns, terms.wire);
    let mut options = match terms.purpose {
        Purpose::Answer => options::options(request, &turns, terms, losses)?,
        Purpose::Count => Options::default(),
    };
    // Behind the last cache point, so that what is cached stays the same.
    let instruction = options.format_instruction.take();
    system.extend(instruction.map(|text| Marked::from(Cow::Owned(text))));
    let tool_use = tools::tool_use(request, &toolbox, options.thinks(), terms, names, losses);
    let betas = betas::betas(request, &options, &toolbox, terms, losses);

    if let Some(last) = turns.last_mut() {
        cache::mark(&mut last.parts, request.cache, losses);
    }
    let fixed = marks(&mut toolbox.specs)
        .chain(marks(&mut system))
        .collect();
    let messages = turns
        .iter_mut()
        .flat_map(|turn| marks(&mut turn.parts))
        .collect();
    cache::settle(fixed, messages, terms, losses);
    Ok(Content {
        turns,
        system,
        toolbox,
        tool_use,
        options,
        betas,
    })
}

fn system<'r>(blocks: &'r [Block<'_>], losses: &mut Losses) -> Vec<Marked<Cow<'r, str>>> {
    let mut system = Vec::new();
    for block in blocks {
        match &block.kind {
            Kind::Text(text) if text.trim_start().starts_with(BILLING_HEADER) => {
                losses.add("system.billing_header");
            }
            Kind::Text(text) if is_blank(text) => {}
            Kind::Text(text) => system.push(Marked::from(Cow::Borrowed(text.as_ref()))),
            _ => losses.add("system.block"),
        }
        cache::mark(&mut system, block.cache, losses);
    }
    system
}

fn marks<T>(list: &mut [Marked<T>]) -> impl Iterator<Item = &mut Option<Ttl>> {
    list.iter_mut().map(|marked| &mut marked.cache)
}
