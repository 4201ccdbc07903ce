//! Results, for people and for programs.

use std::io::Write as _;

use admin::{BreakerView, Outcome};
use comfy_table::{ContentArrangement, Table, presets};
use domain::breaker::BreakerState;
use domain::time::Timestamp;
use serde::Serialize;

use crate::args::Output;

/// Prints what came of a command.
pub(crate) fn outcome(outcome: &Outcome, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => json(outcome),
        Output::Table => text(&render(outcome)),
    }
}

/// Prints one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    text(&format!("{}\n", serde_json::to_string(value)?))
}

/// Prints text to standard output.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn render(outcome: &Outcome) -> String {
    match outcome {
        Outcome::UserCreated(user) => format!(
            "Created user {} ({}), Bedrock region {}.\nNext: spillway key issue {}\n",
            user.id, user.name, user.bedrock.region, user.id
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
                    user.bedrock.models.default.id.clone(),
                    user.created_at.to_string(),
                ]);
            }
            format!("{table}\n")
        }
        Outcome::KeyIssued(issued) => format!(
            "Issued key {} to {}. It is shown this once:\n\n  {}\n\nClaude Code uses it with \
             ANTHROPIC_BASE_URL=http://HOST/ak/{}\nNext: spillway bedrock-key set {}\n",
            issued.key_id, issued.user_id, issued.access_key, issued.access_key, issued.key_id
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

/// The name of a unit variant, as it is stored.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
