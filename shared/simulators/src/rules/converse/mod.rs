//! The rules of Converse: the shape of its body, read strictly, and the service's further checks
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>; the members are those of botocore 1.44.5, `bedrock-runtime/2023-09-30/service-2.json`).

mod attachments;
mod cache_points;
mod message;
#[expect(
    dead_code,
    clippy::struct_field_names,
    clippy::enum_variant_names,
    reason = "the members and their names are the service's; some are read for their type alone"
)]
mod shape;
mod tools;

use serde::Deserialize as _;
use serde_json::Value;

use shape::{Body, InferenceConfig, Role, SystemBlock, ToolChoice};

use super::content::{BILLING_HEADER, RuleViolation};
use super::model::{Capabilities, Parameters};

/// The members of `additionalModelRequestFields` that Converse passes to Claude.
const MODEL_FIELDS: [&str; 6] = [
    "anthropic_beta",
    "output_config",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
];

/// The betas that Claude models are known to accept on Converse. Any other beta is an error.
const BETAS: [&str; 17] = [
    "claude-code-20250219",
    "compact-2026-01-12",
    "computer-use-2024-10-22",
    "computer-use-2025-01-24",
    "computer-use-2025-11-24",
    "context-1m-2025-08-07",
    "dev-full-thinking-2025-05-14",
    "effort-2025-11-24",
    "fine-grained-tool-streaming-2025-05-14",
    "interleaved-thinking-2025-05-14",
    "output-128k-2025-02-19",
    "structured-outputs-2025-11-13",
    "structured-outputs-2025-12-15",
    "thinking-binding-controls-2026-08-01",
    "thinking-display-updates-2026-08-18",
    "token-efficient-tools-2025-02-19",
    "web-search-2025-03-05",
];

/// Reads a body and checks it as the service does.
pub(crate) fn check(body: &Value, model: Option<&Capabilities>) -> Result<(), RuleViolation> {
    let body: Body = Body::deserialize(body)
        .map_err(|error| RuleViolation(format!("1 validation error detected: {error}")))?;
    body.check(model)
}

impl Body {
    fn check(&self, model: Option<&Capabilities>) -> Result<(), RuleViolation> {
        self.check_roles()?;
        self.check_system()?;
        self.check_inference()?;
        for (at, message) in self.messages.iter().enumerate() {
            message.check(at)?;
        }
        self.check_tools()?;
        self.check_tool_results()?;
        self.check_attachments()?;
        self.check_cache_points()?;
        self.check_metadata()?;
        self.check_output()?;
        self.check_model_fields()?;
        self.parameters().check(model)?;
        self.check_thinking_in_tool_loop()
    }

    fn check_roles(&self) -> Result<(), RuleViolation> {
        if self
            .messages
            .first()
            .is_none_or(|message| message.role != Role::User)
        {
            return RuleViolation::by_service(
                "A conversation must start with a user message. Try again with a conversation that \
                 starts with a user message.",
            );
        }
        for (at, pair) in self.messages.windows(2).enumerate() {
            let [one, other] = pair else { continue };
            if other.role == Role::System {
                let at = at + 1;
                return RuleViolation::by_model(format!(
                    "messages.{at}.role: Input should be 'user' or 'assistant'"
                ));
            }
            if one.role == other.role {
                return RuleViolation::by_service(
                    "A conversation must alternate between user and assistant roles. Make sure the \
                     conversation alternates between user and assistant roles and try again.",
                );
            }
        }
        Ok(())
    }

    fn check_system(&self) -> Result<(), RuleViolation> {
        for (at, block) in self.system.iter().enumerate() {
            let SystemBlock::Text(text) = block else {
                continue;
            };
            if text.trim().is_empty() {
                return RuleViolation::by_service(format!(
                    "The text field in the SystemContentBlock object at system.{at} is blank. Add \
                     text to the text field, and try again."
                ));
            }
            if text.trim_start().starts_with(BILLING_HEADER) {
                return RuleViolation::by_model(format!(
                    "{BILLING_HEADER} is a reserved keyword and may not be used in the system \
                     prompt."
                ));
            }
        }
        Ok(())
    }

