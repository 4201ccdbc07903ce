//! `spillway up`: everything on loopback, in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use admin::{Command, IssuedKey, NewUser, Outcome, Settings};
use anyhow::{Context as _, bail};
use axum::serve::ListenerExt as _;
use domain::bedrock_key::BedrockKey;
use domain::grant::KeyStatus;
use domain::policy::PolicyChange;
use local::simulator::bedrock::{BedrockOptions, DEMO_BEDROCK_API_KEY};
use local::simulator::plan::PlanOptions;
use local::{LocalAws, simulator};
use proxy::clock::Clock;
use proxy::config::parse_base_url;
use serde::Serialize;
use store::access::ListedKey;
use store::directory::CachePolicy;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::args::{self, Output};
use crate::house::House;
use crate::{control, environment, show};

/// A read of the embedded table costs a fraction of a millisecond, so a revoked key need not live
/// longer than this.
const LOCAL_REVOCATION: Duration = Duration::from_secs(1);
const HOUSEKEEPING: Duration = Duration::from_mins(1);

pub(crate) async fn run(args: args::Up) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_env_filter(proxy::log::filter(args.log_level.as_str()))
        .init();
    if !args.listen.ip().is_loopback() && !args.allow_remote {
        bail!(
            "{} can be reached from other machines, and access keys would travel there without TLS; \
             listen on 127.0.0.1, or give --allow-remote and put a TLS proxy in front",
            args.listen
        );
    }
    let mut settings = proxy::config::Settings {
        keys: CachePolicy {
            revocation_bound: LOCAL_REVOCATION,
            negative: LOCAL_REVOCATION,
            breaker: LOCAL_REVOCATION,
            ..CachePolicy::default()
        },
        ..proxy::config::Settings::default()
    };
    // No gateway in front ends a stream after a quarter of an hour.
    settings.deadlines.total = Duration::from_hours(2);
    let policy = PolicyChange::from(args.policy).checked()?;
    settings.policy = settings.policy.with(&policy);
    settings.plan_url = base_url("--plan-url", &args.plan_url)?;
    settings.bedrock_url = args
        .bedrock_url
        .as_deref()
        .map(|url| base_url("--bedrock-url", url))
        .transpose()?;

    let mut background = JoinSet::new();
    let demo = if args.demo {
        let demo = Demo::start(args.demo_plan_requests, &mut background).await?;
        settings.plan_url.clone_from(&demo.plan_url);
        settings.bedrock_url = Some(demo.bedrock_url.clone());
        Some(demo)
    } else {
        None
    };

    let aws = match &args.data {
        Some(data) => LocalAws::open(data)?,
        None if args.memory || args.demo => LocalAws::memory()?,
        None => LocalAws::open(&environment::data_folder()?)?,
    };
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let clock = Clock::system();
    let plan_url = settings.plan_url.clone();
    let house = House::open(aws, settings, store::aws::https_client()?, clock.clone()).await?;
    if let Some(data) = house.aws().folder() {
        match control::listen(data) {
            Ok(listener) => {
                background.spawn(control::serve(listener, house.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "other spillway commands cannot reach this process");
            }
        }
    }
    let aws = house.aws().clone();
    background.spawn(async move {
        aws.keep_house(HOUSEKEEPING, move || {
            u64::try_from(clock.now().as_millis()).unwrap_or(0)
        })
        .await;
    });

    let signals = Signals::listen()?;
    let ready = Ready::new(&house, listener.local_addr()?, plan_url, demo).await?;
    match args.output {
        Output::Json => show::json(&ready)?,
        Output::Table => show::text(&ready.to_text())?,
    }
    serve(listener, &house, signals, Duration::from_secs(args.drain)).await?;
    background.shutdown().await;
    Ok(())
}

fn base_url(argument: &str, text: &str) -> anyhow::Result<String> {
    parse_base_url(text).with_context(|| {
        format!("{argument} must be a URL such as https://api.anthropic.com, without query or user")
    })
}

/// The signals to stop. They are listened for before anybody is told that Spillway is ready: whoever
/// starts it may stop it at once.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self {
            interrupt,
            terminate,
        })
    }
}

