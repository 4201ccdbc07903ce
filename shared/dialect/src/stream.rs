//! Bedrock's stream events as Anthropic's server-sent events.
//!
//! Two translators with the same face: [`StreamTranslator`] for `ConverseStream`, whose events say
//! less than Anthropic's, and [`InvokeTranslator`] for `InvokeModelWithResponseStream`, whose chunks
//! are Anthropic's events. The caller only pumps: it pushes what Bedrock sends, tells the end or the
//! failure, and sends on what was written. Time, silence and the connection are the caller's.
//!
//! Whatever comes in, what goes out is
//! `message_start (content_block_start content_block_delta* content_block_stop)*
//! (message_delta message_stop | error)` with `ping` anywhere after `message_start`, where an error
//! may leave the last block open: Claude Code keeps finished blocks and would run a tool whose
//! half-written call was closed. Without `message_stop` there is always an error at the end, because
//! Anthropic's Python SDK takes a clean end for success.

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
