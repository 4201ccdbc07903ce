//! The settings of the policy as command-line options: for the deployment, a user or a key.

use std::fmt::Write as _;

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use domain::policy::{POLICY_SETTINGS, PolicyChange, PolicySetting};
use domain::setting::{SettingValue, Unit, Values};

/// The policy options that were given: one option for each of [`POLICY_SETTINGS`].
#[derive(Clone, Debug, Default)]
pub struct PolicyOptions(pub PolicyChange);

impl Args for PolicyOptions {
    fn augment_args(command: Command) -> Command {
        command.args(POLICY_SETTINGS.iter().map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PolicyOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Self::default();
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in POLICY_SETTINGS {
            if let Some(value) = given(setting, matches) {
                let set = setting.set(&mut self.0, value);
                set.map_err(|error| {
                    clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n"))
                })?;
            }
        }
        Ok(())
    }
}

/// The option of a setting: `--breaker-open SECONDS` for `breaker_open_s`.
fn option(setting: &'static PolicySetting) -> Arg {
    let (value_name, parser): (_, ValueParser) = match setting.values {
        Values::Number { unit, .. } => {
            let value_name = match unit {
                Unit::Count => "N",
                Unit::Seconds => "SECONDS",
            };
            (value_name, clap::value_parser!(u32).into())
        }
        Values::OneOf(words) => ("VALUE", PossibleValuesParser::new(words).into()),
        Values::ListOf(words) => ("LIST", PossibleValuesParser::new(words).into()),
    };
    let arg = Arg::new(setting.name)
        .long(setting.option)
        .value_name(value_name)
        .value_parser(parser)
        .help(help(setting))
        .help_heading("When to fall back");
    match setting.values {
        Values::ListOf(_) => arg.action(ArgAction::Append).value_delimiter(','),
        Values::Number { .. } | Values::OneOf(_) => arg,
    }
}

/// `Number of …. Default: 3; 1 to 100`.
fn help(setting: &PolicySetting) -> String {
    let default = setting.in_force(&domain::policy::Policy::default());
    let mut meaning = setting.meaning.chars();
    let first = meaning.next().into_iter().flat_map(char::to_uppercase);
    let mut help: String = first.chain(meaning).collect();
    let _ = write!(help, ". Default: {default}");
    if let Values::Number { least, most, .. } = setting.values {
        let _ = write!(help, "; {least} to {most}");
    }
    help
}

fn given(setting: &PolicySetting, matches: &ArgMatches) -> Option<SettingValue> {
    match setting.values {
        Values::Number { .. } => matches
            .get_one(setting.name)
            .copied()
            .map(SettingValue::Number),
        Values::OneOf(_) => matches
            .get_one(setting.name)
            .cloned()
            .map(SettingValue::Word),
        Values::ListOf(_) => {
            let words = matches.get_many::<String>(setting.name)?;
            Some(SettingValue::Words(words.cloned().collect()))
        }
    }
}
