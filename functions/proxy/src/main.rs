//! The proxy as a Lambda function behind an API Gateway REST API with response streaming.

use std::sync::Arc;

use axum::middleware::map_response;
use axum::response::Response;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName};
use lambda_http::run_with_streaming_response;
use proxy::clock::Clock;
use proxy::config::Deployment;
use proxy::{Parts, Proxy};
use store::access::AccessTable;
use store::aws::Aws;
use store::server_secret::CachedServerSecret;
use store::vault::Opener;

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
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
    let parts = Parts {
        access: AccessTable::new(aws.dynamodb(), deployment.access_table),
        server_secret,
        opener: Opener::new(aws.kms()),
        plan_key,
        aws_http: aws.http(),
        clock,
    };
    let proxy = Proxy::new(deployment.settings, parts)?;
    let router = proxy::router(Arc::new(proxy)).layer(map_response(for_api_gateway));
    run_with_streaming_response(router).await
}

/// API Gateway frames the body itself, and answers 502 to a header with two values.
async fn for_api_gateway(mut response: Response) -> Response {
    response.headers_mut().remove(CONTENT_LENGTH);
    let single = response
        .headers()
        .iter()
        .fold(HeaderMap::new(), |mut single, (name, value)| {
            if *name == http::header::SET_COOKIE {
                single.append(HeaderName::clone(name), value.clone());
            } else {
                single.insert(HeaderName::clone(name), value.clone());
            }
            single
        });
    *response.headers_mut() = single;
    response
}
