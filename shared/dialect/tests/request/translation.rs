//! Short constructors of requests, and short forms of their translations.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use dialect::UnsupportedFeatures;
use dialect::model::{Target, resolve};
use dialect::request::{BedrockRequest, MessagesRequest, RequestLabels, TranslateError, translate};
use domain::bedrock::{BedrockModel, BedrockSettings, Dialect, ModelMap};
use serde_json::{Value, json};

pub(crate) const SONNET_4_5: &str = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";
pub(crate) const OPUS_4_5: &str = "us.anthropic.claude-opus-4-5-20251101-v1:0";
pub(crate) const OPUS_4_6: &str = "us.anthropic.claude-opus-4-6-v1";
pub(crate) const OPUS_4_7: &str = "global.anthropic.claude-opus-4-7";
pub(crate) const OPUS_5_5: &str = "global.anthropic.claude-opus-5-5";
pub(crate) const FABLE_5_1: &str = "us.anthropic.claude-fable-5-1";

/// A minimal valid request with these members added.
pub(crate) fn request(parts: Value) -> Value {
    let mut request = json!({
        "model": "claude-opus-5-5",
        "max_tokens": 32000,
        "messages": [{"role": "user", "content": "hi"}],
    });
    let Value::Object(parts) = parts else {
        panic!("the parts of a request are an object")
    };
    request.as_object_mut().expect("an object").extend(parts);
    request
}

/// A request with these messages.
pub(crate) fn messages(messages: Value) -> Value {
    let mut body = request(json!({}));
    body["messages"] = messages;
    body
}

/// A target with this model.
pub(crate) fn target(model: &str) -> Target {
    let models = ModelMap {
        rules: Vec::new(),
        default: BedrockModel::named(model),
    };
    resolve(
        "claude-opus-5-5",
        &BedrockSettings {
            models,
            ..BedrockSettings::default()
        },
    )
}

/// The parameters of a translation.
pub(crate) struct Translation<'a> {
    pub(crate) model: &'a str,
    pub(crate) dialect: Dialect,
    pub(crate) betas: &'a str,
    pub(crate) unsupported: UnsupportedFeatures,
    pub(crate) labels: RequestLabels,
}

impl Default for Translation<'_> {
    fn default() -> Self {
        Self {
            model: SONNET_4_5,
            dialect: Dialect::Converse,
            betas: "",
            unsupported: UnsupportedFeatures::default(),
            labels: RequestLabels::default(),
        }
    }
}

impl Translation<'_> {
    pub(crate) fn text(&self, body: &str) -> Result<BedrockRequest, TranslateError> {
        let request = MessagesRequest::parse(body.as_bytes(), std::iter::once(self.betas))?;
        let translated = translate(
            &request,
            &target(self.model),
            self.dialect,
            &self.unsupported,
            &self.labels,
        )?;
        write_for_validators(&translated);
        Ok(translated)
    }

    pub(crate) fn translate_body(&self, body: &Value) -> Result<BedrockRequest, TranslateError> {
        self.text(&body.to_string())
    }

    /// The translated body.
    pub(crate) fn body(&self, body: &Value) -> Value {
        read(
            &self
                .translate_body(body)
                .expect("a request that can be translated"),
        )
    }

    pub(crate) fn losses(&self, body: &Value) -> String {
        losses(
            &self
                .translate_body(body)
                .expect("a request that can be translated"),
        )
    }
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Writes a body to the folder of the external validators, if it is configured.
pub(crate) fn write_for_validators(translated: &BedrockRequest) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the folder is a setting of the tests"
    )]
    let Some(folder) = std::env::var_os("SPILLWAY_JUDGE_DIR") else {
        return;
    };
    let folder = PathBuf::from(folder).join("bedrock").join("dialect");
    std::fs::create_dir_all(&folder).expect("the folder of the validators can be written");
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut file = format!(
        r#"{{"operation":"{:?}","modelId":{},"body":"#,
        translated.operation,
        json!(translated.model_id)
    )
    .into_bytes();
    file.extend_from_slice(&translated.body);
    file.push(b'}');
    std::fs::write(folder.join(format!("{number}.json")), file).expect("and each body in it");
}

pub(crate) fn read(translated: &BedrockRequest) -> Value {
    serde_json::from_slice(&translated.body).expect("the body is JSON")
}

pub(crate) fn losses(translated: &BedrockRequest) -> String {
    translated.losses.iter().collect::<Vec<_>>().join(" ")
}

/// The Converse body for the default target.
pub(crate) fn converse(body: &Value) -> Value {
    Translation::default().body(body)
}

/// The Converse body for a target.
pub(crate) fn converse_for(model: &str, body: &Value) -> Value {
    Translation {
        model,
        ..Translation::default()
    }
    .body(body)
}

/// The conversation of a Converse body, one line for each turn.
pub(crate) fn turns(body: &Value) -> String {
    let turns = body["messages"].as_array().expect("messages");
    let lines: Vec<_> = turns
        .iter()
        .map(|turn| {
            format!(
                "{}: {}",
                turn["role"].as_str().expect("a role"),
                list(&turn["content"])
            )
        })
        .collect();
    lines.join("\n")
}

/// A whole Converse body in a few lines.
pub(crate) fn outline(body: &Value) -> String {
    let mut lines = Vec::new();
    for (key, value) in body.as_object().expect("an object") {
        lines.push(match key.as_str() {
            "messages" => turns(body),
            "system" => format!("system: {}", list(value)),
            "toolConfig" => {
                let choice = value
                    .get("toolChoice")
                    .map(|choice| format!(" choice {choice}"));
                format!(
                    "tools: {}{}",
                    list(&value["tools"]),
                    choice.unwrap_or_default()
                )
            }
            _ => format!("{key}: {value}"),
        });
    }
    lines.join("\n")
}

fn list(parts: &Value) -> String {
    let parts: Vec<_> = parts.as_array().expect("a list").iter().map(part).collect();
    parts.join(" | ")
}

fn part(part: &Value) -> String {
    let (kind, value) = part
        .as_object()
        .expect("an object")
        .iter()
        .next()
        .expect("a member");
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "text" => value.as_str().expect("text").replace('\n', "⏎"),
        "cachePoint" => format!("POINT{}", value.get("ttl").map_or("", |_| " 1h")),
        "toolSpec" => text("name"),
        "toolUse" => format!(
            "use {} {} {}",
            text("toolUseId"),
            text("name"),
            value["input"]
        ),
        "toolResult" => {
            let status = value
                .get("status")
                .map_or(String::new(), |status| format!(" {status}"));
            format!(
                "result {}{status} [{}]",
                text("toolUseId"),
                list(&value["content"])
            )
        }
        _ => format!("{kind} {value}"),
    }
}
