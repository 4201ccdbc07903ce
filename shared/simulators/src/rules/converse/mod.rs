//! The rules of Converse: the shape of its body, read strictly, and what the service checks beyond
//! it (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>; the
//! members are those of botocore 1.44.5, `bedrock-runtime/2023-09-30/service-2.json`).

mod message;
#[expect(
    dead_code,
    clippy::struct_field_names,
    clippy::enum_variant_names,
    reason = "the members and their names are the service's; some are read for their type alone"
)]
mod shape;

use std::collections::HashSet;

use serde::Deserialize as _;
use serde_json::Value;

use message::Attachment;
use shape::{
    Block, Body, InferenceConfig, NamedTool, Role, Source, SystemBlock, TimeToLive, Tool,
    ToolChoice, ToolSpec,
};

use super::content::{BILLING_HEADER, Refused, is_name};
use super::model::{Capabilities, Parameters};
use crate::json::at;

/// What Converse passes to Claude by `additionalModelRequestFields`.
const MODEL_FIELDS: [&str; 6] = [
    "anthropic_beta",
    "output_config",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
];

/// The betas that Claude models take on Converse, as far as they are known. One that is not known
/// refuses the whole request.
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

const CACHE_POINTS: usize = 4;
const IMAGES: usize = 20;
const DOCUMENTS: usize = 5;

/// Reads a body and checks it as the service does.
pub(crate) fn check(body: &Value, model: Option<&Capabilities>) -> Result<(), Refused> {
    let body: Body = Body::deserialize(body)
        .map_err(|error| Refused(format!("1 validation error detected: {error}")))?;
    body.check(model)
}

impl Body {
    fn check(&self, model: Option<&Capabilities>) -> Result<(), Refused> {
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

    fn check_roles(&self) -> Result<(), Refused> {
        if self
            .messages
            .first()
            .is_none_or(|message| message.role != Role::User)
        {
            return Refused::because(
                "A conversation must start with a user message. Try again with a conversation that \
                 starts with a user message.",
            );
        }
        for (at, pair) in self.messages.windows(2).enumerate() {
            let [one, other] = pair else { continue };
            if other.role == Role::System {
                let at = at + 1;
                return Refused::by_model(format!(
                    "messages.{at}.role: Input should be 'user' or 'assistant'"
                ));
            }
            if one.role == other.role {
                return Refused::because(
                    "A conversation must alternate between user and assistant roles. Make sure the \
                     conversation alternates between user and assistant roles and try again.",
                );
            }
        }
        Ok(())
    }

    fn check_system(&self) -> Result<(), Refused> {
        for (at, block) in self.system.iter().enumerate() {
            let SystemBlock::Text(text) = block else {
                continue;
            };
            if text.trim().is_empty() {
                return Refused::because(format!(
                    "The text field in the SystemContentBlock object at system.{at} is blank. Add \
                     text to the text field, and try again."
                ));
            }
            if text.trim_start().starts_with(BILLING_HEADER) {
                return Refused::by_model(format!(
                    "{BILLING_HEADER} is a reserved keyword and may not be used in the system \
                     prompt."
                ));
            }
        }
        Ok(())
    }

    fn check_inference(&self) -> Result<(), Refused> {
        let InferenceConfig {
            max_tokens,
            temperature,
            top_p,
            stop_sequences,
        } = &self.inference_config;
        if *max_tokens == Some(0) {
            return Refused::because(
                "1 validation error detected: Value at 'inferenceConfig.maxTokens' failed to \
                 satisfy constraint: Member must have value greater than or equal to 1",
            );
        }
        for (name, value) in [("temperature", temperature), ("topP", top_p)] {
            if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
                return Refused::because(format!(
                    "1 validation error detected: Value at 'inferenceConfig.{name}' failed to \
                     satisfy constraint: Member must have value between 0 and 1"
                ));
            }
        }
        if stop_sequences.len() > 2500 || stop_sequences.iter().any(|stop| stop.trim().is_empty()) {
            return Refused::by_model(
                "stop_sequences: each stop sequence must contain non-whitespace",
            );
        }
        if self.additional_model_response_field_paths.len() > 10 {
            return Refused::because(
                "1 validation error detected: Value at 'additionalModelResponseFieldPaths' failed \
                 to satisfy constraint: Member must have length less than or equal to 10",
            );
        }
        Ok(())
    }

