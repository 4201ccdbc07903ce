//! The rules of the services for request bodies. The first violated rule gives the service's error message.

mod content;
pub(super) mod converse;
pub(super) mod messages;
pub(super) mod model;

pub(super) use content::RuleViolation;
