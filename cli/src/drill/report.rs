//! What came of drills, for people and for programs.

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};

use super::{Line, Played};
const LEGEND: &str = "  \
  REASON: the verdict on Plan's answer; with breaker_open and session, Plan was not asked.
  BREAKER before and after. 1/3: one counted failure of three. 30m: so long until Plan is asked again.
  CALLS: of Plan + of Bedrock.
";

/// What came of drills as a table of 120 columns, and what was not as expected below it.
pub fn table(played: &[Played]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "DRILL",
            "ROW",
            "CLIENT SAW",
            "LEG",
            "REASON",
            "BREAKER",
            "CALLS",
            "OK",
        ]);
    for played in played {
        for line in &played.requests {
            table.add_row(row(played, line));
        }
    }
    let mut text = format!("{}\n\n{LEGEND}\n", table.trim_fmt());
    let complaints: Vec<String> = played.iter().flat_map(Played::complaints).collect();
    if complaints.is_empty() {
        text.push_str("All went as expected.\n");
    }
    for complaint in complaints {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{complaint}");
    }
    text
}

fn row(played: &Played, line: &Line) -> [String; 8] {
    let seen = &line.seen;
    let status = seen.status.map(|status| format!("{status} "));
    let then = if seen.begun { "then " } else { "" };
    let mut client = format!("{}{then}{}", status.unwrap_or_default(), seen.body);
    if let Some(error) = &seen.error {
        client = format!("{client}\n    {error}");
    }
    let probe = if seen.probe { ", probe" } else { "" };
    // The fraction says that it is closed.
    let [before, after] =
        [&seen.breaker_before, &seen.breaker_after].map(|state| state.replace("closed ", ""));
    let breaker = if before == after {
        before
    } else {
        format!("{before} → {after}")
    };
    let as_expected = line.differences.is_empty();
    [
        played.name.to_owned(),
        played.row.unwrap_or_default().to_owned(),
        client,
        seen.leg.clone(),
        format!("{}{probe}", seen.reason),
        breaker,
        format!("{}+{}", seen.plan_calls, seen.bedrock_calls),
        if as_expected { "yes" } else { "NO" }.to_owned(),
    ]
}
