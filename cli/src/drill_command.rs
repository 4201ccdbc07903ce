//! `spillway drill`: runs the drills that were named, or all, and prints their results.

use anyhow::bail;

use crate::args::{Drill, Output};
use crate::drill::{self, Played};
use crate::show;

pub(crate) async fn run(args: Drill) -> anyhow::Result<()> {
    let mut scenarios = drill::scenarios();
    scenarios.retain(|scenario| {
        args.names.is_empty() || args.names.iter().any(|name| name == scenario.name)
    });
    let played = drill::play_all(scenarios).await?;
    match args.output {
        Output::Json => played.iter().try_for_each(show::json)?,
        Output::Table => show::text(&drill::table(&played))?,
    }
    all_as_expected(&played)
}

fn all_as_expected(played: &[Played]) -> anyhow::Result<()> {
    let wrong = played.iter().filter(|played| !played.as_expected).count();
    match wrong {
        0 => Ok(()),
        wrong => bail!("{wrong} of {} drills did not go as expected", played.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_drill_that_went_otherwise_fails_the_command() {
        let played = |as_expected| Played {
            name: "name",
            about: "about",
            row: None,
            as_expected,
            error: None,
            requests: vec![],
        };
        assert!(all_as_expected(&[played(true), played(true)]).is_ok());
        let error = all_as_expected(&[played(true), played(false)]).unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 drills did not go as expected");
    }
}
