//! `spillway drill`: rehearses each row of the failure taxonomy, and what happens around the breaker
//! and when both legs fail, against the two simulators; without an account, and nothing is kept.
//!
//! A [`Scenario`] is data: what Plan and Bedrock answer, when, and what the client must see of it.
//! [`play`] performs it in a sandbox of its own, whose clock the scenario sets. The end-to-end tests
//! play the same scenarios.

mod breaker;
mod broken;
mod fallback;
mod limits;
mod report;
mod runner;
mod scenario;
mod seen;
mod taxonomy;

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;
use tokio::task::JoinSet;

pub use self::report::table;
use self::runner::Runner;
pub use self::scenario::{Act, Caller, Form, Request, Scenario, Setup, Store};
pub use self::seen::Seen;

/// All scenarios: the rows of the taxonomy first, in their order.
pub fn scenarios() -> Vec<Scenario> {
    [
        taxonomy::scenarios(),
        breaker::scenarios(),
        fallback::scenarios(),
    ]
    .concat()
}

/// What came of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Played {
    /// The scenario's name.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// The row of the failure taxonomy.
    pub row: Option<&'static str>,
    /// Whether all of it went as expected.
    pub as_expected: bool,
    /// Why it could not be played to its end.
    pub error: Option<String>,
    /// Its requests, in the order in which they were made.
    pub requests: Vec<Line>,
}

/// What came of one request.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What was seen.
    #[serde(flatten)]
    pub seen: Seen,
    /// Of Plan's answer; absent when Plan was not asked.
    pub verdict: Option<String>,
    /// Each thing that was not as expected, with what was expected.
    pub differences: Vec<String>,
}

impl Line {
    fn new(seen: Seen, expected: &Seen) -> Self {
        Self {
            verdict: seen.verdict().map(str::to_owned),
            differences: seen.differences(expected),
            seen,
        }
    }
}

impl Played {
    /// What was not as expected, for people; empty when all was.
    pub fn complaints(&self) -> Vec<String> {
        let lines = self.requests.iter().enumerate();
        let of_line = |(at, line): (usize, &Line)| {
            let request = at + 1;
            let complaints = line.differences.iter();
            let worded =
                complaints.map(move |what| format!("{}, request {request}: {what}", self.name));
            worded.collect::<Vec<_>>()
        };
        let error = self.error.iter();
        let error = error.map(|error| format!("{} was not played to its end: {error}", self.name));
        lines.flat_map(of_line).chain(error).collect()
    }
}

/// Plays a scenario in a sandbox of its own.
pub async fn play(scenario: &Scenario) -> Played {
    let mut requests = Vec::new();
    let outcome = async {
        let mut runner = Runner::new(scenario).await?;
        runner.play(&scenario.acts, &mut requests).await
    };
    let error = outcome.await.err().map(|error| format!("{error:#}"));
    Played {
        name: scenario.name,
        about: scenario.about,
        row: scenario.row,
        as_expected: error.is_none() && requests.iter().all(|line| line.differences.is_empty()),
        error,
        requests,
    }
}

/// So many scenarios at the same time keep two cores busy, and few files open.
const AT_ONCE: usize = 8;

/// Plays scenarios, some of them at the same time; what came of them is in their order.
///
/// # Errors
/// When one of them panicked.
pub async fn play_all(scenarios: Vec<Scenario>) -> anyhow::Result<Vec<Played>> {
    let mut played = BTreeMap::new();
    let mut waiting = scenarios.into_iter().enumerate();
    let mut playing = JoinSet::new();
    loop {
        while playing.len() < AT_ONCE
            && let Some((at, scenario)) = waiting.next()
        {
            playing.spawn(async move { (at, play(&scenario).await) });
        }
        let Some(done) = playing.join_next().await else {
            return Ok(played.into_values().collect());
        };
        let (at, outcome) = done.context("a drill ended early")?;
        played.insert(at, outcome);
    }
}
