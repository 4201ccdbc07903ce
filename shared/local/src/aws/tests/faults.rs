use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use aws_smithy_runtime_api::client::result::SdkError;

use super::dynamodb::{get, make_table, put};
use super::{code, memory};
use crate::faults::Fault;

#[tokio::test]
async fn a_throttled_call_succeeds_at_the_sdks_next_attempt() {
    let aws = memory();
    make_table(&aws, "items").await;
    for fault in [
        Fault::Throttling,
        Fault::ProvisionedThroughputExceeded,
        Fault::InternalServerError,
    ] {
        let before = aws.calls("PutItem");
        aws.faults().fail_next("PutItem", 2, fault.clone());
        put(&aws, "items", "a", "1").await.unwrap();
        assert_eq!(aws.calls("PutItem") - before, 3, "{fault:?}");
        assert_eq!(aws.faults().pending(), 0);
    }
}

#[tokio::test]
async fn call_that_fails_at_every_attempt_is_a_typed_error() {
    let aws = memory();
    make_table(&aws, "items").await;
    for (fault, expected) in [
        (Fault::Throttling, "ThrottlingException"),
        (
            Fault::ProvisionedThroughputExceeded,
            "ProvisionedThroughputExceededException",
        ),
        (Fault::InternalServerError, "InternalServerError"),
        (
            Fault::Error {
                status: 400,
                name: "AccessDeniedException",
                message: "no".into(),
            },
            "AccessDeniedException",
        ),
    ] {
        aws.faults().fail_next("PutItem", 3, fault);
        let error = put(&aws, "items", "a", "1").await.unwrap_err();
        assert_eq!(code(&error), expected);
        aws.faults().clear();
    }
    assert_eq!(get(&aws, "items", "a").await, None);
}

#[tokio::test]
async fn a_transaction_conflict_has_a_reason_for_each_action() {
    let aws = memory();
    make_table(&aws, "items").await;
    aws.faults().fail_next(
        "TransactWriteItems",
        1,
        Fault::TransactionConflict { actions: 2 },
    );
    let write = |key: &str| {
        let put = Put::builder()
            .table_name("items")
            .item("pk", AttributeValue::S(key.into()));
        TransactWriteItem::builder()
            .put(put.build().unwrap())
            .build()
    };
    let call = || {
        let call = aws
            .dynamodb()
            .transact_write_items()
            .transact_items(write("a"));
        call.transact_items(write("b")).send()
    };
    let error = call().await.unwrap_err().into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        panic!("{error:?}")
    };
    let reasons: Vec<_> = canceled
        .cancellation_reasons()
        .iter()
        .map(|reason| reason.code.as_deref())
        .collect();
    assert_eq!(reasons, [Some("TransactionConflict"), Some("None")]);
    assert_eq!(
        aws.calls("TransactWriteItems"),
        1,
        "the SDK leaves this to its caller"
    );
    call().await.unwrap();
}

#[tokio::test]
async fn lost_response_is_retried_after_the_write_was_made() {
    let aws = memory();
    make_table(&aws, "items").await;
    aws.faults().fail_next("PutItem", 3, Fault::ResponseLost);
    let error = put(&aws, "items", "a", "1").await.unwrap_err();
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    assert_eq!(get(&aws, "items", "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn timeout_fault_is_immediate_and_prevents_the_write() {
    let aws = memory();
    make_table(&aws, "items").await;
    aws.faults().fail_next("PutItem", 3, Fault::Timeout);
    let error = put(&aws, "items", "a", "1").await.unwrap_err();
    assert!(
        matches!(&error, SdkError::DispatchFailure(failure) if failure.is_timeout()),
        "{error:?}"
    );
    assert_eq!(get(&aws, "items", "a").await, None);
}

#[tokio::test]
async fn hanging_call_ends_at_the_callers_timeout() {
    let aws = memory();
    make_table(&aws, "items").await;
    aws.faults().fail_next("PutItem", 1, Fault::Hang);
    let waiting = tokio::time::timeout(Duration::from_millis(50), put(&aws, "items", "a", "1"));
    assert!(waiting.await.is_err());
    put(&aws, "items", "a", "2").await.unwrap();
}

#[tokio::test]
async fn fault_of_one_operation_does_not_affect_others() {
    let aws = memory();
    aws.faults()
        .fail_next("Decrypt", 9, Fault::InternalServerError);
    make_table(&aws, "items").await;
    put(&aws, "items", "a", "1").await.unwrap();
    assert_eq!(aws.faults().pending(), 9);
    aws.faults().clear();
    assert_eq!(aws.faults().pending(), 0);
}