    fn specs(&self) -> impl Iterator<Item = &ToolSpec> {
        let tools = self.tool_config.iter().flat_map(|config| &config.tools);
        tools.filter_map(|tool| match tool {
            Tool::ToolSpec(spec) => Some(spec),
            Tool::SystemTool(_) | Tool::CachePoint(_) => None,
        })
    }

    fn check_tools(&self) -> Result<(), Refused> {
        let mut blocks = self.messages.iter().flat_map(|message| &message.content);
        let used = blocks.any(|block| matches!(block, Block::ToolUse(_) | Block::ToolResult(_)));
        let Some(config) = &self.tool_config else {
            return if used {
                Refused::because(
                    "The toolConfig field must be defined when using toolUse and toolResult content \
                     blocks.",
                )
            } else {
                Ok(())
            };
        };
        if self.specs().next().is_none() && !config.tools.iter().any(is_system_tool) {
            return Refused::because(
                "1 validation error detected: Value at 'toolConfig.tools' failed to satisfy \
                 constraint: Member must have length greater than or equal to 1",
            );
        }
        let mut names = HashSet::new();
        for (at, spec) in self.specs().enumerate() {
            if !is_name(&spec.name, "") {
                return Refused::because(format!(
                    "1 validation error detected: Value '{}' at 'toolConfig.tools.{at}.member.\
                     toolSpec.name' failed to satisfy constraint: Member must satisfy regular \
                     expression pattern: [a-zA-Z0-9_-]{{1,64}}",
                    spec.name
                ));
            }
            if !names.insert(spec.name.as_str()) {
                return Refused::because(format!(
                    "The tool names must be unique. {} is used more than once.",
                    spec.name
                ));
            }
            if spec.description.as_ref().is_some_and(String::is_empty) {
                return Refused::because(format!(
                    "1 validation error detected: Value at 'toolConfig.tools.{at}.member.toolSpec.\
                     description' failed to satisfy constraint: Member must have length greater \
                     than or equal to 1"
                ));
            }
            if spec.input_schema.json.get("type").and_then(Value::as_str) != Some("object") {
                return Refused::because(format!(
                    "The value at toolConfig.tools.{at}.toolSpec.inputSchema.json.type must be one \
                     of the following: object."
                ));
            }
        }
        if let Some(ToolChoice::Tool(NamedTool { name })) = &config.tool_choice
            && !names.contains(name.as_str())
        {
            return Refused::because(format!(
                "The tool {name} in toolConfig.toolChoice is not in toolConfig.tools."
            ));
        }
        Ok(())
    }

    /// Every call is answered once, in the next message, before anything else in it.
    fn check_tool_results(&self) -> Result<(), Refused> {
        let mut open: Vec<&str> = Vec::new();
        for (at, message) in self.messages.iter().enumerate() {
            let answered = message.results();
            for id in &answered {
                if !open.contains(id) {
                    return Refused::because(format!(
                        "The number of toolResult blocks at messages.{at}.content exceeds the number \
                         of toolUse blocks of previous turn."
                    ));
                }
            }
            let missing: Vec<_> = open
                .iter()
                .filter(|id| !answered.contains(id))
                .copied()
                .collect();
            if !missing.is_empty() {
                return Refused::because(format!(
                    "Expected toolResult blocks at messages.{at}.content for the following Ids: {}",
                    missing.join(", ")
                ));
            }
            if !open.is_empty() && message.has_content_before_results() {
                return Refused::by_model(format!(
                    "messages.{at}: `tool_result` blocks must come first in the message that answers \
                     `tool_use` blocks"
                ));
            }
            open = message.calls();
        }
        Ok(())
    }

    fn check_attachments(&self) -> Result<(), Refused> {
        let mut images = 0;
        let mut names = HashSet::new();
        for (at, message) in self.messages.iter().enumerate() {
            let attachments = message.attachments();
            if message.role != Role::User && !attachments.is_empty() {
                return Refused::because(format!(
                    "messages.{at}: images, documents and videos are allowed in user messages only."
                ));
            }
            for attachment in attachments {
                let Attachment::Document(document) = attachment else {
                    images += 1;
                    continue;
                };
                document.check_name()?;
                if !names.insert(document.name.as_str()) {
                    return Refused::because(
                        "Document names must be unique within a conversation. Make sure that each \
                         document has a name of its own and try again.",
                    );
                }
                if document.format.is_none() && matches!(document.source, Source::Bytes(_)) {
                    return Refused::because("A document in bytes must name its format.");
                }
            }
            if message.has_document_alone() {
                return Refused::because(format!(
                    "messages.{at}: include a text block with the documents and try again."
                ));
            }
        }
        if images > IMAGES {
            return Refused::because(format!("too many images: {images} > {IMAGES}"));
        }
        if names.len() > DOCUMENTS {
            return Refused::because(format!("too many documents: {} > {DOCUMENTS}", names.len()));
        }
        Ok(())
    }

