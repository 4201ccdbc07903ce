//! The drills of `spillway drill`: each row of the failure taxonomy, the breaker's changes of state, and
//! failures of both upstreams, against the two simulators. A drill needs no account and keeps no data.
//!
//! A [`Scenario`] is data: the responses of Plan and Bedrock, their times, and the expected observations.
//! [`run_scenario`] runs it in a sandbox of its own, whose clock the scenario sets. The end-to-end tests
//! run the same scenarios.

mod breaker;
mod broken;
mod fallback;
mod limits;
mod observation;
mod report;
mod runner;
mod scenario;
mod taxonomy;

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;
use tokio::task::JoinSet;

pub use self::observation::Observation;
pub use self::report::table;
use self::runner::Runner;
pub use self::scenario::{Caller, DrillStep, Request, ResponseMode, Scenario, Setup, StoreState};

/// All scenarios: the rows of the taxonomy first, in their order.
pub fn scenarios() -> Vec<Scenario> {
    [
        taxonomy::scenarios(),
        breaker::scenarios(),
        fallback::scenarios(),
    ]
    .concat()
}

/// The result of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct DrillResult {
    /// The scenario's name.
    pub name: &'static str,
    /// The scenario's summary.
    pub about: &'static str,
    /// The row of the failure taxonomy.
    pub row: Option<&'static str>,
    /// Whether all observations are as expected.
    pub as_expected: bool,
    /// Why the scenario did not finish.
    pub error: Option<String>,
    /// The results of its requests, in the order of sending.
    pub requests: Vec<RequestResult>,
}

/// The result of one request.
#[derive(Clone, Debug, Serialize)]
pub struct RequestResult {
    /// The observation.
    #[serde(flatten)]
    pub observed: Observation,
    /// The verdict on Plan's response; absent when Plan was not called.
    pub verdict: Option<String>,
    /// Each difference from the expected observation, with the expected value.
    pub differences: Vec<String>,
}

impl RequestResult {
    fn new(observed: Observation, expected: &Observation) -> Self {
        Self {
            verdict: observed.verdict().map(str::to_owned),
            differences: observed.differences(expected),
            observed,
        }
    }
}

impl DrillResult {
    /// Each difference as a sentence; empty when everything is as expected.
    pub fn failures(&self) -> Vec<String> {
        let lines = self.requests.iter().enumerate();
        let of_request = |(at, result): (usize, &RequestResult)| {
            let request = at + 1;
            let failures = result.differences.iter();
            let worded =
                failures.map(move |what| format!("{}, request {request}: {what}", self.name));
            worded.collect::<Vec<_>>()
        };
        let error = self.error.iter();
        let error = error.map(|error| format!("{} did not finish: {error}", self.name));
        lines.flat_map(of_request).chain(error).collect()
    }
}

/// Runs a scenario in a sandbox of its own.
pub async fn run_scenario(scenario: &Scenario) -> DrillResult {
    let mut requests = Vec::new();
    let outcome = async {
        let mut runner = Runner::new(scenario).await?;
        runner.run(&scenario.steps, &mut requests).await
    };
    let error = outcome.await.err().map(|error| format!("{error:#}"));
    DrillResult {
        name: scenario.name,
        about: scenario.about,
        row: scenario.row,
        as_expected: error.is_none() && requests.iter().all(|result| result.differences.is_empty()),
        error,
        requests,
    }
}

/// The number of scenarios that run at the same time: enough for two cores, with few open files.
const AT_ONCE: usize = 8;

/// Runs scenarios, some of them at the same time, and returns their results in the given order.
///
/// # Errors
/// When a scenario panicked.
pub async fn run_all(scenarios: Vec<Scenario>) -> anyhow::Result<Vec<DrillResult>> {
    let mut results = BTreeMap::new();
    let mut waiting = scenarios.into_iter().enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE
            && let Some((at, scenario)) = waiting.next()
        {
            running.spawn(async move { (at, run_scenario(&scenario).await) });
        }
        let Some(done) = running.join_next().await else {
            return Ok(results.into_values().collect());
        };
        let (at, outcome) = done.context("a drill panicked")?;
        results.insert(at, outcome);
    }
}
