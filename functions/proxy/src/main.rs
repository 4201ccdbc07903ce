//! The proxy as a Lambda function behind an API Gateway REST API with response streaming.

use std::sync::Arc;

use proxy::config::Deployment;
use proxy::{Dependencies, Proxy};
use service::aws::Aws;
use service::clock::Clock;
use service::environment::Environment;
use store::secrets::CachedServerSecret;
use store::table::AccessTable;
use store::vault::Opener;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    service::log::start_json();
    let deployment = Deployment::read(&Environment::of_process())?;
    let aws = Aws::new(deployment.aws)?;
    let secrets = aws.secrets_manager();
    let plan_key = match &deployment.plan_key_secret {
        Some(id) => Some(store::secrets::value(&secrets, id).await?),
        None => None,
    };
    let clock = Clock::system();
    let server_secret =
        CachedServerSecret::read(secrets, deployment.server_secret, clock.now()).await?;
    let dependencies = Dependencies {
        access: AccessTable::new(aws.dynamodb(), deployment.access_table),
        server_secret,
        opener: Opener::new(aws.kms(), deployment.kms_key),
        plan_key,
        aws_http: aws.http(),
        clock,
    };
    let proxy = Proxy::new(deployment.settings, dependencies)?;
    proxy::lambda::run(Arc::new(proxy)).await
}