    fn check_inference(&self) -> Result<(), RuleViolation> {
        let InferenceConfig {
            max_tokens,
            temperature,
            top_p,
            stop_sequences,
        } = &self.inference_config;
        if *max_tokens == Some(0) {
            return RuleViolation::by_service(
                "1 validation error detected: Value at 'inferenceConfig.maxTokens' failed to \
                 satisfy constraint: Member must have value greater than or equal to 1",
            );
        }
        for (name, value) in [("temperature", temperature), ("topP", top_p)] {
            if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
                return RuleViolation::by_service(format!(
                    "1 validation error detected: Value at 'inferenceConfig.{name}' failed to \
                     satisfy constraint: Member must have value between 0 and 1"
                ));
            }
        }
        if stop_sequences.len() > 2500 || stop_sequences.iter().any(|stop| stop.trim().is_empty()) {
            return RuleViolation::by_model(
                "stop_sequences: each stop sequence must contain non-whitespace",
            );
        }
        if self.additional_model_response_field_paths.len() > 10 {
            return RuleViolation::by_service(
                "1 validation error detected: Value at 'additionalModelResponseFieldPaths' failed \
                 to satisfy constraint: Member must have length less than or equal to 10",
            );
        }
        Ok(())
    }

    fn check_metadata(&self) -> Result<(), RuleViolation> {
        let allowed = |c: char| {
            c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c)
        };
        let good = self.request_metadata.len() <= 16
            && self.request_metadata.iter().all(|(name, value)| {
                (1..=256).contains(&name.len())
                    && value.len() <= 256
                    && name.chars().chain(value.chars()).all(allowed)
            });
        if good {
            Ok(())
        } else {
            RuleViolation::by_service(
                "1 validation error detected: Value at 'requestMetadata' failed to satisfy \
                 constraint: Map must have at most 16 pairs of up to 256 characters that match \
                 [a-zA-Z0-9\\s:_@$#=/+,-.]*",
            )
        }
    }

    fn check_output(&self) -> Result<(), RuleViolation> {
        let Some(format) = self
            .output_config
            .as_ref()
            .and_then(|config| config.text_format.as_ref())
        else {
            return Ok(());
        };
        let schema = &format.structure.json_schema.schema;
        if format.r#type != "json_schema"
            || !serde_json::from_str::<Value>(schema).is_ok_and(|schema| schema.is_object())
        {
            return RuleViolation::by_service(
                "outputConfig.textFormat must hold a JSON schema as a string.",
            );
        }
        Ok(())
    }

    fn check_model_fields(&self) -> Result<(), RuleViolation> {
        let fields = &self.additional_model_request_fields;
        if let Some(unknown) = fields
            .keys()
            .find(|field| !MODEL_FIELDS.contains(&field.as_str()))
        {
            return RuleViolation::by_model(format!("{unknown}: Extra inputs are not permitted"));
        }
        let betas = fields.get("anthropic_beta").and_then(Value::as_array);
        let known = |beta: &Value| beta.as_str().is_some_and(|beta| BETAS.contains(&beta));
        if betas.is_some_and(|betas| !betas.iter().all(known)) {
            return RuleViolation::by_model("invalid beta flag");
        }
        let chosen = self
            .tool_config
            .as_ref()
            .is_some_and(|config| config.tool_choice.is_some());
        if chosen
            && fields
                .get("tool_choice")
                .is_some_and(|choice| choice.get("type").is_some())
        {
            return RuleViolation::by_model(
                "tool_choice.type: given in both toolConfig.toolChoice and \
                 additionalModelRequestFields",
            );
        }
        Ok(())
    }

    fn thinking(&self) -> Option<&Value> {
        self.additional_model_request_fields.get("thinking")
    }

    fn parameters(&self) -> Parameters<'_> {
        let fields = &self.additional_model_request_fields;
        let choice = self
            .tool_config
            .as_ref()
            .and_then(|config| config.tool_choice.as_ref());
        let betas = fields.get("anthropic_beta").and_then(Value::as_array);
        let own = self
            .output_config
            .as_ref()
            .and_then(|config| config.effort.as_ref());
        Parameters {
            max_tokens: self.inference_config.max_tokens,
            thinking: self.thinking(),
            effort: fields
                .get("output_config")
                .and_then(|config| config.get("effort"))
                .or(own),
            temperature: self.inference_config.temperature,
            top_p: self.inference_config.top_p,
            top_k: fields.get("top_k"),
            forced_tool: matches!(choice, Some(ToolChoice::Any(_) | ToolChoice::Tool(_))),
            prefilled: self
                .messages
                .last()
                .is_some_and(|last| last.role == Role::Assistant),
            interleaved: betas.is_some_and(|betas| {
                betas
                    .iter()
                    .any(|beta| beta == "interleaved-thinking-2025-05-14")
            }),
        }
    }
}

#[cfg(test)]
mod tests;
