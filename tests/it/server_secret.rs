//! Versions of the server secret: new, old and removed.

use std::time::Duration;

use domain::key::AccessKey;
use domain::time::Timestamp;
use local::Fault;
use serde_json::{Value, json};
use spillway::local_stack::SERVER_SECRET;
use store::cache::{AccessCache, CachePolicy};
use store::secrets::CachedServerSecret;
use store::table::AccessTable;
use tests::{World, world};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// An instance that has read the secret at the world's time.
async fn directory(world: &World) -> AccessCache {
    let aws = world.stack.aws();
    let now = world.stack.clock().now();
    let secret = CachedServerSecret::read(aws.secrets_manager(), SERVER_SECRET, now).await;
    let access = AccessTable::new(aws.dynamodb(), "spillway-access");
    AccessCache::new(access, secret.unwrap(), CachePolicy::default())
}

async fn versions(world: &World) -> Value {
    let secrets = world.stack.aws().secrets_manager();
    let secret = secrets.get_secret_value().secret_id(SERVER_SECRET).send();
    serde_json::from_str(secret.await.unwrap().secret_string().unwrap()).unwrap()
}

async fn put(world: &World, versions: &Value) {
    let secrets = world.stack.aws().secrets_manager();
    let put = secrets.put_secret_value().secret_id(SERVER_SECRET);
    put.secret_string(versions.to_string())
        .send()
        .await
        .unwrap();
}

fn queries(world: &World) -> u64 {
    world.stack.aws().calls("Query")
}

async fn is_found(directory: &AccessCache, key: &AccessKey, now: Timestamp) -> bool {
    directory.resolve(key, now).await.unwrap().is_some()
}

#[tokio::test]
async fn key_of_an_older_version_costs_no_read_while_it_is_cached() {
    let world = world().await;
    let mut both = versions(&world).await;
    both["v2"] = json!("another-random-string-of-32-or-more-characters");
    put(&world, &both).await;
    let directory = directory(&world).await;
    let key = AccessKey::parse(&world.key.access_key).unwrap();
    let start = world.stack.clock().now();

    assert!(is_found(&directory, &key, start).await);
    let before = queries(&world);
    for second in 1..60 {
        assert!(is_found(&directory, &key, start.plus(SECOND * second)).await);
    }
    assert_eq!(queries(&world), before);
    assert!(is_found(&directory, &key, start.plus(MINUTE)).await);
    assert_eq!(queries(&world), before + 1, "read again where it was found");

    let down = Fault::InternalServerError;
    world.stack.aws().faults().fail_next("Query", 99, down);
    assert!(is_found(&directory, &key, start.plus(MINUTE + SECOND * 30)).await);
}

#[tokio::test]
async fn key_of_a_new_version_works_within_a_minute_on_a_running_instance() {
    let world = world().await;
    let first = versions(&world).await;
    let key = AccessKey::parse(&world.key.access_key).unwrap();
    // The instance starts with another version; the key's version is added later.
    put(
        &world,
        &json!({ "v9": "some-other-random-string-of-32-characters-or-more" }),
    )
    .await;
    let directory = directory(&world).await;
    let start = world.stack.clock().now();
    let mut both = first.clone();
    both["v9"] = json!("some-other-random-string-of-32-characters-or-more");
    put(&world, &both).await;

    let reads = world.stack.aws().calls("GetSecretValue");
    assert!(!is_found(&directory, &key, start.plus(SECOND * 59)).await);
    assert_eq!(world.stack.aws().calls("GetSecretValue"), reads);
    assert!(is_found(&directory, &key, start.plus(MINUTE)).await);
    assert_eq!(world.stack.aws().calls("GetSecretValue"), reads + 1);
}

#[tokio::test]
async fn unknown_keys_read_the_secret_at_most_once_a_minute() {
    let world = world().await;
    let directory = directory(&world).await;
    let start = world.stack.clock().now();
    let reads = world.stack.aws().calls("GetSecretValue");
    for second in 0..180 {
        let unknown = AccessKey::from_entropy(&[u8::try_from(second).unwrap(); 32]);
        assert!(!is_found(&directory, &unknown, start.plus(SECOND * second)).await);
    }
    assert_eq!(world.stack.aws().calls("GetSecretValue"), reads + 2);
}

#[tokio::test]
async fn key_of_a_removed_version_stops_within_a_quarter_of_an_hour() {
    let world = world().await;
    let directory = directory(&world).await;
    let key = AccessKey::parse(&world.key.access_key).unwrap();
    let start = world.stack.clock().now();
    assert!(is_found(&directory, &key, start).await);
    put(
        &world,
        &json!({ "v2": "another-random-string-of-32-or-more-characters" }),
    )
    .await;
    let mut served = Duration::ZERO;
    while is_found(&directory, &key, start.plus(served)).await {
        served += SECOND * 10;
        assert!(served <= MINUTE * 15, "still served after {served:?}");
    }
}

#[tokio::test]
async fn secrets_manager_that_fails_changes_nothing() {
    let world = world().await;
    let directory = directory(&world).await;
    let key = AccessKey::parse(&world.key.access_key).unwrap();
    let start = world.stack.clock().now();
    let down = Fault::InternalServerError;
    world
        .stack
        .aws()
        .faults()
        .fail_next("GetSecretValue", 99, down);
    for minute in 0..30 {
        assert!(is_found(&directory, &key, start.plus(MINUTE * minute)).await);
    }
}
