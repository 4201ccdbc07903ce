//! Translates a Messages body on standard input for a target, and prints the Bedrock body: for
//! experiments, and for external validators with Bedrock's service model.
//!
//! `translate MODEL_ID [converse|invoke|auto] [answer|count] [BETAS] < body.json`

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use dialect::UnsupportedFeatures;
use dialect::model::resolve;
use dialect::request::{MessagesRequest, RequestLabels, count_tokens, translate};
use domain::bedrock::{BedrockModel, BedrockSettings, Dialect, ModelMap};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |nth: usize| arguments.get(nth).map_or("", String::as_str);
    let dialect = match argument(1) {
        "invoke" => Dialect::Invoke,
        "auto" => Dialect::Auto,
        _ => Dialect::Converse,
    };
    let settings = BedrockSettings {
        models: ModelMap {
            rules: Vec::new(),
            default: BedrockModel::named(argument(0)),
        },
        ..BedrockSettings::default()
    };
    let mut body = Vec::new();
    if let Err(error) = std::io::stdin().read_to_end(&mut body) {
        return complain(&error.to_string());
    }
    let translated =
        MessagesRequest::parse(&body, std::iter::once(argument(3))).and_then(|request| {
            let target = resolve(request.model(), &settings);
            if argument(2) == "count" {
                return count_tokens(&request, &target, dialect, &UnsupportedFeatures::default());
            }
            let labels = RequestLabels::new("ada@example.com", "req_1");
            translate(
                &request,
                &target,
                dialect,
                &UnsupportedFeatures::default(),
                &labels,
            )
        });
    match translated {
        Ok(translated) => {
            let losses: Vec<_> = translated.losses.iter().collect();
            let summary = format!(
                "{:?} {} dropped: {}",
                translated.operation,
                translated.model_id,
                losses.join(",")
            );
            let written = writeln!(std::io::stderr(), "{summary}")
                .and_then(|()| std::io::stdout().write_all(&translated.body));
            written.map_or_else(|error| complain(&error.to_string()), |()| ExitCode::SUCCESS)
        }
        Err(refusal) => complain(&format!(
            "{} {}: {refusal}",
            refusal.status(),
            refusal.error_type()
        )),
    }
}

fn complain(what: &str) -> ExitCode {
    // Without standard error there is no place for the message.
    let _ = writeln!(std::io::stderr(), "{what}");
    ExitCode::FAILURE
}
