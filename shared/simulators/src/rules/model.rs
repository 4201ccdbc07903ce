//! The capabilities of Claude models on Bedrock, by family and version, and the valid model ids.

use serde_json::Value;

use super::content::RuleViolation;
use crate::json::{at, text};

/// Prefixes of inference profiles.
const PROFILES: [&str; 8] = ["global", "us", "eu", "apac", "jp", "au", "ca", "us-gov"];

/// The capabilities of a family of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// The maximum number of output tokens.
    pub(super) output: u64,
    /// `thinking.type` values.
    pub(super) thinking: &'static [&'static str],
    /// `output_config.effort` values.
    pub(super) effort: &'static [&'static str],
    /// The values of `effort` that go along with thinking switched off.
    pub(super) effort_without_thinking: &'static [&'static str],
    /// Temperature, `top_p` and `top_k`.
    pub(super) sampling: bool,
    /// A conversation that ends with the assistant.
    pub(super) prefill: bool,
    /// Messages of the role `system` among the others (`InvokeModel` only).
    pub(super) system_role: bool,
}

/// Checks that an id can be called, and returns the capabilities of its model. `None` stands for an application
/// inference profile, and for a model without a row here.
pub(crate) fn resolve(model_id: &str) -> Result<Option<Capabilities>, RuleViolation> {
    if let Some(arn) = model_id.strip_prefix("arn:") {
        let mut parts = arn.splitn(5, ':');
        let (service, resource) = (parts.nth(1), parts.nth(2));
        let kind = resource.and_then(|resource| resource.split_once('/'));
        return match (service, kind) {
            (
                Some("bedrock"),
                Some(("application-inference-profile" | "provisioned-model", id)),
            ) if !id.is_empty() => Ok(None),
            (Some("bedrock"), Some(("inference-profile" | "foundation-model", id))) => resolve(id),
            _ => RuleViolation::by_service("The provided model identifier is invalid."),
        };
    }
    let (profile, foundation) = match model_id.split_once("anthropic.") {
        Some(("", foundation)) => (None, foundation),
        Some((profile, foundation)) => (Some(profile.trim_end_matches('.')), foundation),
        None => return RuleViolation::by_service("The provided model identifier is invalid."),
    };
    let known = profile.is_none_or(|profile| PROFILES.contains(&profile));
    if !known || !foundation.starts_with("claude-") {
        return RuleViolation::by_service("The provided model identifier is invalid.");
    }
    let version = version(foundation);
    if profile.is_none() && version.is_some() {
        return RuleViolation::by_service(format!(
            "Invocation of model ID {model_id} with on-demand throughput isn’t supported. Retry \
             your request with the ID or ARN of an inference profile that contains this model."
        ));
    }
    Ok(version.and_then(|(family, major, minor)| capabilities(family, major, minor)))
}

/// Whether tokens can be counted for an id: foundation models can, their profiles cannot.
pub(crate) fn counts_tokens(model_id: &str) -> bool {
    let Some(foundation) = model_id.strip_prefix("anthropic.") else {
        return false;
    };
    // Newer models are counted by another service.
    version(foundation).is_none_or(|(_, major, minor)| (major, minor) <= (4, 6))
}

/// `claude-sonnet-4-5-20250929-v1:0` → (`sonnet`, 4, 5). `None` for names before version 4, which begin with the
/// version.
fn version(foundation: &str) -> Option<(&str, u32, u32)> {
    let mut parts = foundation.strip_prefix("claude-")?.split('-');
    let family = parts
        .next()
        .filter(|family| family.chars().all(|c| c.is_ascii_alphabetic()))?;
    let number = |part: &str| part.parse().ok().filter(|_| part.len() <= 2);
    let major = parts.next().and_then(number)?;
    Some((family, major, parts.next().and_then(number).unwrap_or(0)))
}

const TO_HIGH: &[&str] = &["low", "medium", "high"];
const TO_MAX: &[&str] = &["low", "medium", "high", "xhigh", "max"];

fn capabilities(family: &str, major: u32, minor: u32) -> Option<Capabilities> {
    let older = Capabilities {
        output: 64_000,
        thinking: &["enabled", "disabled"],
        effort: &[],
        effort_without_thinking: &[],
        sampling: true,
        prefill: true,
        system_role: false,
    };
    Some(match (family, major, minor) {
        ("opus", 4, 0 | 1) => Capabilities {
            output: 32_000,
            ..older
        },
        ("opus", 4, 5) => Capabilities {
            effort: TO_HIGH,
            effort_without_thinking: TO_HIGH,
            ..older
        },
        ("sonnet" | "haiku", 4, 0..=5) => older,
        ("opus" | "sonnet", 4, 6) => Capabilities {
            output: if family == "opus" { 128_000 } else { 64_000 },
            thinking: &["enabled", "adaptive", "disabled"],
            effort: &["low", "medium", "high", "max"],
            effort_without_thinking: &["low", "medium", "high", "max"],
            sampling: true,
            prefill: false,
            system_role: false,
        },
        (_, 4, 7..) | (_, 5.., _) => {
            let always_thinks = family == "fable"
                || (matches!(family, "opus" | "sonnet") && (major, minor) >= (5, 5));
            Capabilities {
                output: 128_000,
                thinking: match (always_thinks, family) {
                    (false, _) => &["adaptive", "disabled"],
                    (true, "sonnet") => &["adaptive", "between_tools"],
                    (true, _) => &["adaptive"],
                },
                effort: TO_MAX,
                effort_without_thinking: match (family, major, minor) {
                    ("opus", 5, 0) | ("haiku" | "sonnet", 5, 5) => TO_HIGH,
                    _ => TO_MAX,
                },
                sampling: false,
                prefill: false,
                system_role: (major, minor) >= (4, 8),
            }
        }
        _ => return None,
    })
}

