use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, ConditionCheck, KeySchemaElement, KeyType,
    Put, ReturnValuesOnConditionCheckFailure, ScalarAttributeType, StreamSpecification,
    StreamViewType, TimeToLiveSpecification, TransactWriteItem, Update,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::super::LocalAws;
use super::{code, memory};

pub(super) async fn make_table(aws: &LocalAws, name: &str) {
    let attribute = AttributeDefinition::builder()
        .attribute_name("pk")
        .attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder()
        .attribute_name("pk")
        .key_type(KeyType::Hash);
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewAndOldImages);
    aws.dynamodb()
        .create_table()
        .table_name(name)
        .attribute_definitions(attribute.build().unwrap())
        .key_schema(key.build().unwrap())
        .billing_mode(BillingMode::PayPerRequest)
        .stream_specification(stream.build().unwrap())
        .send()
        .await
        .unwrap();
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) async fn put(
    aws: &LocalAws,
    table: &str,
    key: &str,
    value: &str,
) -> Result<(), SdkError<PutItemError, HttpResponse>> {
    let call = aws
        .dynamodb()
        .put_item()
        .table_name(table)
        .item("pk", text(key));
    call.item("v", text(value)).send().await.map(drop)
}

pub(super) async fn get(aws: &LocalAws, table: &str, key: &str) -> Option<String> {
    let call = aws
        .dynamodb()
        .get_item()
        .table_name(table)
        .key("pk", text(key));
    let item = call.consistent_read(true).send().await.unwrap().item?;
    Some(item["v"].as_s().unwrap().clone())
}

fn put_once(table: &str, key: &str) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(table)
        .item("pk", text(key))
        .item("v", text("x"));
    let put = put
        .condition_expression("attribute_not_exists(pk)")
        .build()
        .unwrap();
    TransactWriteItem::builder().put(put).build()
}

fn add_one(table: &str, key: &str) -> TransactWriteItem {
    let update = Update::builder().table_name(table).key("pk", text(key));
    let update = update.update_expression("ADD n :one");
    let update = update.expression_attribute_values(":one", AttributeValue::N("1".into()));
    TransactWriteItem::builder()
        .update(update.build().unwrap())
        .build()
}

