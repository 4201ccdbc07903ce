//! A whole Bedrock answer as an Anthropic message, for requests without streaming.
//!
//! Both functions read raw bytes: the AWS SDK's typed answer keeps tool inputs in hash maps, which
//! loses the order of their keys. What they share with the stream translation (usage, stop reasons,
//! citations) is in the modules below. They know neither HTTP nor the AWS SDK.

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
