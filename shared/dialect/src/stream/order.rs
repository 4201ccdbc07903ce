//! Order of content blocks: one after the other, also where Bedrock mixes the events of several
//! blocks.

use std::collections::VecDeque;

use super::event::{BlockDelta, BlockStart};

/// One event of a content block.
#[derive(Debug)]
pub(super) enum BlockEvent<'a> {
    Start(BlockStart<'a>),
    Delta(BlockDelta<'a>),
    Stop,
}

/// Releases the events of one block at a time.
///
/// A block is open from its first event to its `contentBlockStop`. Events of the block that was
/// opened first are released; those of every other block wait until the blocks before it have
/// stopped.
#[derive(Debug, Default)]
pub(super) struct BlockOrder {
    /// `contentBlockIndex` of the block whose events are released.
    current: Option<i64>,
    waiting: VecDeque<(i64, Vec<BlockEvent<'static>>)>,
}

impl BlockOrder {
    /// Adds one event and calls `release` for each event that may be written now, in order.
    pub(super) fn take<'a>(
        &mut self,
        index: i64,
        event: BlockEvent<'a>,
        mut release: impl FnMut(i64, BlockEvent<'a>),
    ) {
        if *self.current.get_or_insert(index) != index {
            self.wait(index, event.into_owned());
            return;
        }
        let stops = matches!(event, BlockEvent::Stop);
        release(index, event);
        if stops {
            self.current = None;
            self.release_next(release);
        }
    }

    /// Calls `release` for each event that still waits, in the order of the blocks.
    pub(super) fn release_all<'a>(&mut self, mut release: impl FnMut(i64, BlockEvent<'a>)) {
        self.current = None;
        for (index, events) in self.waiting.drain(..) {
            for event in events {
                release(index, event);
            }
        }
    }

    fn wait(&mut self, index: i64, event: BlockEvent<'static>) {
        // After its stop a block gets no more events; its number belongs to a new block.
        let open = self.waiting.iter_mut().find(|(waiting, events)| {
            *waiting == index && !matches!(events.last(), Some(BlockEvent::Stop))
        });
        match open {
            Some((_, events)) => events.push(event),
            None => self.waiting.push_back((index, vec![event])),
        }
    }

    /// Releases the blocks that have stopped while they waited, and makes the next one current.
    fn release_next<'a>(&mut self, mut release: impl FnMut(i64, BlockEvent<'a>)) {
        while let Some((index, events)) = self.waiting.pop_front() {
            let has_stopped = matches!(events.last(), Some(BlockEvent::Stop));
            for event in events {
                release(index, event);
            }
            if !has_stopped {
                self.current = Some(index);
                return;
            }
        }
    }
}

impl BlockEvent<'_> {
    fn into_owned(self) -> BlockEvent<'static> {
        match self {
            Self::Start(start) => BlockEvent::Start(start.into_owned()),
            Self::Delta(delta) => BlockEvent::Delta(delta.into_owned()),
            Self::Stop => BlockEvent::Stop,
        }
    }
}
