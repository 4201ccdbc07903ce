//! Rules of both APIs.

/// A violated rule, as the service's error message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleViolation(pub(crate) String);

impl RuleViolation {
    pub(super) fn by_service<T>(message: impl Into<String>) -> Result<T, Self> {
        Err(Self(message.into()))
    }

    /// A violation that the model reports; the service prefixes the model's message.
    pub(super) fn by_model<T>(message: impl Into<String>) -> Result<T, Self> {
        Err(Self(format!(
            "The model returned the following errors: {}",
            message.into()
        )))
    }
}

/// Claude Code's attribution header, which only Anthropic's own Messages API removes
/// (anthropics/claude-code-action#928).
pub(super) const BILLING_HEADER: &str = "x-anthropic-billing-header";

/// The tool calls that have no result, separated by commas.
pub(super) fn without_result(calls: &[&str], results: &[&str]) -> Option<String> {
    let without = calls.iter().filter(|id| !results.contains(id)).copied();
    let without: Vec<_> = without.collect();
    (!without.is_empty()).then(|| without.join(", "))
}

/// Whether a tool name or tool call id has valid characters and a valid length.
pub(super) fn is_name(name: &str, further: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c) || further.contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}