/// The parameters of a request, of either API, that depend on the model.
#[derive(Debug, Default)]
pub(super) struct Parameters<'a> {
    pub(super) max_tokens: Option<u64>,
    pub(super) thinking: Option<&'a Value>,
    pub(super) effort: Option<&'a Value>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<&'a Value>,
    /// Whether the model must call a tool.
    pub(super) forced_tool: bool,
    /// Whether the conversation ends with the assistant.
    pub(super) prefilled: bool,
    pub(super) interleaved: bool,
}

impl Parameters<'_> {
    /// Checks the parameters against each other, and against the model if it has a row.
    pub(super) fn check(&self, model: Option<&Capabilities>) -> Result<(), RuleViolation> {
        let kind = self
            .thinking
            .map(|thinking| text(thinking, "/type").unwrap_or_default());
        if let (Some(model), Some(kind)) = (model, kind)
            && !model.thinking.contains(&kind)
        {
            return RuleViolation::by_model(match kind {
                "adaptive" => "adaptive thinking is not supported on this model".to_owned(),
                _ => format!("thinking.type.{kind}: this type is not supported by this model"),
            });
        }
        if kind == Some("enabled") {
            self.check_budget()?;
        }
        if matches!(kind, Some("enabled" | "adaptive")) {
            if self.forced_tool {
                return RuleViolation::by_model(
                    "Thinking may not be enabled when tool_choice forces tool use.",
                );
            }
            if self
                .temperature
                .is_some_and(|temperature| temperature < 1.0)
                || self.top_k.is_some()
            {
                return RuleViolation::by_model(
                    "`temperature` may only be set to 1 and `top_k` must be unset when thinking is \
                     enabled.",
                );
            }
        }
        match model {
            Some(model) => self.check_limits(model, kind),
            None => Ok(()),
        }
    }

    /// Checks the parameters against the limits of a model.
    fn check_limits(&self, model: &Capabilities, kind: Option<&str>) -> Result<(), RuleViolation> {
        if let Some(max_tokens) = self.max_tokens.filter(|tokens| *tokens > model.output) {
            let limit = model.output;
            return RuleViolation::by_service(format!(
                "The maximum tokens you requested ({max_tokens}) exceeds the model limit of \
                 {limit}. Try again with a maximum tokens value that is lower than {limit}."
            ));
        }
        self.check_effort(model, kind)?;
        let sampled = self.temperature.is_some() || self.top_p.is_some() || self.top_k.is_some();
        if sampled && !model.sampling {
            return RuleViolation::by_model(
                "`temperature`, `top_p` and `top_k` are not supported on this model.",
            );
        }
        if self.temperature.is_some() && self.top_p.is_some() {
            return RuleViolation::by_model(
                "`temperature` and `top_p` cannot both be specified for this model. Please use \
                 only one.",
            );
        }
        if self.prefilled && !model.prefill {
            return RuleViolation::by_model(
                "This model does not support assistant message prefill. The conversation must end \
                 with a user message.",
            );
        }
        Ok(())
    }

    fn check_effort(
        &self,
        model: &Capabilities,
        thinking: Option<&str>,
    ) -> Result<(), RuleViolation> {
        let Some(effort) = self.effort else {
            return Ok(());
        };
        if model.effort.is_empty() {
            return RuleViolation::by_model("This model does not support the effort parameter.");
        }
        if !effort
            .as_str()
            .is_some_and(|effort| model.effort.contains(&effort))
        {
            return RuleViolation::by_model(format!(
                "output_config.effort: Input should be one of {:?}",
                model.effort
            ));
        }
        if matches!(thinking, Some("disabled" | "between_tools"))
            && !effort
                .as_str()
                .is_some_and(|effort| model.effort_without_thinking.contains(&effort))
        {
            return RuleViolation::by_model(format!(
                "output_config.effort: with thinking.type {} this model supports {:?}",
                thinking.unwrap_or_default(),
                model.effort_without_thinking
            ));
        }
        Ok(())
    }

    fn check_budget(&self) -> Result<(), RuleViolation> {
        let budget = self
            .thinking
            .and_then(|thinking| at(thinking, "/budget_tokens").as_u64());
        match budget {
            None => RuleViolation::by_model("thinking.enabled.budget_tokens: Field required"),
            Some(..1024) => RuleViolation::by_model(
                "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
            ),
            // The budget of interleaved thinking applies to a turn, not to one message.
            Some(budget)
                if !self.interleaved && self.max_tokens.is_some_and(|max| budget >= max) =>
            {
                RuleViolation::by_model(
                    "`max_tokens` must be greater than `thinking.budget_tokens`.",
                )
            }
            Some(_) => Ok(()),
        }
    }
}
