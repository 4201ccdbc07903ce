//! A whole Bedrock response as an Anthropic message, for requests without streaming.
//!
//! The functions read raw bytes, because the typed output of the AWS SDK has tool inputs in hash
//! maps, which lose the order of keys. The submodules (usage, stop reasons, citations) also serve
//! the stream translation.

mod citation;
mod converse;
mod count;
mod invoke;
mod message;
mod raw_object;
mod safeguards;
mod stop_reason;
mod usage;

pub use citation::{Citation, CitationLocation, CitationUnit};
pub use converse::{converse_reply, is_server_tool};
pub use count::counted_tokens;
pub use invoke::invoke_reply;
pub use message::{BrokenReply, Reply};
pub use usage::{CacheDetail, ConverseUsage};

pub(crate) use citation::WireCitation;
pub(crate) use converse::stop_sequence;
pub(crate) use invoke::{INVOCATION_METRICS, restore_tool_name};
pub(crate) use raw_object::{RawObject, to_raw};
pub(crate) use safeguards::{SAFEGUARDS_UNAVAILABLE, SafeguardResult};
pub(crate) use stop_reason::StopReason;
pub(crate) use usage::{InvokeUsage, WireUsage};
