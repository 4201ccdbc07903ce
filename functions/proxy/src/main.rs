//! The proxy as a Lambda function behind an API Gateway REST API with response streaming.

use std::sync::Arc;

use proxy::clock::Clock;
use proxy::config::Deployment;
use proxy::{Dependencies, Proxy};
use store::aws::Aws;
use store::secrets::CachedServerSecret;
use store::table::AccessTable;
use store::vault::Opener;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    proxy::log::to_cloudwatch();
    let deployment = Deployment::from_env()?;
    let aws = Aws::new(
        deployment.region,
        deployment.credentials,
        deployment.endpoint_url,
    )?;
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