    /// At most four; an hour never after five minutes; each right after something to cache.
    fn check_cache_points(&self) -> Result<(), Refused> {
        let tools = self.tool_config.iter().map(|config| {
            config
                .tools
                .iter()
                .map(|tool| match tool {
                    Tool::CachePoint(point) => Item::CachePoint(point.ttl),
                    Tool::ToolSpec(_) | Tool::SystemTool(_) => Item::Cacheable,
                })
                .collect::<Vec<_>>()
        });
        let system = self.system.iter().map(|block| match block {
            SystemBlock::CachePoint(point) => Item::CachePoint(point.ttl),
            SystemBlock::Text(_) | SystemBlock::GuardContent(_) => Item::Cacheable,
        });
        let messages = self.messages.iter().map(|message| {
            message
                .content
                .iter()
                .map(|block| match block {
                    Block::CachePoint(point) => Item::CachePoint(point.ttl),
                    Block::ReasoningContent(_) => Item::NotCacheable,
                    _ => Item::Cacheable,
                })
                .collect()
        });
        let lists = tools.chain([system.collect()]).chain(messages);
        let mut points = Vec::new();
        for list in lists {
            let mut before = Item::NotCacheable;
            for item in list {
                if let Item::CachePoint(ttl) = item {
                    if before != Item::Cacheable {
                        return Refused::because(
                            "A cachePoint must come directly after a block that can be cached.",
                        );
                    }
                    points.push(ttl);
                }
                before = item;
            }
        }
        if points.len() > CACHE_POINTS {
            return Refused::by_model(format!(
                "A maximum of {CACHE_POINTS} blocks with cache_control may be provided. Found {}.",
                points.len()
            ));
        }
        let late_hour = points
            .windows(2)
            .any(|pair| pair == [TimeToLive::FiveMinutes, TimeToLive::Hour]);
        if late_hour {
            return Refused::by_model(
                "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. \
                 Note that blocks are processed in the following order: `tools`, `system`, \
                 `messages`.",
            );
        }
        Ok(())
    }

    fn check_metadata(&self) -> Result<(), Refused> {
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
            Refused::because(
                "1 validation error detected: Value at 'requestMetadata' failed to satisfy \
                 constraint: Map must have at most 16 pairs of up to 256 characters that match \
                 [a-zA-Z0-9\\s:_@$#=/+,-.]*",
            )
        }
    }

    fn check_output(&self) -> Result<(), Refused> {
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
            return Refused::because(
                "outputConfig.textFormat must hold a JSON schema as a string.",
            );
        }
        Ok(())
    }

    fn check_model_fields(&self) -> Result<(), Refused> {
        let fields = &self.additional_model_request_fields;
        if let Some(unknown) = fields
            .keys()
            .find(|field| !MODEL_FIELDS.contains(&field.as_str()))
        {
            return Refused::by_model(format!("{unknown}: Extra inputs are not permitted"));
        }
        let betas = fields.get("anthropic_beta").and_then(Value::as_array);
        let known = |beta: &Value| beta.as_str().is_some_and(|beta| BETAS.contains(&beta));
        if betas.is_some_and(|betas| !betas.iter().all(known)) {
            return Refused::by_model("invalid beta flag");
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
            return Refused::by_model(
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

    /// With a thinking budget, an assistant turn whose tools are being answered begins with
    /// thinking.
    fn check_thinking_in_tool_loop(&self) -> Result<(), Refused> {
        if self
            .thinking()
            .is_none_or(|thinking| at(thinking, "/type") != "enabled")
        {
            return Ok(());
        }
        let [.., turn, results] = self.messages.as_slice() else {
            return Ok(());
        };
        if results.results().is_empty()
            || matches!(turn.content.first(), Some(Block::ReasoningContent(_)))
        {
            return Ok(());
        }
        let at = self.messages.len() - 2;
        Refused::by_model(format!(
            "messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found \
             another block. When `thinking` is enabled, a final `assistant` message must start with \
             a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
        ))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    Cacheable,
    NotCacheable,
    CachePoint(TimeToLive),
}

fn is_system_tool(tool: &Tool) -> bool {
    matches!(tool, Tool::SystemTool(NamedTool { name }) if !name.is_empty())
}

#[cfg(test)]
mod tests;
