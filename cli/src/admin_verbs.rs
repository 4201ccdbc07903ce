//! `spillway user`, `spillway key`, `spillway bedrock-key` and `spillway breaker`.

use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;

use admin::{BreakersOf, Command, NewUser};
use anyhow::{Context as _, bail};
use domain::bedrock_key::BedrockKey;
use local::{LocalAws, LocalError};
use proxy::clock::Clock;
use proxy::config::Settings;

use crate::args::{self, BedrockKeyVerb, BreakerVerb, Common, KeyVerb, UserVerb};
use crate::control::Done;
use crate::folder::Folder;
use crate::local_stack::LocalStack;
use crate::{control, show};

/// How long another command may hold the data folder.
const IN_USE_FOR: Duration = Duration::from_secs(2);
/// Between two looks at a folder in use.
const PAUSE: Duration = Duration::from_millis(20);

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
    let folder = Folder::chosen(common.data.as_deref(), common.demo)?;
    if folder.is_new() {
        let up = if common.demo { "up --demo" } else { "up" };
        bail!(
            "there is no Spillway data in {}; start Spillway once with `spillway {up}`, or name its \
             folder with --data DIR",
            folder.path().display()
        );
    }
    let until = tokio::time::Instant::now() + IN_USE_FOR;
    let done = loop {
        let error = match LocalAws::open(folder.path()) {
            Ok(aws) => break here(aws, command, bedrock_key).await?,
            Err(error @ LocalError::InUse { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        // `spillway up` listens; another command does not, and is done soon.
        match control::connect(folder.path()) {
            Ok(stream) => break control::ask(stream, &command, bedrock_key.as_ref()).await?,
            Err(_) if tokio::time::Instant::now() < until => tokio::time::sleep(PAUSE).await,
            Err(_) => return Err(error.into()),
        }
    };
    show::outcome(&done, &folder, common.output)
}

async fn here(
    aws: LocalAws,
    command: Command,
    bedrock_key: Option<BedrockKey>,
) -> anyhow::Result<Done> {
    let http = store::aws::https_client()?;
    let clock = Clock::system();
    let house = LocalStack::open(aws, Settings::default(), http, clock.clone()).await?;
    let admin = house.admin();
    let outcome = admin.execute(command, bedrock_key, clock.now()).await?;
    Ok(Done {
        outcome,
        base_url: format!("http://{}", args::LISTEN),
    })
}
