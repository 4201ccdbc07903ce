//! The cache points of a Converse body.

use super::shape::{Block, Body, SystemBlock, TimeToLive, Tool};
use crate::rules::content::RuleViolation;

const CACHE_POINTS: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    Cacheable,
    NotCacheable,
    CachePoint(TimeToLive),
}

impl Body {
    /// Checks that there are at most four, none of an hour follows one of five minutes, and each follows a
    /// cacheable block.
    pub(super) fn check_cache_points(&self) -> Result<(), RuleViolation> {
        let tools = self.tool_config.iter().map(|config| {
            config
                .tools
                .iter()
                .map(|tool| match tool {
                    Tool::CachePoint(point) => Item::CachePoint(point.ttl),
                    Tool::ToolSpec(_) | Tool::SystemTool(_) => Item::Cacheable,
                })
                .collect::<Vec<_>>()
        });
        let system = self.system.iter().map(|block| match block {
            SystemBlock::CachePoint(point) => Item::CachePoint(point.ttl),
            SystemBlock::Text(_) | SystemBlock::GuardContent(_) => Item::Cacheable,
        });
        let messages = self.messages.iter().map(|message| {
            message
                .content
                .iter()
                .map(|block| match block {
                    Block::CachePoint(point) => Item::CachePoint(point.ttl),
                    Block::ReasoningContent(_) => Item::NotCacheable,
                    _ => Item::Cacheable,
                })
                .collect()
        });
        let lists = tools.chain([system.collect()]).chain(messages);
        let mut points = Vec::new();
        for list in lists {
            let mut before = Item::NotCacheable;
            for item in list {
                if let Item::CachePoint(ttl) = item {
                    if before != Item::Cacheable {
                        return RuleViolation::by_service(
                            "A cachePoint must come directly after a block that can be cached.",
                        );
                    }
                    points.push(ttl);
                }
                before = item;
            }
        }
        if points.len() > CACHE_POINTS {
            return RuleViolation::by_model(format!(
                "A maximum of {CACHE_POINTS} blocks with cache_control may be provided. Found {}.",
                points.len()
            ));
        }
        let late_hour = points
            .windows(2)
            .any(|pair| pair == [TimeToLive::FiveMinutes, TimeToLive::Hour]);
        if late_hour {
            return RuleViolation::by_model(
                "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. \
                 Note that blocks are processed in the following order: `tools`, `system`, \
                 `messages`.",
            );
        }
        Ok(())
    }
}
