//! Cache points: where the client's `cache_control` marks may stand at Bedrock.
//!
//! A mark belongs to the item that it follows, so it can neither come first in a list nor next to
//! another. What is left to limit_cache_points is their number, their order by lifetime and what the model takes.

use super::anthropic::{CacheControl, Ttl};
use super::context::TranslationContext;
use crate::{Losses, Refused};

/// Most cache points in one request, over tools, system and messages together.
const MAX_POINTS: usize = 4;

/// An item of a list, with the cache point that follows it.
#[derive(Clone, Debug)]
pub(super) struct WithCachePoint<T> {
    pub(super) item: T,
    pub(super) cache: Option<Ttl>,
}

impl<T> From<T> for WithCachePoint<T> {
    fn from(item: T) -> Self {
        Self { item, cache: None }
    }
}

/// Marks the end of a list so far. An empty list has nothing to cache yet, and of two marks at the
/// same place the longer-lived one says it all.
pub(super) fn add_cache_point<T>(
    list: &mut [WithCachePoint<T>],
    cache: Option<CacheControl>,
    losses: &mut Losses,
) {
    let Some(control) = cache else { return };
    if control.scoped {
        losses.add("cache_control.scope");
    }
    match list.last_mut() {
        Some(end) if end.cache != Some(Ttl::OneHour) => end.cache = Some(control.ttl),
        Some(_) => {}
        None => losses.add("cache_control"),
    }
}

/// Brings the marks of a request within Bedrock's rules: at most four, those of the messages going
/// first and the oldest of them before the newest; none that lives an hour after one that lives
/// five minutes. `fixed` are the marks of tools and system, `messages` those of the conversation,
/// each in the order in which the model reads them.
pub(super) fn limit_cache_points(
    fixed: Vec<&mut Option<Ttl>>,
    messages: Vec<&mut Option<Ttl>>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) {
    let mut fixed: Vec<_> = fixed.into_iter().filter(|mark| mark.is_some()).collect();
    let mut messages: Vec<_> = messages.into_iter().filter(|mark| mark.is_some()).collect();
    let allowed = if context.learned.contains(&Refused::CachePoints) {
        0
    } else {
        MAX_POINTS
    };
    let excess = (fixed.len() + messages.len()).saturating_sub(allowed);
    if excess > 0 {
        losses.add("cache_control");
    }
    let from_messages = excess.min(messages.len());
    let dropped = messages
        .drain(..from_messages)
        .chain(fixed.drain(..excess - from_messages));
    dropped.for_each(|mark| *mark = None);

    let mut hour = context.capabilities.cache_ttl && !context.learned.contains(&Refused::CacheTtl);
    for mark in fixed.into_iter().chain(messages) {
        match mark {
            Some(Ttl::OneHour) if !hour => {
                *mark = Some(Ttl::FiveMinutes);
                losses.add("cache_control.ttl");
            }
            Some(Ttl::FiveMinutes) => hour = false,
            _ => {}
        }
    }
}
