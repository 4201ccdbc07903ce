//! Everything together: the functions over the AWS of one machine.
//!
//! No function knows that it is not in the cloud: it is handed clients and settings, here as there.

use std::sync::Arc;

use admin::Admin;
use anyhow::Context as _;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use local::LocalAws;
use proxy::clock::Clock;
use proxy::config::Settings;
use proxy::{Dependencies, Proxy};
use ring::rand::{SecureRandom as _, SystemRandom};
use store::layout;
use store::secrets::{CachedServerSecret, ensure_server_secret};
use store::table::AccessTable;
use store::vault::{Opener, Sealer};

/// What the server secret is called on one machine.
pub const SERVER_SECRET: &str = "spillway/server-secret";

/// Spillway on one machine, not listening yet.
#[derive(Clone, Debug)]
pub struct House {
    aws: LocalAws,
    admin: Arc<Admin>,
    proxy: Arc<Proxy>,
    clock: Clock,
}

impl House {
    /// Makes what is missing in this AWS (tables, server secret), and puts the functions over it.
    /// `bedrock_http` carries the calls to the Bedrock Runtime.
    ///
    /// # Errors
    /// When the embedded AWS fails, or TLS cannot be set up.
    pub async fn open(
        aws: LocalAws,
        settings: Settings,
        bedrock_http: SharedHttpClient,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let dynamodb = aws.dynamodb();
        for table in layout::TABLES {
            layout::create(&dynamodb, table, table.default_name)
                .await
                .context("the tables could not be created")?;
        }
        let mut random = [0; 32];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| anyhow::anyhow!("no random bytes from the operating system"))?;
        let secrets = aws.secrets_manager();
        let for_admin = ensure_server_secret(&secrets, SERVER_SECRET, &random).await?;
        let for_proxy = CachedServerSecret::read(secrets, SERVER_SECRET, clock.now()).await?;
        let access = AccessTable::new(dynamodb, layout::ACCESS.default_name);
        let admin = Admin {
            access: access.clone(),
            server_secret: for_admin,
            sealer: Sealer::new(aws.kms(), aws.kms_key_id()),
        };
        let dependencies = Dependencies {
            access,
            server_secret: for_proxy,
            opener: Opener::new(aws.kms(), aws.kms_key_id()),
            plan_key: None,
            aws_http: bedrock_http,
            clock: clock.clone(),
        };
        let proxy = Proxy::new(settings, dependencies)?;
        Ok(Self {
            aws,
            admin: Arc::new(admin),
            proxy: Arc::new(proxy),
            clock,
        })
    }

    /// What the house serves.
    pub fn router(&self) -> axum::Router {
        proxy::router(Arc::clone(&self.proxy))
    }

    /// The proxy that it serves.
    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    /// Its administration.
    pub fn admin(&self) -> &Arc<Admin> {
        &self.admin
    }

    /// Its AWS.
    pub fn aws(&self) -> &LocalAws {
        &self.aws
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}
