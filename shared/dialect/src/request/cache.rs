//! Cache points: the client's `cache_control` within Bedrock's limits.
//!
//! A cache point belongs to the item before it, so it is never the first of a list nor next to
//! another. [`limit_cache_points`] limits their number, their order by lifetime and their lifetime.

use super::anthropic::{CacheControl, Ttl};
use super::context::TranslationContext;
use crate::{Losses, UnsupportedFeature};

/// Maximum number of cache points in a request, in tools, system and messages together.
const MAX_POINTS: usize = 4;

/// An item of a list with the cache point after it.
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

/// Adds a cache point after the last item of a list. In an empty list it is lost; of two cache
/// points at the same place the one with the longer lifetime remains.
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

/// Limits the cache points of a request to Bedrock's rules: at most four, of which the oldest of
/// the messages are removed first, and no point of one hour after a point of five minutes. `fixed`
/// are the points of tools and system, `messages` those of the conversation, each in the order of
/// the prompt.
pub(super) fn limit_cache_points(
    fixed: Vec<&mut Option<Ttl>>,
    messages: Vec<&mut Option<Ttl>>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) {
    let mut fixed: Vec<_> = fixed.into_iter().filter(|mark| mark.is_some()).collect();
    let mut messages: Vec<_> = messages.into_iter().filter(|mark| mark.is_some()).collect();
    let allowed = if context
        .unsupported
        .contains(&UnsupportedFeature::CachePoints)
    {
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

    let mut one_hour_allowed = context.capabilities.cache_ttl
        && !context.unsupported.contains(&UnsupportedFeature::CacheTtl);
    for mark in fixed.into_iter().chain(messages) {
        match mark {
            Some(Ttl::OneHour) if !one_hour_allowed => {
                *mark = Some(Ttl::FiveMinutes);
                losses.add("cache_control.ttl");
            }
            Some(Ttl::FiveMinutes) => one_hour_allowed = false,
            _ => {}
        }
    }
}
