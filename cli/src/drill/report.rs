//! The results of drills as a table.

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};

use super::{DrillResult, RequestResult};

const LEGEND: &str = "  \
  REASON: the verdict on Plan's response; with breaker_open and session, Plan was not called.
  BREAKER before and after. 1/3: one counted failure of three. 30m: the time until the next probe of Plan.
  CALLS: of Plan + of Bedrock.
";

/// The results of drills as a table of at most 120 columns, and each difference below it.
pub fn table(results: &[DrillResult]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "DRILL", "ROW", "RESPONSE", "LEG", "REASON", "BREAKER", "CALLS", "OK",
        ]);
    for result in results {
        for request in &result.requests {
            table.add_row(row(result, request));
        }
    }
    let mut text = format!("{}\n\n{LEGEND}\n", table.trim_fmt());
    let failures: Vec<String> = results.iter().flat_map(DrillResult::failures).collect();
    if failures.is_empty() {
        text.push_str("All drills passed.\n");
    }
    for failure in failures {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{failure}");
    }
    text
}

fn row(result: &DrillResult, request: &RequestResult) -> [String; 8] {
    let observed = &request.observed;
    let status = observed.status.map(|status| format!("{status} "));
    let then = if observed.begun { "then " } else { "" };
    let mut client = format!("{}{then}{}", status.unwrap_or_default(), observed.body);
    if let Some(error) = &observed.error {
        client = format!("{client}\n    {error}");
    }
    let probe = if observed.probe { ", probe" } else { "" };
    // A fraction stands for a closed breaker.
    let [before, after] = [&observed.breaker_before, &observed.breaker_after]
        .map(|state| state.replace("closed ", ""));
    let breaker = if before == after {
        before
    } else {
        format!("{before} → {after}")
    };
    let as_expected = request.differences.is_empty();
    [
        result.name.to_owned(),
        result.row.unwrap_or_default().to_owned(),
        client,
        observed.leg.clone(),
        format!("{}{probe}", observed.reason),
        breaker,
        format!("{}+{}", observed.plan_calls, observed.bedrock_calls),
        if as_expected { "yes" } else { "NO" }.to_owned(),
    ]
}
