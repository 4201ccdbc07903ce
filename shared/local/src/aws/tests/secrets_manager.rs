use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};

use super::{code, memory};

const TOKEN: &str = "11111111-1111-4111-8111-111111111111";

async fn create(client: &Client, name: &str, value: &str) -> (String, String) {
    let created = client
        .create_secret()
        .name(name)
        .secret_string(value)
        .send()
        .await
        .unwrap();
    (created.arn.unwrap(), created.version_id.unwrap())
}

async fn put(client: &Client, id: &str, value: &str) -> String {
    let put = client
        .put_secret_value()
        .secret_id(id)
        .secret_string(value)
        .send()
        .await
        .unwrap();
    put.version_id.unwrap()
}

/// A new value of the secret `s` that is pending; its version.
async fn put_pending(client: &Client) -> String {
    let put = client.put_secret_value().secret_id("s");
    let put = put.secret_string("new").version_stages("AWSPENDING");
    put.send().await.unwrap().version_id.unwrap()
}

async fn staged(client: &Client, id: &str, stage: &str) -> Option<String> {
    let call = client.get_secret_value().secret_id(id).version_stage(stage);
    match call.send().await {
        Ok(value) => value.secret_string,
        Err(error) => {
            let error = error.into_service_error();
            assert!(
                matches!(error, GetSecretValueError::ResourceNotFoundException(_)),
                "{error:?}"
            );
            None
        }
    }
}

async fn assert_staged(client: &Client, stage: &str, value: &str) {
    assert_eq!(staged(client, "s", stage).await.as_deref(), Some(value));
}

#[tokio::test]
async fn a_secret_is_found_by_name_arn_and_partial_arn() {
    let client = memory().secrets_manager();
    let (arn, version) = create(&client, "app/one", "value").await;
    let partial = &arn[..arn.len() - 7];
    for id in ["app/one", &arn, partial] {
        let value = client
            .get_secret_value()
            .secret_id(id)
            .send()
            .await
            .unwrap();
        assert_eq!(value.secret_string.as_deref(), Some("value"), "{id}");
        assert_eq!(value.name.as_deref(), Some("app/one"));
        assert_eq!(value.version_id.as_deref(), Some(version.as_str()));
        assert_eq!(value.version_stages(), ["AWSCURRENT"]);
        assert!(value.created_date.is_some());
    }
    for id in [
        "app",
        "app/on",
        "app/one2",
        &arn[..arn.len() - 8],
        &arn[..arn.len() - 1],
    ] {
        let error = client
            .get_secret_value()
            .secret_id(id)
            .send()
            .await
            .unwrap_err();
        assert!(
            error.into_service_error().is_resource_not_found_exception(),
            "{id}"
        );
    }
}

#[tokio::test]
async fn new_value_is_current_and_the_former_is_previous() {
    let client = memory().secrets_manager();
    let (_, first) = create(&client, "s", "one").await;
    assert_eq!(staged(&client, "s", "AWSPREVIOUS").await, None);
    put(&client, "s", "two").await;
    put(&client, "s", "three").await;
    assert_staged(&client, "AWSCURRENT", "three").await;
    assert_staged(&client, "AWSPREVIOUS", "two").await;
    // The oldest has no label, and is still found by its id.
    let oldest = client
        .get_secret_value()
        .secret_id("s")
        .version_id(first)
        .send()
        .await
        .unwrap();
    assert_eq!(oldest.secret_string.as_deref(), Some("one"));
    assert!(oldest.version_stages().is_empty());
}

#[tokio::test]
async fn pending_value_becomes_current_when_the_label_moves() {
    let client = memory().secrets_manager();
    let (_, current) = create(&client, "s", "old").await;
    let pending = put_pending(&client).await;
    assert_staged(&client, "AWSCURRENT", "old").await;

    let step = || {
        client
            .update_secret_version_stage()
            .secret_id("s")
            .version_stage("AWSCURRENT")
    };
    let error = step()
        .move_to_version_id(&pending)
        .send()
        .await
        .unwrap_err();
    assert!(error.into_service_error().is_invalid_parameter_exception());

    let step = step()
        .move_to_version_id(&pending)
        .remove_from_version_id(&current);
    step.send().await.unwrap();
    assert_staged(&client, "AWSCURRENT", "new").await;
    assert_staged(&client, "AWSPREVIOUS", "old").await;

    let described = client
        .describe_secret()
        .secret_id("s")
        .send()
        .await
        .unwrap();
    let stages = described.version_ids_to_stages.unwrap();
    assert_eq!(stages[&pending], ["AWSPENDING", "AWSCURRENT"]);
    assert_eq!(stages[&current], ["AWSPREVIOUS"]);
}

#[tokio::test]
async fn label_can_be_removed_except_the_current_one() {
    let client = memory().secrets_manager();
    let (_, current) = create(&client, "s", "old").await;
    let pending = put_pending(&client).await;
    let remove = |stage: &str, id: &str| {
        client
            .update_secret_version_stage()
            .secret_id("s")
            .version_stage(stage)
            .remove_from_version_id(id)
            .send()
    };
    remove("AWSPENDING", &pending).await.unwrap();
    assert_eq!(staged(&client, "s", "AWSPENDING").await, None);
    let error = remove("AWSCURRENT", &current).await.unwrap_err();
    assert!(error.into_service_error().is_invalid_parameter_exception());
    let error = remove("AWSPENDING", "22222222-2222-4222-8222-222222222222")
        .await
        .unwrap_err();
    assert!(error.into_service_error().is_resource_not_found_exception());
}

