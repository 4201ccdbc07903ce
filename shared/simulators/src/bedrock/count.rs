//! CountTokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::errors::{json_reply, service_headers, validation_error};
use crate::delivery::Reply;
use crate::json::at;
use crate::prompt_cache::Prompt;
use crate::rules::model;

pub(super) fn count_tokens(model_id: &str, body: &Value) -> Reply {
    if !model::counts_tokens(model_id) {
        return validation_error("The provided model doesn't support counting tokens.");
    }
    let input = at(body, "/input");
    let prompt = match (input.get("converse"), input.pointer("/invokeModel/body")) {
        (Some(converse), None) if converse.is_object() => Prompt::from_converse(converse),
        (None, Some(body)) => {
            let decoded = body.as_str().and_then(|body| BASE64.decode(body).ok());
            let parsed = decoded.and_then(|body| serde_json::from_slice::<Value>(&body).ok());
            let Some(parsed) = parsed else {
                return validation_error("input.invokeModel.body must be a JSON object in base64.");
            };
            let stated = at(&parsed, "/anthropic_version") == "bedrock-2023-05-31";
            if !stated || at(&parsed, "/max_tokens").as_u64().is_none() {
                return validation_error("anthropic_version, max_tokens: Field required");
            }
            Prompt::from_messages(&parsed)
        }
        _ => return validation_error("input must hold exactly one of converse and invokeModel."),
    };
    json_reply(
        200,
        service_headers(),
        &json!({ "inputTokens": prompt.tokens() }),
    )
}
