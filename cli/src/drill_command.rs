//! `spillway drill`: runs the drills that were named, or all, and prints their results.

use anyhow::bail;

use crate::args::{Drill, Output};
use crate::drill::{self, DrillResult};
use crate::show;

pub(crate) async fn run(args: Drill) -> anyhow::Result<()> {
    let mut scenarios = drill::scenarios();
    scenarios.retain(|scenario| {
        args.names.is_empty() || args.names.iter().any(|name| name == scenario.name)
    });
    let results = drill::run_all(scenarios).await?;
    match args.output {
        Output::Json => results.iter().try_for_each(show::json)?,
        Output::Table => show::text(&drill::table(&results))?,
    }
    all_as_expected(&results)
}

fn all_as_expected(results: &[DrillResult]) -> anyhow::Result<()> {
    let wrong = results.iter().filter(|result| !result.as_expected).count();
    match wrong {
        0 => Ok(()),
        wrong => bail!("{wrong} of {} drills did not go as expected", results.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_fails_when_one_drill_differs() {
        let results = |as_expected| DrillResult {
            name: "name",
            about: "about",
            row: None,
            as_expected,
            error: None,
            requests: vec![],
        };
        assert!(all_as_expected(&[results(true), results(true)]).is_ok());
        let error = all_as_expected(&[results(true), results(false)]).unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 drills did not go as expected");
    }
}