#[tokio::test]
async fn stage_of_another_version_is_rejected() {
    let client = memory().secrets_manager();
    let (_, first) = create(&client, "s", "one").await;
    put(&client, "s", "two").await;
    let call = client.get_secret_value().secret_id("s").version_id(first);
    let error = call.version_stage("AWSCURRENT").send().await.unwrap_err();
    assert!(error.into_service_error().is_invalid_request_exception());
}

#[tokio::test]
async fn repeated_call_changes_nothing_and_a_different_one_is_rejected() {
    let client = memory().secrets_manager();
    let create = |value: &str| {
        client
            .create_secret()
            .name("s")
            .secret_string(value)
            .client_request_token(TOKEN)
            .send()
    };
    let first = create("one").await.unwrap();
    let again = create("one").await.unwrap();
    assert_eq!((first.arn, first.version_id), (again.arn, again.version_id));
    let error = create("two").await.unwrap_err();
    assert!(error.into_service_error().is_resource_exists_exception());

    let put = |value: &str| {
        client
            .put_secret_value()
            .secret_id("s")
            .secret_string(value)
            .client_request_token(TOKEN)
            .send()
    };
    put("one").await.unwrap();
    let error = put("two").await.unwrap_err();
    assert!(error.into_service_error().is_resource_exists_exception());
    assert_staged(&client, "AWSCURRENT", "one").await;
}

#[tokio::test]
async fn binary_values_come_back_as_bytes() {
    let client = memory().secrets_manager();
    let bytes = Blob::new([0, 159, 146, 150]);
    client
        .create_secret()
        .name("s")
        .secret_binary(bytes.clone())
        .send()
        .await
        .unwrap();
    let value = client
        .get_secret_value()
        .secret_id("s")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (value.secret_binary, value.secret_string),
        (Some(bytes), None)
    );
}

#[tokio::test]
async fn secret_without_a_value_has_no_current_version() {
    let client = memory().secrets_manager();
    let created = client
        .create_secret()
        .name("s")
        .description("empty")
        .send()
        .await
        .unwrap();
    assert_eq!(created.version_id, None);
    assert_eq!(staged(&client, "s", "AWSCURRENT").await, None);
    let described = client
        .describe_secret()
        .secret_id("s")
        .send()
        .await
        .unwrap();
    assert_eq!(described.description.as_deref(), Some("empty"));
    put(&client, "s", "now").await;
    assert_staged(&client, "AWSCURRENT", "now").await;
}

#[tokio::test]
async fn invalid_secret_is_rejected() {
    let client = memory().secrets_manager();
    let create = |name: &str| client.create_secret().name(name);
    let both = create("s")
        .secret_string("a")
        .secret_binary(Blob::new("b"))
        .send()
        .await;
    assert_eq!(code(&both.unwrap_err()), "InvalidParameterException");
    let long = create("s").secret_string("x".repeat(65_537)).send().await;
    assert_eq!(code(&long.unwrap_err()), "ValidationException");
    let name = create("with space").secret_string("a").send().await;
    assert_eq!(code(&name.unwrap_err()), "ValidationException");
    let (_, _) = self::create(&client, "s", "a").await;
    let nothing = client.put_secret_value().secret_id("s").send().await;
    assert_eq!(code(&nothing.unwrap_err()), "InvalidRequestException");
}

#[tokio::test]
async fn secrets_are_listed_in_pages_and_by_name_prefix() {
    let client = memory().secrets_manager();
    for number in 0..5 {
        create(&client, &format!("app/{number}"), "v").await;
    }
    create(&client, "other", "v").await;
    let filter = Filter::builder()
        .key(FilterNameStringType::Name)
        .values("app/")
        .build();
    let mut names = Vec::new();
    let mut pages = 0;
    let mut next = None;
    loop {
        let call = client.list_secrets().max_results(2).filters(filter.clone());
        let page = call.set_next_token(next).send().await.unwrap();
        names.extend(
            page.secret_list()
                .iter()
                .map(|entry| entry.name.clone().unwrap()),
        );
        pages += 1;
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(names, ["app/0", "app/1", "app/2", "app/3", "app/4"]);
    assert_eq!(pages, 3);
    let all = client.list_secrets().send().await.unwrap();
    assert_eq!(all.secret_list().len(), 6);
}

#[tokio::test]
async fn number_of_unlabelled_versions_is_bounded() {
    let aws = memory();
    let client = aws.secrets_manager();
    let (_, first) = create(&client, "s", "0").await;
    for number in 1..=102 {
        put(&client, "s", &number.to_string()).await;
    }
    let oldest = client
        .get_secret_value()
        .secret_id("s")
        .version_id(first)
        .send()
        .await;
    assert!(
        oldest
            .unwrap_err()
            .into_service_error()
            .is_resource_not_found_exception()
    );
    assert_staged(&client, "AWSPREVIOUS", "101").await;
}
