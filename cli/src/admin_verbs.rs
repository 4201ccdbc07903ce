//! `spillway user`, `spillway key`, `spillway bedrock-key` and `spillway breaker`.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use admin::{BreakersOf, Command, NewUser, Outcome};
use anyhow::{Context as _, bail};
use domain::bedrock_key::BedrockKey;
use local::{LocalAws, LocalError};
use proxy::clock::Clock;
use proxy::config::Settings;

use crate::args::{BedrockKeyVerb, BreakerVerb, Common, KeyVerb, UserVerb};
use crate::house::House;
use crate::{control, environment, show};

pub(crate) async fn user(verb: UserVerb) -> anyhow::Result<()> {
    match verb {
        UserVerb::Create {
            name,
            team,
            description,
            settings,
            common,
        } => {
            let new = NewUser {
                name,
                description,
                team,
                settings: (*settings).into(),
            };
            carry_out(Command::CreateUser(new), None, &common).await
        }
        UserVerb::List { common } => carry_out(Command::ListUsers, None, &common).await,
    }
}

pub(crate) async fn key(verb: KeyVerb) -> anyhow::Result<()> {
    match verb {
        KeyVerb::Issue {
            user_id,
            settings,
            common,
        } => {
            let settings = (*settings).into();
            carry_out(Command::IssueKey { user_id, settings }, None, &common).await
        }
        KeyVerb::List { user, common } => {
            carry_out(Command::ListKeys { user_id: user }, None, &common).await
        }
        KeyVerb::Revoke { key_id, common } => {
            carry_out(Command::RevokeKey { key_id }, None, &common).await
        }
    }
}

pub(crate) async fn bedrock_key(verb: BedrockKeyVerb) -> anyhow::Result<()> {
    let BedrockKeyVerb::Set {
        key_id,
        region,
        common,
    } = verb;
    let bedrock_key = ask_for_bedrock_key()?;
    carry_out(
        Command::SetBedrockKey { key_id, region },
        Some(bedrock_key),
        &common,
    )
    .await
}

pub(crate) async fn breaker(verb: BreakerVerb) -> anyhow::Result<()> {
    match verb {
        BreakerVerb::Show { key_id, common } => {
            carry_out(Command::ShowBreakers { key_id }, None, &common).await
        }
        BreakerVerb::Reset {
            key_id,
            deployment,
            all: _,
            common,
        } => {
            let of = match key_id {
                Some(key_id) => BreakersOf::Key(key_id),
                None if deployment => BreakersOf::Deployment,
                None => BreakersOf::All,
            };
            carry_out(Command::ResetBreakers { of }, None, &common).await
        }
    }
}

fn ask_for_bedrock_key() -> anyhow::Result<BedrockKey> {
    let text = if std::io::stdin().is_terminal() {
        rpassword::prompt_password("Bedrock API key (not shown): ")?
    } else {
        let mut text = String::new();
        std::io::stdin()
            .take(16 * 1024)
            .read_to_string(&mut text)
            .context("the Bedrock API key on standard input is not text")?;
        text
    };
    Ok(BedrockKey::parse(&text)?)
}

/// On the data folder, or, when a running Spillway holds it, through that.
async fn carry_out(
    command: Command,
    bedrock_key: Option<BedrockKey>,
    common: &Common,
) -> anyhow::Result<()> {
    let data = match &common.data {
        Some(data) => data.clone(),
        None => environment::data_folder()?,
    };
    let outcome = outcome(command, bedrock_key, &data).await?;
    show::outcome(&outcome, common.output)
}

async fn outcome(
    command: Command,
    bedrock_key: Option<BedrockKey>,
    data: &Path,
) -> anyhow::Result<Outcome> {
    if !data.is_dir() {
        bail!(
            "there is no Spillway data in {}; start Spillway once with `spillway up`, or name its \
             folder with --data DIR",
            data.display()
        );
    }
    let aws = match LocalAws::open(data) {
        Ok(aws) => aws,
        Err(LocalError::InUse { .. }) => {
            return control::ask(data, &command, bedrock_key.as_ref()).await;
        }
        Err(error) => return Err(error.into()),
    };
    let http = store::aws::https_client()?;
    let clock = Clock::system();
    let house = House::open(aws, Settings::default(), http, clock.clone()).await?;
    Ok(house
        .admin()
        .execute(command, bedrock_key, clock.now())
        .await?)
}
