//! `spillway up`: everything on loopback, in one process.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::id::KeyId;
use local::LocalAws;
use proxy::config::{Settings, UnknownKey};
use service::clock::Clock;
use service::environment::parse_base_url;
use simulators::bedrock::BedrockOptions;
use simulators::plan::PlanOptions;
use store::cache::CachePolicy;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::args::{self, Output};
use crate::first_key::Offered;
use crate::folder::Folder;
use crate::local_stack::LocalStack;
use crate::ready::{Demo, Ready, Started};
use crate::serve::Limits;
use crate::{control, environment, first_key, hangup, log, serve, show};

/// The lifetime of cached keys on one machine, where a read of the table costs a fraction of a millisecond.
const LOCAL_REVOCATION: Duration = Duration::from_secs(1);
const MAINTENANCE_INTERVAL: Duration = Duration::from_mins(1);

pub(crate) async fn run(args: args::Up) -> anyhow::Result<()> {
    log::start(args.log_format, args.log_level);
    service::log::log_panics_without_message();
    check_address(&args)?;
    let clock = Clock::system();
    let mut settings = settings(&args)?;
    let (folder, offered) = folder_and_offer(&args, &clock)?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| {
        format!(
            "cannot listen on {}; stop what listens there, or give another address with --listen",
            args.listen
        )
    })?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let mut background = JoinSet::new();
    let demo = if args.demo {
        let demo = start_simulators(args.demo_plan_requests, &mut background).await?;
        settings.plan_url.clone_from(&demo.plan_url);
        settings.bedrock_url = Some(demo.bedrock_url.clone());
        Some(demo)
    } else {
        None
    };
    let aws = match &folder {
        Some(folder) => folder.open()?,
        None => LocalAws::memory()?,
    };
    let started = Started {
        base_url: base_url.clone(),
        plan_url: settings.plan_url.clone(),
        preset: settings.models,
        demo,
        folder: folder.as_ref(),
    };
    let stack = LocalStack::open(aws, settings, service::aws::https_client()?, clock).await?;
    let signals = Signals::listen()?;
    // An update of a user that an earlier process has not finished.
    stack.admin().finish_user_updates().await?;
    let found = first_key::find_or_create(&stack, offered, folder.as_ref()).await?;
    let issued = found.issued.as_ref().map(|issued| issued.key_id.clone());
    let ready = Ready::new(started, found);
    start_background(&stack, folder.as_ref(), base_url, &mut background);
    show_ready(&ready, args.output, issued, &stack).await?;
    serve(listener, &stack, signals, Duration::from_secs(args.drain)).await;
    stack.proxy().drain().await;
    background.shutdown().await;
    Ok(())
}

fn check_address(args: &args::Up) -> anyhow::Result<()> {
    if !args.listen.ip().is_loopback() && !args.allow_remote {
        bail!(
            "{} can be reached from other machines, and access keys would travel there without TLS; \
             listen on 127.0.0.1, or give --allow-remote and put a TLS proxy in front",
            args.listen
        );
    }
    Ok(())
}

/// The data folder, if data is kept, and the values from the environment or the demo. All checks that can fail
/// come before the first file is written: a failed start leaves nothing.
fn folder_and_offer(args: &args::Up, clock: &Clock) -> anyhow::Result<(Option<Folder>, Offered)> {
    let folder = if args.memory {
        None
    } else {
        Some(Folder::chosen(args.data.as_deref(), args.demo)?)
    };
    if let Some(folder) = &folder {
        folder.check(args.demo)?;
    }
    let offered = if args.demo {
        Offered::from_demo()?
    } else {
        Offered::from_environment(clock.now())
    };
    if folder.as_ref().is_none_or(Folder::is_new) {
        offered.check()?;
    }
    Ok((folder, offered))
}

/// Starts the control socket of the data folder, and the maintenance of the local AWS.
fn start_background(
    stack: &LocalStack,
    folder: Option<&Folder>,
    base_url: String,
    background: &mut JoinSet<()>,
) {
    if let Some(folder) = folder {
        match control::listen(folder.path()) {
            Ok(listener) => {
                background.spawn(control::serve(listener, stack.clone(), base_url));
            }
            Err(error) => {
                tracing::warn!(%error, "other spillway commands cannot reach this process");
            }
        }
    }
    let (aws, clock) = (stack.aws().clone(), stack.clock().clone());
    background.spawn(async move {
        aws.run_maintenance(MAINTENANCE_INTERVAL, move || {
            u64::try_from(clock.now().as_millis()).unwrap_or(0)
        })
        .await;
    });
}

