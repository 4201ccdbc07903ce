//! What the services error_reply, beyond the shape of their JSON. A rule answers with the message the
//! service would give; the first one that is broken speaks.

mod content;
pub(super) mod converse;
pub(super) mod messages;
pub(super) mod model;

pub(super) use content::RuleViolation;
