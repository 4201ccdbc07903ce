//! Bedrock's stream events as Anthropic's server-sent events.
//!
//! Two translators with the same methods: [`StreamTranslator`] for `ConverseStream`, whose events
//! contain less than Anthropic's, and [`InvokeTranslator`] for `InvokeModelWithResponseStream`,
//! whose chunks are Anthropic's events. The caller pushes Bedrock's events, reports the end or the
//! failure, and sends the written bytes. Time-outs, keep-alives and the connection are the caller's
//! task.
//!
//! For any input, the output is `message_start (content_block_start content_block_delta*
//! content_block_stop)* (message_delta message_stop | error)` with `ping` anywhere after
//! `message_start`, where an error may leave the last block open: Claude Code uses finished blocks
//! and would run a tool whose incomplete call was closed. Without `message_stop` the last event is
//! always an error, because Anthropic's Python SDK treats a clean end as success.

mod anthropic;
mod content;
mod converse;
mod event;
mod failure;
mod invoke;
mod order;

pub use converse::StreamTranslator;
pub use event::{BlockDelta, BlockStart, ConverseEvent, UnreadableEvent, invoke_chunk};
pub use failure::StreamEnd;
pub use invoke::InvokeTranslator;