/// The proxy's settings on one machine.
fn settings(args: &args::Up) -> anyhow::Result<Settings> {
    let mut settings = Settings {
        keys: CachePolicy {
            revocation_bound: LOCAL_REVOCATION,
            negative: LOCAL_REVOCATION,
            breaker: LOCAL_REVOCATION,
            ..CachePolicy::default()
        },
        // Guessing keys over loopback is no threat, and at 404 Claude Code blames the model.
        unknown_key: match args.unknown_key_status {
            Some(status) => status,
            None => environment::unknown_key()?.unwrap_or(UnknownKey::Unauthorized),
        },
        models: args.models.map(Into::into).unwrap_or_default(),
        ..Settings::default()
    };
    // No gateway in front ends a stream after a quarter of an hour.
    settings.deadlines.total = Duration::from_hours(2);
    settings.policy.apply(&args.policy.0.clone().checked()?);
    settings.plan_url = base_url("--plan-url", &args.plan_url)?;
    settings.bedrock_url = args
        .bedrock_url
        .as_deref()
        .map(|url| base_url("--bedrock-url", url))
        .transpose()?;
    Ok(settings)
}

/// Prints that Spillway is ready. A key that was issued and cannot be shown is revoked: the next start
/// issues another.
async fn show_ready(
    ready: &Ready,
    output: Output,
    issued: Option<KeyId>,
    stack: &LocalStack,
) -> anyhow::Result<()> {
    let text = match output {
        Output::Json => show::to_json(ready)?,
        Output::Table => ready.to_text(),
    };
    match (show::print(&text), issued) {
        (Err(error), Some(key_id)) => {
            first_key::revoke(stack, key_id).await?;
            Err(error).context(
                "the new access key could not be printed and was revoked; start again for another one",
            )
        }
        (Err(error), None) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn base_url(argument: &str, text: &str) -> anyhow::Result<String> {
    parse_base_url(text).with_context(|| {
        format!("{argument} must be a URL such as https://api.anthropic.com, without query or user")
    })
}

/// The signals to stop: interrupt, terminate and hangup. Their handlers are set before the ready line is
/// printed, because a process that reads it may stop Spillway at once.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` when the process was started with hangups ignored, as by `nohup`.
    hangup: Option<Signal>,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let hangup = (!hangup::is_ignored()).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            interrupt,
            terminate,
            hangup: hangup.transpose()?,
        })
    }

    /// Waits for the next one.
    async fn next(&mut self) {
        let Self {
            interrupt,
            terminate,
            hangup,
        } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hung_up => {}
        }
    }
}

/// Serves until a signal to stop, then lets open streams finish, for `drain` at most.
async fn serve(listener: TcpListener, stack: &LocalStack, mut signals: Signals, drain: Duration) {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = serve::serve(listener, stack.router(), Limits::default(), async {
        let _ = stopped.await;
    });
    let mut server = std::pin::pin!(server);
    tokio::select! {
        () = &mut server => return,
        () = signals.next() => {}
    }
    tracing::info!("stopping; open responses may finish");
    let _ = stop.send(());
    tokio::select! {
        finished = timeout(drain, server) => if finished.is_err() {
            tracing::warn!("some responses did not finish in time");
        },
        () = signals.next() => tracing::warn!("stopped at once"),
    }
}

/// Starts the two simulated upstreams.
async fn start_simulators(
    plan_requests: u64,
    background: &mut JoinSet<()>,
) -> anyhow::Result<Demo> {
    let loopback = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // Slow enough to watch the stream.
    let pace = Duration::from_millis(15);
    let options = PlanOptions {
        requests: Some(plan_requests),
        pace,
        ..PlanOptions::default()
    };
    let (plan, serve_plan) = simulators::plan::serve(loopback().await?, options)?;
    let options = BedrockOptions {
        pace,
        ..BedrockOptions::default()
    };
    let (bedrock, serve_bedrock) = simulators::bedrock::serve(loopback().await?, options)?;
    background.spawn(serve_plan);
    background.spawn(serve_bedrock);
    Ok(Demo {
        plan_url: plan.url(),
        bedrock_url: bedrock.url(),
        plan_requests,
    })
}
