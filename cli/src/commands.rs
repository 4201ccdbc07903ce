//! The commands `spillway user`, `key`, `bedrock-key` and `breaker`, executed on a data folder or, when a
//! running Spillway holds it, by that process.

use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;

use admin::{BreakersOf, Command, NewUser};
use anyhow::{Context as _, bail};
use domain::bedrock_key::BedrockKey;
use local::{LocalAws, LocalError};
use proxy::config::Settings;
use service::clock::Clock;

use crate::args::{self, BedrockKeyVerb, BreakerVerb, Common, KeyVerb, UserVerb};
use crate::control::Done;
use crate::execute::execute;
use crate::folder::Folder;
use crate::local_stack::LocalStack;
use crate::{control, show};

/// The maximum time for which another command may hold the data folder.
const IN_USE_FOR: Duration = Duration::from_secs(2);
/// The time between two attempts to open a folder in use.
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
            run(Command::CreateUser(new), None, &common).await
        }
        UserVerb::List { common } => run(Command::ListUsers, None, &common).await,
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
            run(Command::IssueKey { user_id, settings }, None, &common).await
        }
        KeyVerb::List { user, common } => {
            run(Command::ListKeys { user_id: user }, None, &common).await
        }
        KeyVerb::Revoke { key_id, common } => {
            run(Command::RevokeKey { key_id }, None, &common).await
        }
    }
}

pub(crate) async fn bedrock_key(verb: BedrockKeyVerb) -> anyhow::Result<()> {
    let BedrockKeyVerb::Set {
        key_id,
        region,
        common,
    } = verb;
    let bedrock_key = read_bedrock_key()?;
    run(
        Command::SetBedrockKey { key_id, region },
        Some(bedrock_key),
        &common,
    )
    .await
}

pub(crate) async fn breaker(verb: BreakerVerb) -> anyhow::Result<()> {
    match verb {
        BreakerVerb::Show { key_id, common } => {
            run(Command::ShowBreakers { key_id }, None, &common).await
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
            run(Command::ResetBreakers { of }, None, &common).await
        }
    }
}

fn read_bedrock_key() -> anyhow::Result<BedrockKey> {
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

/// Executes a command on the data folder or, when a running Spillway holds it, through that process.
async fn run(
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
            Ok(aws) => break execute_on(aws, command, bedrock_key).await?,
            Err(error @ LocalError::InUse { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        // `spillway up` listens; another command does not, and ends soon.
        match control::connect(folder.path()) {
            Ok(stream) => break control::send(stream, &command, bedrock_key.as_ref()).await?,
            Err(_) if tokio::time::Instant::now() < until => tokio::time::sleep(PAUSE).await,
            Err(_) => return Err(error.into()),
        }
    };
    show::outcome(&done, &folder, common.output)
}

async fn execute_on(
    aws: LocalAws,
    command: Command,
    bedrock_key: Option<BedrockKey>,
) -> anyhow::Result<Done> {
    let http = service::aws::https_client()?;
    let clock = Clock::system();
    let stack = LocalStack::open(aws, Settings::default(), http, clock).await?;
    let outcome = execute(&stack, command, bedrock_key).await?;
    Ok(Done {
        outcome,
        base_url: format!("http://{}", args::LISTEN),
    })
}