/// Serves until a signal to stop, then lets open streams finish, for `drain` at most.
async fn serve(
    listener: TcpListener,
    house: &House,
    signals: Signals,
    drain: Duration,
) -> anyhow::Result<()> {
    let Signals {
        mut interrupt,
        mut terminate,
    } = signals;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let listener = listener.tap_io(|connection| {
        // Without this, small events wait for the one before to be acknowledged.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let server = axum::serve(listener, house.router()).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        result = &mut server => return Ok(result?),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping: open answers may finish");
    let _ = stop.send(());
    tokio::select! {
        finished = timeout(drain, server) => if let Ok(result) = finished {
            result?;
        } else {
            tracing::warn!("some answers did not finish in time");
        },
        _ = interrupt.recv() => tracing::warn!("stopped at once"),
        _ = terminate.recv() => tracing::warn!("stopped at once"),
    }
    Ok(())
}

/// The two simulated upstreams.
#[derive(Clone, Debug, Serialize)]
struct Demo {
    plan_url: String,
    bedrock_url: String,
    #[serde(skip)]
    plan_requests: u64,
}

impl Demo {
    async fn start(plan_requests: u64, background: &mut JoinSet<()>) -> anyhow::Result<Self> {
        let loopback = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        // Slow enough that one can see it stream.
        let pace = Duration::from_millis(15);
        let options = PlanOptions {
            requests: Some(plan_requests),
            pace,
            ..PlanOptions::default()
        };
        let (plan, serve_plan) = simulator::plan::serve(loopback().await?, options)?;
        let options = BedrockOptions {
            pace,
            ..BedrockOptions::default()
        };
        let (bedrock, serve_bedrock) = simulator::bedrock::serve(loopback().await?, options)?;
        background.spawn(serve_plan);
        background.spawn(serve_bedrock);
        Ok(Self {
            plan_url: plan.url(),
            bedrock_url: bedrock.url(),
            plan_requests,
        })
    }
}

/// What is printed when Spillway is ready. The access key is in it at the first start only.
#[derive(Serialize)]
struct Ready {
    base_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key: Option<String>,
    /// What Claude Code's `ANTHROPIC_BASE_URL` must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    anthropic_base_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    /// The data folder; `null` when nothing is kept.
    data: Option<String>,
    plan_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bedrock_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    demo: Option<Demo>,
}

impl Ready {
    /// At the first start makes a user and a key; registers a Bedrock API key when one is at hand.
    async fn new(
        house: &House,
        address: SocketAddr,
        plan_url: String,
        demo: Option<Demo>,
    ) -> anyhow::Result<Self> {
        let offered = match &demo {
            Some(_) => Some(DEMO_BEDROCK_API_KEY.to_owned()),
            None => environment::bedrock_api_key(),
        };
        let offered = offered
            .map(|text| BedrockKey::parse(&text))
            .transpose()
            .context("AWS_BEARER_TOKEN_BEDROCK")?;
        let region = if demo.is_some() {
            None
        } else {
            environment::region()
        };
        let issued = first_key(house, region).await?;
        let mut key = only_key(house).await?;
        if let (Some(offered), Some(only)) = (offered, &key) {
            let bound = only
                .bedrock_key
                .as_ref()
                .map(|bound| bound.bedrock_key_masked.clone());
            register(house, only, offered, bound.is_some()).await?;
            key = only_key(house).await?;
        }
        let base_url = format!("http://{address}");
        let access_key = issued.map(|issued| issued.access_key);
        Ok(Self {
            anthropic_base_url: access_key
                .as_ref()
                .map(|key| format!("{base_url}/ak/{key}")),
            base_url,
            access_key,
            user_id: key.as_ref().map(|key| key.record.user_id.to_string()),
            key_id: key.as_ref().map(|key| key.record.key_id.to_string()),
            data: house.aws().folder().map(|data| data.display().to_string()),
            plan_url,
            region: key.as_ref().map(|key| key.record.bedrock.region.clone()),
            bedrock_key: key
                .and_then(|key| key.bedrock_key)
                .map(|key| key.bedrock_key_masked),
            demo,
        })
    }

    fn to_text(&self) -> String {
        let mut lines = vec![
            format!("Spillway is ready on {}", self.base_url),
            String::new(),
        ];
        match &self.demo {
            Some(demo) => lines.push(format!(
                "  plan     simulated: {} requests, then its limit is reached",
                demo.plan_requests
            )),
            None => lines.push(format!("  plan     {}", self.plan_url)),
        }
        let bedrock = match (&self.demo, &self.bedrock_key, &self.region, &self.key_id) {
            (Some(_), ..) => "simulated".to_owned(),
            (None, Some(key), Some(region), _) => format!("key {key}, region {region}"),
            (None, None, _, Some(key_id)) => {
                format!("no API key yet; add one with: spillway bedrock-key set {key_id}")
            }
            _ => "per access key; see: spillway key list".to_owned(),
        };
        lines.push(format!("  bedrock  {bedrock}"));
        let data = self
            .data
            .as_deref()
            .unwrap_or("in memory only, gone when Spillway stops");
        lines.push(format!("  data     {data}"));
        lines.push(String::new());
        match (&self.access_key, &self.anthropic_base_url) {
            (Some(key), Some(url)) => {
                lines.push(format!("Your access key, shown this once: {key}"));
                lines.push("Start Claude Code with:".to_owned());
                lines.push(String::new());
                let credential = match &self.demo {
                    Some(_) => " ANTHROPIC_AUTH_TOKEN=demo",
                    None => "",
                };
                lines.push(format!("  ANTHROPIC_BASE_URL={url}{credential} claude"));
            }
            _ => lines.push(format!(
                "Access keys issued before go on working: ANTHROPIC_BASE_URL={}/ak/YOUR_KEY claude",
                self.base_url
            )),
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// The first start is the one that finds no user.
async fn first_key(house: &House, region: Option<String>) -> anyhow::Result<Option<IssuedKey>> {
    let now = house.clock().now();
    let admin = house.admin();
    match admin.execute(Command::ListUsers, None, now).await? {
        Outcome::Users { users } if users.is_empty() => {}
        _ => return Ok(None),
    }
    let settings = Settings {
        region,
        ..Settings::default()
    };
    let new = NewUser {
        name: "me".to_owned(),
        settings,
        ..NewUser::default()
    };
    let Outcome::UserCreated(user) = admin.execute(Command::CreateUser(new), None, now).await?
    else {
        bail!("the first user was not created");
    };
    let issue = Command::IssueKey {
        user_id: user.id,
        settings: Settings::default(),
    };
    let Outcome::KeyIssued(issued) = admin.execute(issue, None, now).await? else {
        bail!("the first key was not issued");
    };
    Ok(Some(issued))
}

/// The active key, when there is exactly one: then there is no doubt whose Bedrock key it is that
/// lies in the environment.
async fn only_key(house: &House) -> anyhow::Result<Option<ListedKey>> {
    let all = Command::ListKeys { user_id: None };
    let Outcome::Keys { keys } = house
        .admin()
        .execute(all, None, house.clock().now())
        .await?
    else {
        return Ok(None);
    };
    let mut active = keys
        .into_iter()
        .filter(|key| key.record.status == KeyStatus::Active);
    match (active.next(), active.next()) {
        (Some(only), None) => Ok(Some(only)),
        _ => Ok(None),
    }
}

async fn register(
    house: &House,
    key: &ListedKey,
    offered: BedrockKey,
    is_replacement: bool,
) -> anyhow::Result<()> {
    let set = Command::SetBedrockKey {
        key_id: key.record.key_id.clone(),
        region: None,
    };
    match house
        .admin()
        .execute(set, Some(offered), house.clock().now())
        .await
    {
        Ok(_) => Ok(()),
        // The key registered before may still be good.
        Err(error) if is_replacement => {
            tracing::warn!(%error, "AWS_BEARER_TOKEN_BEDROCK was not registered");
            Ok(())
        }
        Err(error) => Err(error).context("AWS_BEARER_TOKEN_BEDROCK"),
    }
}
