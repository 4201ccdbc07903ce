//! The rollup function behind the usage table's stream.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use rollup::NOT_BUILT;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(async |_batch: LambdaEvent<Value>| {
        Err::<Value, _>(NOT_BUILT)
    }))
    .await
}
