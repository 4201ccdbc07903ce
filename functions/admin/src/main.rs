//! The admin function behind `/admin`. Its REST API is not built yet: every response is 501.

use axum::Router;
use http::StatusCode;

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    lambda_http::run(Router::new().fallback(not_yet)).await
}

async fn not_yet() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_IMPLEMENTED,
        "The admin API is not built yet.\n",
    )
}
