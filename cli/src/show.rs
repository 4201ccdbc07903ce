//! Results, for people and for programs.

use std::io::Write as _;

use admin::{BreakerView, Outcome};
use comfy_table::{ContentArrangement, Table, presets};
use domain::bedrock::{BedrockSettings, DEFAULT_REGION, ModelPreset};
use domain::breaker::BreakerState;
use domain::id::UserId;
use domain::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::args::Output;
use crate::control::Done;
use crate::folder::Folder;
use crate::ready::claude_code;

/// Prints what came of a command on a folder.
pub(crate) fn outcome(done: &Done, folder: &Folder, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => json(&done.outcome),
        Output::Table => text(&render(done, folder)),
    }
}

/// Prints an error: a sentence for people, or JSON for programs, on standard error.
pub fn error(message: &str, is_json: bool) {
    let line = if is_json {
        serde_json::json!({"error": {"message": message}}).to_string()
    } else {
        format!("spillway: {message}")
    };
    // There is nowhere else to say it.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    text(&to_json(value)?)
}

/// One line of JSON as programs read it: times are RFC 3339 in UTC, and a user's id is `user_id` there
/// as everywhere else. (In the table and between processes times are milliseconds.)
pub(crate) fn to_json(value: &impl Serialize) -> anyhow::Result<String> {
    let value = for_programs(serde_json::to_value(value)?);
    Ok(format!("{value}\n"))
}

fn for_programs(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| match value.as_i64() {
                    Some(millis) if is_time(&name) => {
                        (name, Timestamp::from_millis(millis).to_string().into())
                    }
                    _ if name == "id" && is_user_id(&value) => ("user_id".to_owned(), value),
                    _ => (name, for_programs(value)),
                });
            Value::Object(fields.collect())
        }
        Value::Array(values) => values.into_iter().map(for_programs).collect(),
        other => other,
    }
}

fn is_user_id(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.parse::<UserId>().is_ok())
}

/// Whether a field of that name is a [`Timestamp`].
fn is_time(name: &str) -> bool {
    name.ends_with("_at") || ["as_of", "at", "lease_until", "since", "until"].contains(&name)
}

/// Prints text to standard output.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    match print(text) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Prints text to standard output; an error means that nobody may have seen it.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

fn render(done: &Done, folder: &Folder) -> String {
    match &done.outcome {
        Outcome::UserCreated(user) => format!(
            "Created user {} ({}), Bedrock region {}{}.\nNext: {}\n",
            user.id,
            user.name,
            user.bedrock.region,
            match user.bedrock.region.as_str() {
                DEFAULT_REGION => " (default)",
                _ => "",
            },
            folder.command(&format!("key issue {}", user.id))
        ),
        Outcome::Users { users } => {
            let mut table = new_table(&[
                "USER", "NAME", "TEAM", "STATUS", "REGION", "MODEL", "CREATED",
            ]);
            for user in users {
                table.add_row(vec![
                    user.id.to_string(),
                    user.name.clone(),
                    user.team.clone().unwrap_or_default(),
                    word(&user.status),
                    user.bedrock.region.clone(),
                    models(&user.bedrock),
                    user.created_at.to_string(),
                ]);
            }
            format!("{table}\n")
        }
        Outcome::KeyIssued(issued) => format!(
            "Issued key {} to {}. It is shown this once:\n\n  {}\n\nStart Claude Code with:\n\n{}\n\n\
             Next: {}\n",
            issued.key_id,
            issued.user_id,
            issued.access_key,
            claude_code(
                &format!("{}/ak/{}", done.base_url, issued.access_key),
                folder.is_demo()
            ),
            folder.command(&format!("bedrock-key set {}", issued.key_id))
        ),
        Outcome::Keys { keys } => {
            let mut table = new_table(&[
                "KEY",
                "USER",
                "BEGINS",
                "STATUS",
                "REGION",
                "BEDROCK KEY",
                "ENDS",
                "CREATED",
            ]);
            for key in keys {
                let bedrock = key.bedrock_key.as_ref();
                table.add_row(vec![
                    key.record.key_id.to_string(),
                    key.record.user_id.to_string(),
                    key.record.masked.to_string(),
                    word(&key.record.status),
                    key.record.bedrock.region.clone(),
                    bedrock.map_or("none".to_owned(), |key| key.bedrock_key_masked.clone()),
                    bedrock
                        .and_then(|key| key.bedrock_key_expires_at)
                        .map(|end| end.to_string())
                        .unwrap_or_default(),
                    key.record.created_at.to_string(),
                ]);
            }
            format!("{table}\n")
        }
        Outcome::KeyRevoked { key_id, .. } => format!("Revoked key {key_id}.\n"),
        Outcome::BedrockKeySet {
            key_id,
            region,
            bedrock_key,
        } => {
            let end = bedrock_key.bedrock_key_expires_at;
            let end = end.map(|end| format!(", until {end}")).unwrap_or_default();
            format!(
                "Registered Bedrock API key {} for key {key_id}, region {region}{end}.\n",
                bedrock_key.bedrock_key_masked
            )
        }
        Outcome::Breakers { breakers, .. } if breakers.is_empty() => {
            "Closed: Plan is asked first.\n".to_owned()
        }
        Outcome::Breakers { breakers, as_of } => breaker_table(breakers, *as_of),
        Outcome::BreakersReset { breakers, .. } if breakers.is_empty() => {
            "Nothing to reset: closed already.\n".to_owned()
        }
        Outcome::BreakersReset { breakers, as_of } => {
            format!("Closed. They were:\n{}", breaker_table(breakers, *as_of))
        }
    }
}

fn breaker_table(breakers: &[BreakerView], now: Timestamp) -> String {
    let mut table = new_table(&[
        "KEY", "GUARDS", "STATE", "BECAUSE", "SINCE", "UNTIL", "TRIPS",
    ]);
    for breaker in breakers {
        let owner = breaker.key_id.as_ref().map(ToString::to_string);
        let mut row = vec![
            owner.unwrap_or_else(|| "all".to_owned()),
            breaker.circuit.to_string(),
        ];
        row.extend(match &breaker.state {
            BreakerState::Closed { failures } if failures.is_empty() => [
                "closed".to_owned(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ],
            BreakerState::Closed { failures } => [
                format!("closed, {} counted", failures.len()),
                String::new(),
                failures
                    .first()
                    .map(|first| first.at.to_string())
                    .unwrap_or_default(),
                String::new(),
                String::new(),
            ],
            BreakerState::Open {
                because,
                since,
                until,
                trips,
                ..
            } => [
                if *until > now {
                    "open"
                } else {
                    "open, probe due"
                }
                .to_owned(),
                because.to_string(),
                since.to_string(),
                until.to_string(),
                trips.to_string(),
            ],
            BreakerState::HalfOpen {
                because,
                since,
                lease_until,
                trips,
                ..
            } => [
                "half-open, probing".to_owned(),
                because.to_string(),
                since.to_string(),
                lease_until.to_string(),
                trips.to_string(),
            ],
        });
        table.add_row(row);
    }
    format!("{table}\n")
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.iter().copied());
    table
}

/// The models of a user, as far as they fit into a column.
fn models(bedrock: &BedrockSettings) -> String {
    let default = &bedrock.models.default.id;
    match bedrock.preset {
        Some(ModelPreset::Family) => format!("family, else {default}"),
        Some(ModelPreset::One) | None => default.clone(),
    }
}

/// The name of a unit variant, as it is stored.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