#[tokio::test]
async fn a_condition_that_fails_is_a_typed_error_with_the_item() {
    let aws = memory();
    make_table(&aws, "items").await;
    put(&aws, "items", "a", "1").await.unwrap();
    let again = aws
        .dynamodb()
        .put_item()
        .table_name("items")
        .item("pk", text("a"));
    let again = again.condition_expression("attribute_not_exists(pk)");
    let again =
        again.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    match again.send().await.unwrap_err().into_service_error() {
        PutItemError::ConditionalCheckFailedException(failed) => {
            assert_eq!(failed.item.unwrap()["v"], text("1"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        aws.calls("PutItem"),
        2,
        "the SDK does not repeat what cannot succeed"
    );
}

#[tokio::test]
async fn transaction_is_atomic() {
    let aws = memory();
    make_table(&aws, "items").await;
    put(&aws, "items", "taken", "1").await.unwrap();
    let call = aws.dynamodb().transact_write_items();
    let call = call.transact_items(put_once("items", "new"));
    let call = call.transact_items(put_once("items", "taken"));
    let error = call
        .transact_items(add_one("items", "count"))
        .send()
        .await
        .unwrap_err();
    let error = error.into_service_error();
    let reasons: Vec<_> = match &error {
        aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(canceled) => {
            canceled.cancellation_reasons().iter().map(|reason| reason.code.clone().unwrap()).collect()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(reasons, ["None", "ConditionalCheckFailed", "None"]);
    assert_eq!(get(&aws, "items", "new").await, None);
    let count = aws
        .dynamodb()
        .get_item()
        .table_name("items")
        .key("pk", text("count"));
    assert!(count.send().await.unwrap().item.is_none());
}

#[tokio::test]
async fn a_condition_check_guards_a_transaction() {
    let aws = memory();
    make_table(&aws, "items").await;
    let guard = || {
        let check = ConditionCheck::builder()
            .table_name("items")
            .key("pk", text("guard"));
        let check = check
            .condition_expression("attribute_exists(pk)")
            .build()
            .unwrap();
        TransactWriteItem::builder().condition_check(check).build()
    };
    let attempt = || {
        let call = aws
            .dynamodb()
            .transact_write_items()
            .transact_items(guard());
        call.transact_items(put_once("items", "guarded")).send()
    };
    assert_eq!(
        code(&attempt().await.unwrap_err()),
        "TransactionCanceledException"
    );
    put(&aws, "items", "guard", "1").await.unwrap();
    attempt().await.unwrap();
    assert_eq!(get(&aws, "items", "guarded").await.as_deref(), Some("x"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_concurrent_conditional_writes_succeeds() {
    let aws = memory();
    make_table(&aws, "items").await;
    let attempts = (0..16).map(|_| {
        let call = aws
            .dynamodb()
            .transact_write_items()
            .transact_items(put_once("items", "one"));
        call.transact_items(add_one("items", "count")).send()
    });
    let outcomes = futures_util::future::join_all(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let count = aws
        .dynamodb()
        .get_item()
        .table_name("items")
        .key("pk", text("count"));
    let count = count.send().await.unwrap().item.unwrap();
    assert_eq!(count["n"], AttributeValue::N("1".into()));
}

#[tokio::test]
async fn invalid_call_is_rejected_with_dynamodbs_error_name() {
    let aws = memory();
    let missing = aws
        .dynamodb()
        .get_item()
        .table_name("nowhere")
        .key("pk", text("a"));
    let error = missing.send().await.unwrap_err().into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");

    make_table(&aws, "items").await;
    // `total` is a reserved word.
    let reserved = aws
        .dynamodb()
        .update_item()
        .table_name("items")
        .key("pk", text("a"));
    let reserved = reserved.update_expression("SET total = :v");
    let reserved = reserved
        .expression_attribute_values(":v", text("1"))
        .send()
        .await;
    let error = reserved.unwrap_err();
    assert_eq!(code(&error), "ValidationException");
    assert!(
        error.message().unwrap().contains("reserved keyword"),
        "{error:?}"
    );

    // A key of the wrong shape fails while the request is parsed, with DynamoDB's error.
    let unreadable = aws
        .dynamodb()
        .put_item()
        .table_name("items")
        .item("pk", AttributeValue::Ns(vec![]));
    let error = unreadable.send().await.unwrap_err();
    assert_eq!(code(&error), "ValidationException");
    assert!(
        !error.message().unwrap().contains("VALIDATION"),
        "{error:?}"
    );
    assert!(!error.message().unwrap().contains("line 1"), "{error:?}");

    let backup = aws
        .dynamodb()
        .describe_continuous_backups()
        .table_name("items")
        .send()
        .await;
    assert_eq!(code(&backup.unwrap_err()), "UnknownOperationException");
}

/// Calls an operation as the streams' client would.
async fn streams(aws: &LocalAws, operation: &str, input: Value) -> Value {
    use aws_smithy_runtime_api::client::http::HttpConnector as _;
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    let mut request = HttpRequest::new(input.to_string().into());
    let target = format!("DynamoDBStreams_20120810.{operation}");
    request.headers_mut().insert("x-amz-target", target);
    let response = aws.connector.call(request).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    serde_json::from_slice(response.body().bytes().unwrap()).unwrap()
}

async fn stream_records(aws: &LocalAws) -> Vec<Value> {
    let listed = streams(aws, "ListStreams", json!({})).await;
    let stream = &listed["Streams"][0]["StreamArn"];
    let described = streams(aws, "DescribeStream", json!({ "StreamArn": stream })).await;
    let shard = &described["StreamDescription"]["Shards"][0]["ShardId"];
    let iterator = streams(
        aws,
        "GetShardIterator",
        json!({
            "StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON",
        }),
    )
    .await;
    let records = streams(
        aws,
        "GetRecords",
        json!({ "ShardIterator": iterator["ShardIterator"] }),
    )
    .await;
    records["Records"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_write_of_a_streamed_table_is_in_its_stream() {
    let aws = memory();
    make_table(&aws, "items").await;
    put(&aws, "items", "a", "1").await.unwrap();
    put(&aws, "items", "a", "2").await.unwrap();
    let names: Vec<_> = stream_records(&aws)
        .await
        .iter()
        .map(|record| record["eventName"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["INSERT", "MODIFY"]);
}

fn now_ms() -> u64 {
    crate::clock::now_ms()
}

const HOUR_MS: u64 = 60 * 60 * 1000;

#[tokio::test]
async fn stream_records_are_kept_for_a_day_and_numbers_continue() {
    for aws in [
        memory(),
        LocalAws::open(&tempdir().unwrap().keep()).unwrap(),
    ] {
        make_table(&aws, "items").await;
        put(&aws, "items", "a", "1").await.unwrap();
        let first = stream_records(&aws).await[0]["dynamodb"]["SequenceNumber"].clone();

        let stats = aws.maintain(now_ms() + 23 * HOUR_MS).await.unwrap();
        assert_eq!(stats.stream_records, 0);
        let stats = aws.maintain(now_ms() + 25 * HOUR_MS).await.unwrap();
        assert_eq!(stats.stream_records, 1);
        assert!(stats.is_log_checkpointed);
        assert!(stream_records(&aws).await.is_empty());

        put(&aws, "items", "a", "2").await.unwrap();
        let next = stream_records(&aws).await[0]["dynamodb"]["SequenceNumber"].clone();
        let number = |value: &Value| value.as_str().unwrap().parse::<u128>().unwrap();
        assert!(number(&next) > number(&first));
        if let Some(folder) = aws.folder().map(std::path::Path::to_owned) {
            drop(aws);
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

#[tokio::test]
async fn expired_items_are_deleted() {
    let aws = memory();
    make_table(&aws, "items").await;
    let ttl = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name("expires");
    let call = aws.dynamodb().update_time_to_live().table_name("items");
    call.time_to_live_specification(ttl.build().unwrap())
        .send()
        .await
        .unwrap();
    let now_s = now_ms() / 1000;
    for (key, expires) in [("old", now_s - 10), ("young", now_s + 3600)] {
        let call = aws
            .dynamodb()
            .put_item()
            .table_name("items")
            .item("pk", text(key));
        let call = call.item("v", text("1"));
        call.item("expires", AttributeValue::N(expires.to_string()))
            .send()
            .await
            .unwrap();
    }
    assert_eq!(aws.maintain(now_ms()).await.unwrap().expired_items, 1);
    assert_eq!(get(&aws, "items", "old").await, None);
    assert_eq!(get(&aws, "items", "young").await.as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn maintenance_runs_after_each_interval() {
    let aws = memory();
    make_table(&aws, "items").await;
    let rounds = std::cell::Cell::new(0_u64);
    let now = || {
        rounds.set(rounds.get() + 1);
        now_ms() + 48 * HOUR_MS
    };
    let keeper = aws.run_maintenance(Duration::from_mins(1), now);
    let work = async {
        for number in 1..=3 {
            put(&aws, "items", "a", &number.to_string()).await.unwrap();
            while !stream_records(&aws).await.is_empty() {
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        }
    };
    tokio::select! {
        () = keeper => unreachable!("it never ends"),
        () = work => {}
    }
    assert!(rounds.get() >= 3);
}

/// Maintenance uses dynoxide's own table. This test fails when a new version changes its layout; then
/// `dynamodb.rs` must be adapted.
#[tokio::test]
async fn stream_record_table_has_the_layout_that_maintenance_expects() {
    let folder = tempdir().unwrap();
    let aws = LocalAws::open(folder.path()).unwrap();
    make_table(&aws, "items").await;
    put(&aws, "items", "a", "1").await.unwrap();
    let connection = Connection::open(folder.path().join("dynamodb.sqlite")).unwrap();
    let mut columns = connection
        .prepare("PRAGMA table_info(_stream_records)")
        .unwrap();
    let columns: Vec<String> = columns
        .query_map([], |row| {
            Ok(format!(
                "{} {}",
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?
            ))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    insta::assert_snapshot!(columns.join("\n"), @"
    id INTEGER
    table_name TEXT
    event_name TEXT
    keys_json TEXT
    new_image TEXT
    old_image TEXT
    sequence_number TEXT
    shard_id TEXT
    created_at INTEGER
    user_identity TEXT
    event_id TEXT
    ");

    // In seconds since the epoch: `trim_streams` compares with it.
    let created_at: i64 = connection
        .query_row("SELECT created_at FROM _stream_records", [], |row| {
            row.get(0)
        })
        .unwrap();
    let now_s = i64::try_from(now_ms() / 1000).unwrap();
    assert!(
        (now_s - 60..=now_s + 60).contains(&created_at),
        "{created_at}"
    );

    // The query of dynoxide at every write.
    let plan: String = connection
        .query_row(
            "EXPLAIN QUERY PLAN SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1
             FROM _stream_records WHERE table_name = 'items'",
            [],
            |row| row.get(3),
        )
        .unwrap();
    assert!(plan.contains("spillway_stream_sequence"), "{plan}");
}

/// With the index the time of a write does not grow with the number of records; without it, a hundred thousand
/// records made a write forty times slower.
#[tokio::test]
async fn write_reads_no_old_stream_records() {
    let aws = memory();
    make_table(&aws, "items").await;
    put(&aws, "items", "a", "1").await.unwrap();
    let connection = aws.connector.services().dynamodb.connection().unwrap();
    let steps = |connection: &Connection| -> i32 {
        let mut statement = connection
            .prepare(
                "SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1
                 FROM _stream_records WHERE table_name = 'items'",
            )
            .unwrap();
        let _: i64 = statement.query_row([], |row| row.get(0)).unwrap();
        statement.get_status(rusqlite::StatementStatus::VmStep)
    };
    let few = steps(&connection);
    connection
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
             INSERT INTO _stream_records
                 (table_name, event_name, keys_json, sequence_number, shard_id, created_at)
             SELECT 'items', 'INSERT', '{}', 9000000000000000 + i, 's', 0 FROM n",
        )
        .unwrap();
    assert!(steps(&connection) < few + 20);
    put(&aws, "items", "a", "2").await.unwrap();
}
