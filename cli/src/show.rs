//! Results, for people and for programs.

use std::io::Write as _;

use admin::api::BedrockView;
use admin::{BreakerView, IssuedKey, KeyView, Outcome, UserView};
use comfy_table::{ContentArrangement, Table, presets};
use domain::bedrock::{DEFAULT_REGION, ModelPreset};
use domain::breaker::BreakerState;
use domain::time::Timestamp;
use serde::Serialize;

use crate::args::Output;
use crate::control::Done;
use crate::folder::Folder;
use crate::ready::claude_code;

/// Prints the outcome of a command on a folder.
pub(crate) fn outcome(done: &Done, folder: &Folder, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => json(&done.outcome),
        Output::Table => text(&render(done, folder)),
    }
}

/// Prints an error on standard error: a sentence for people, or JSON for programs.
pub fn error(message: &str, is_json: bool) {
    let line = if is_json {
        serde_json::json!({"error": {"message": message}}).to_string()
    } else {
        format!("spillway: {message}")
    };
    // A failure to print it cannot be reported anywhere else.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    text(&to_json(value)?)
}

/// One line of JSON.
pub(crate) fn to_json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string(value)?))
}

/// Prints text to standard output.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    match print(text) {
        // The reader has closed the pipe.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Prints text to standard output; after an error it may not have been seen.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

fn render(done: &Done, folder: &Folder) -> String {
    match &done.outcome {
        Outcome::UserCreated(user) => user_created(user, folder),
        Outcome::UserUpdated(user) => format!("Changed user {} ({}).\n", user.user_id, user.name),
        Outcome::Users { users } => user_table(users),
        Outcome::KeyIssued(issued) => key_issued(issued, &done.base_url, folder),
        Outcome::Keys { keys } => key_table(keys),
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
        Outcome::BedrockKeyRemoved { key_id } => {
            format!("Removed the Bedrock API key of key {key_id}.\n")
        }
        Outcome::Breakers { breakers, .. } if breakers.is_empty() => {
            "All breakers are closed: requests go to Plan first.\n".to_owned()
        }
        Outcome::Breakers { breakers, as_of } => breaker_table(breakers, as_of.0),
        Outcome::BreakersReset { breakers, .. } if breakers.is_empty() => {
            "Nothing to reset: all breakers are closed.\n".to_owned()
        }
        Outcome::BreakersReset { breakers, as_of } => {
            let count = match breakers.len() {
                1 => "1 breaker".to_owned(),
                count => format!("{count} breakers"),
            };
            let before = breaker_table(breakers, as_of.0);
            format!("Reset {count}. State before the reset:\n{before}")
        }
    }
}

fn user_created(user: &UserView, folder: &Folder) -> String {
    let region = user.bedrock.region.as_str();
    let default = match region {
        DEFAULT_REGION => " (default)",
        _ => "",
    };
    format!(
        "Created user {} ({}), Bedrock region {region}{default}.\nNext: {}\n",
        user.user_id,
        user.name,
        folder.command(&format!("key issue {}", user.user_id))
    )
}

fn user_table(users: &[UserView]) -> String {
    let mut table = new_table(&[
        "USER", "NAME", "TEAM", "STATUS", "REGION", "MODEL", "CREATED",
    ]);
    for user in users {
        table.add_row(vec![
            user.user_id.to_string(),
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

fn key_issued(issued: &IssuedKey, base_url: &str, folder: &Folder) -> String {
    let url = format!("{base_url}/ak/{}", issued.access_key);
    format!(
        "Issued key {} to {}. It is shown this once:\n\n  {}\n\nStart Claude Code with:\n\n{}\n\n\
         Next: {}\n",
        issued.key_id,
        issued.user_id,
        issued.access_key,
        claude_code(&url, folder.is_demo()),
        folder.command(&format!("bedrock-key set {}", issued.key_id))
    )
}

fn key_table(keys: &[KeyView]) -> String {
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
        let bedrock_key = key.bedrock_key.as_ref();
        let end = bedrock_key.and_then(|key| key.bedrock_key_expires_at);
        table.add_row(vec![
            key.key_id.to_string(),
            key.user_id.to_string(),
            key.masked.to_string(),
            word(&key.status),
            key.bedrock.region.clone(),
            bedrock_key.map_or("none".to_owned(), |key| key.bedrock_key_masked.clone()),
            end.map(|end| end.to_string()).unwrap_or_default(),
            key.created_at.to_string(),
        ]);
    }
    format!("{table}\n")
}

fn breaker_table(breakers: &[BreakerView], now: Timestamp) -> String {
    let mut table = new_table(&[
        "KEY", "CIRCUIT", "STATE", "REASON", "SINCE", "UNTIL", "TRIPS",
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
            BreakerState::Open { trip, until } => [
                if *until > now {
                    "open"
                } else {
                    "open, probe due"
                }
                .to_owned(),
                trip.class.to_string(),
                trip.since.to_string(),
                until.to_string(),
                trip.count.to_string(),
            ],
            BreakerState::HalfOpen {
                trip, lease_until, ..
            } => [
                "half-open, probing".to_owned(),
                trip.class.to_string(),
                trip.since.to_string(),
                lease_until.to_string(),
                trip.count.to_string(),
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
fn models(bedrock: &BedrockView) -> String {
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
