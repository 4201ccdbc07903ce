//! The tables and the sealed Bedrock keys, through the serialisers of the AWS SDKs.

use std::collections::HashMap;
use std::time::Duration;

use admin::{AdminError, Command, NewUser, Outcome, Settings};
use aws_sdk_dynamodb::types::AttributeValue;
use domain::bedrock::{BedrockModel, ModelRule};
use domain::bedrock_key::BedrockKey;
use domain::id::{KeyId, UserId};
use domain::time::Timestamp;
use local::{Fault, LocalAws};
use simulators::Step;
use store::vault::{Opener, Owner, Sealed, Sealer, VaultError};
use tests::{BEDROCK_KEY, Streaming, World, message, world};

async fn create_user(world: &World, name: &str) -> UserId {
    let create = Command::CreateUser(NewUser {
        name: name.to_owned(),
        ..NewUser::default()
    });
    let Outcome::UserCreated(user) = world.command(create).await else {
        panic!()
    };
    user.user_id
}

async fn refused(world: &World, command: Command) -> AdminError {
    let now = world.stack.clock().now();
    let key = BedrockKey::parse(BEDROCK_KEY).ok();
    world
        .stack
        .admin()
        .execute(command, key, now)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn users_and_keys_are_listed_in_the_order_of_their_creation() {
    let world = world().await;
    let mut expected = vec![world.key.user_id.clone()];
    for name in ["b", "a", "c"] {
        expected.push(create_user(&world, name).await);
    }
    let Outcome::Users { users } = world.command(Command::ListUsers).await else {
        panic!()
    };
    assert_eq!(
        users
            .iter()
            .map(|user| user.user_id.clone())
            .collect::<Vec<_>>(),
        expected
    );

    let mut keys = vec![world.key.key_id.clone()];
    keys.push(world.key_without_bedrock().await.key_id);
    world
        .command(Command::RevokeKey {
            key_id: keys[1].clone(),
        })
        .await;
    let list = Command::ListKeys {
        user_id: Some(world.key.user_id.clone()),
    };
    let Outcome::Keys { keys: listed } = world.command(list).await else {
        panic!()
    };
    assert_eq!(
        listed
            .iter()
            .map(|key| key.key_id.clone())
            .collect::<Vec<_>>(),
        keys
    );
    let shown = serde_json::to_string(&listed).unwrap();
    assert!(shown.contains(r#""status":"revoked""#), "{shown}");
    assert!(
        shown.contains(r#""bedrock_key_masked":"ABSK…eQ==""#),
        "{shown}"
    );
    assert!(!shown.contains(&world.key.access_key[..20]), "{shown}");
}

#[tokio::test]
async fn missing_user_or_key_is_named_in_the_error() {
    let world = world().await;
    let nobody: UserId = "usr_nobody".parse().unwrap();
    let nothing: KeyId = "key_nothing".parse().unwrap();
    for (command, expected) in [
        (
            Command::IssueKey {
                user_id: nobody.clone(),
                settings: Settings::default(),
            },
            "there is no user usr_nobody",
        ),
        (
            Command::ListKeys {
                user_id: Some(nobody),
            },
            "there is no user usr_nobody",
        ),
        (
            Command::RevokeKey {
                key_id: nothing.clone(),
            },
            "there is no key key_nothing",
        ),
        (
            Command::SetBedrockKey {
                key_id: nothing,
                region: None,
            },
            "there is no key key_nothing",
        ),
        (
            Command::CreateUser(NewUser {
                name: " ".to_owned(),
                ..NewUser::default()
            }),
            "a user's name must be",
        ),
        (
            Command::CreateUser(NewUser {
                name: "x".to_owned(),
                settings: Settings {
                    region: Some("Frankfurt".to_owned()),
                    ..Settings::default()
                },
                ..NewUser::default()
            }),
            "`Frankfurt` is not an AWS region",
        ),
    ] {
        let error = refused(&world, command).await.to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn revoked_key_rejects_a_bedrock_key() {
    let world = world().await;
    let key_id = world.key.key_id.clone();
    world
        .command(Command::RevokeKey {
            key_id: key_id.clone(),
        })
        .await;
    let error = refused(
        &world,
        Command::SetBedrockKey {
            key_id,
            region: None,
        },
    )
    .await;
    assert!(matches!(error, AdminError::KeyRevoked(_)), "{error}");
}

#[tokio::test]
async fn conflicting_transaction_is_retried() {
    let world = world().await;
    let conflict = Fault::TransactionConflict { actions: 1 };
    world
        .stack
        .aws()
        .faults()
        .fail_next("TransactWriteItems", 2, conflict.clone());
    create_user(&world, "patient").await;
    world
        .stack
        .aws()
        .faults()
        .fail_next("TransactWriteItems", 9, conflict);
    let create = Command::CreateUser(NewUser {
        name: "unlucky".to_owned(),
        ..NewUser::default()
    });
    assert!(matches!(
        refused(&world, create).await,
        AdminError::Store(_)
    ));
}

#[tokio::test]
async fn a_bedrock_key_is_stored_sealed() {
    let world = world().await;
    let scan = world
        .stack
        .aws()
        .dynamodb()
        .scan()
        .table_name("spillway-access")
        .send()
        .await
        .unwrap();
    let everything = format!("{:?}", scan.items());
    assert!(everything.contains("ABSK…eQ=="));
    for secret in [BEDROCK_KEY, &world.key.access_key] {
        assert!(!everything.contains(&secret[..16]), "in the clear");
        let bytes = format!("{:?}", secret.as_bytes());
        assert!(
            !everything.contains(&bytes[1..60]),
            "in the clear, as bytes"
        );
    }
}

#[tokio::test]
async fn sealed_bedrock_key_is_decrypted_for_its_key_and_user_only() {
    let aws = LocalAws::memory().unwrap();
    let (key, user) = ids();
    let (other_key, other_user) = ("key_b".parse().unwrap(), "usr_b".parse().unwrap());
    let owner = |key, user| Owner { key, user };
    let sealed = seal(&aws, owner(&key, &user)).await;
    let opener = Opener::new(aws.kms(), aws.kms_key_id());
    let now = Timestamp::from_millis(0);
    for swapped in [owner(&other_key, &user), owner(&key, &other_user)] {
        let decrypted = opener.open(swapped, &sealed, now).await;
        assert!(
            matches!(decrypted, Err(VaultError::CiphertextRejected)),
            "{decrypted:?}"
        );
    }
    let decrypted = opener.open(owner(&key, &user), &sealed, now).await;
    assert_eq!(decrypted.unwrap().expose(), BEDROCK_KEY);
}

fn ids() -> (KeyId, UserId) {
    ("key_a".parse().unwrap(), "usr_a".parse().unwrap())
}

/// The tests' Bedrock key, sealed for this owner under version 1.
async fn seal(aws: &LocalAws, owner: Owner<'_>) -> Sealed {
    let token = BedrockKey::parse(BEDROCK_KEY).unwrap();
    let sealer = Sealer::new(aws.kms(), aws.kms_key_id());
    sealer.seal(owner, &token, "1".to_owned()).await.unwrap()
}

#[tokio::test]
async fn sealed_bedrock_key_is_decrypted_with_the_configured_kms_key_only() {
    let aws = LocalAws::memory().unwrap();
    let (key, user) = ids();
    let owner = Owner {
        key: &key,
        user: &user,
    };
    let sealed = seal(&aws, owner).await;
    let now = Timestamp::from_millis(0);
    let other = Opener::new(aws.kms(), "alias/another-key");
    let opened = other.open(owner, &sealed, now).await;
    assert!(
        matches!(&opened, Err(VaultError::Unavailable { operation: "Decrypt", code }) if code == "NotFoundException"),
        "{opened:?}"
    );
}

#[tokio::test]
async fn sealed_bedrock_key_cannot_be_decrypted_under_another_version() {
    let aws = LocalAws::memory().unwrap();
    let (key, user) = ids();
    let owner = Owner {
        key: &key,
        user: &user,
    };
    let sealed = seal(&aws, owner).await;
    let mut renamed = serde_json::to_value(&sealed).unwrap();
    renamed["version"] = "2".into();
    let renamed: Sealed = serde_json::from_value(renamed).unwrap();
    let opened = Opener::new(aws.kms(), aws.kms_key_id())
        .open(owner, &renamed, Timestamp::from_millis(0))
        .await;
    assert!(
        matches!(opened, Err(VaultError::CiphertextRejected)),
        "{opened:?}"
    );
}

#[tokio::test]
async fn kms_itself_ties_a_data_key_to_the_key_and_the_user() {
    let aws = LocalAws::memory().unwrap();
    let (key, user) = ids();
    let owner = Owner {
        key: &key,
        user: &user,
    };
    let sealed = seal(&aws, owner).await;
    let sealed = serde_json::to_value(&sealed).unwrap();
    let data_key: Vec<u8> = serde_json::from_value(sealed["data_key"].clone()).unwrap();
    let decrypt = |context: &[(&str, &str)]| {
        let mut request = aws.kms().decrypt().ciphertext_blob(data_key.clone().into());
        for (name, value) in context {
            request = request.encryption_context(*name, *value);
        }
        request.send()
    };
    let (of_key, of_user) = (("spillway:key_id", "key_a"), ("spillway:user_id", "usr_a"));
    for incomplete in [
        &[][..],
        &[of_key],
        &[of_user],
        &[of_key, ("spillway:user_id", "usr_b")],
    ] {
        assert!(decrypt(incomplete).await.is_err(), "{incomplete:?}");
    }
    assert!(decrypt(&[of_key, of_user]).await.is_ok());
}

#[tokio::test]
async fn a_server_secret_of_another_form_is_refused_by_name() {
    let aws = LocalAws::memory().unwrap();
    let secrets = aws.secrets_manager();
    for (text, complaint) in [
        ("not json", "must be a JSON object"),
        (
            r#"{"first": "0123456789012345678901234567890123456789"}"#,
            "must be a JSON object",
        ),
        (r#"{"v1": "short"}"#, "shorter than 32 bytes"),
        ("{}", "has no version"),
    ] {
        let id = format!("secret-{}", text.len());
        secrets
            .create_secret()
            .name(&id)
            .secret_string(text)
            .send()
            .await
            .unwrap();
        let error = store::secrets::server_secret(&secrets, &id)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(complaint), "{error}");
        assert!(!error.contains("0123"), "{error}");
    }
    let missing = store::secrets::server_secret(&secrets, "nowhere")
        .await
        .unwrap_err();
    assert_eq!(
        missing.to_string(),
        "there is no secret `nowhere` in Secrets Manager"
    );
}

#[tokio::test]
async fn listings_longer_than_a_page_are_whole() {
    // A page ends at 1 MB.
    let world = world().await;
    let rule = ModelRule {
        requested: "claude-*".to_owned(),
        serve: BedrockModel {
            id: "x".repeat(2000),
            base_model: Some("anthropic.claude-opus-5-5".to_owned()),
        },
    };
    let settings = Settings {
        rules: vec![rule; 150],
        ..Settings::default()
    };
    for _ in 0..5 {
        let user = NewUser {
            name: "long".to_owned(),
            settings: settings.clone(),
            ..NewUser::default()
        };
        world.command(Command::CreateUser(user)).await;
    }
    let Outcome::Users { users } = world.command(Command::ListUsers).await else {
        panic!()
    };
    assert_eq!(users.len(), 6);

    let user_id = world.key.user_id.clone();
    for _ in 0..5 {
        let settings = settings.clone();
        world
            .command(Command::IssueKey {
                user_id: user_id.clone(),
                settings,
            })
            .await;
    }
    let list = Command::ListKeys {
        user_id: Some(user_id),
    };
    let Outcome::Keys { keys } = world.command(list).await else {
        panic!()
    };
    assert_eq!(keys.len(), 6);
    let mut ids: Vec<_> = keys.iter().map(|key| key.key_id.clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

/// The partition of the world's key, in the table.
async fn partition(world: &World) -> String {
    let scan = world.stack.aws().dynamodb().scan();
    let items = scan.table_name("spillway-access").send().await.unwrap();
    let is_key = |item: &&Item| item["sk"].as_s().is_ok_and(|sk| sk == "key");
    let key = items.items().iter().find(is_key).unwrap();
    key["pk"].as_s().unwrap().clone()
}

type Item = HashMap<String, AttributeValue>;

/// Changes an item of the world's key without Spillway, and waits until the cached one expires.
async fn set(world: &World, sk: &str, expression: &str, value: AttributeValue) {
    let update = world.stack.aws().dynamodb().update_item();
    update
        .table_name("spillway-access")
        .key("pk", AttributeValue::S(partition(world).await))
        .key("sk", AttributeValue::S(sk.to_owned()))
        .update_expression(expression)
        .expression_attribute_values(":value", value)
        .send()
        .await
        .unwrap();
    world.pass(Duration::from_mins(1));
}

#[tokio::test]
async fn damaged_bedrock_key_does_not_block_plan() {
    let world = world().await;
    let damaged = AttributeValue::S("damaged".to_owned());
    set(&world, "bedrock_key", "SET sealed = :value", damaged).await;
    assert_eq!(world.upstream().await, "plan; reason=good");

    world.exhaust_plan(1);
    let of_plan = world.ask(&message("hello", Streaming::No)).await;
    assert_eq!(of_plan.header("x-spillway-error"), "bedrock_auth_error");
    let behind_the_breaker = world.ask(&message("hello", Streaming::No)).await;
    let (_, text) = behind_the_breaker.error();
    assert!(text.contains("cannot be opened any more"), "{text}");
    assert_eq!(world.bedrock.requests().len(), 0);
    assert_eq!(world.stack.aws().calls("Decrypt"), 0);

    world.bind(BEDROCK_KEY).await;
    world.pass(Duration::from_hours(1));
    world.exhaust_plan(1);
    let upstream = world.upstream().await;
    assert!(upstream.starts_with("bedrock"), "{upstream}");
}

#[tokio::test]
async fn error_class_of_a_newer_version_does_not_block_plan() {
    let world = world().await;
    let classes =
        ["usage_limit", "a_class_to_come"].map(|class| AttributeValue::S(class.to_owned()));
    let classes = AttributeValue::L(classes.to_vec());
    let policy = AttributeValue::M([("fallback_on".to_owned(), classes)].into());
    set(&world, "key", "SET own.policy = :value", policy).await;
    assert_eq!(world.upstream().await, "plan; reason=good");

    world.plan.script([Step::Overloaded]);
    assert_eq!(world.upstream().await, "plan; reason=overloaded");
    world.exhaust_plan(1);
    let upstream = world.upstream().await;
    assert_eq!(upstream, "bedrock; reason=usage_limit");
}

#[tokio::test]
async fn key_after_a_megabyte_of_breakers_is_found() {
    let world = world().await;
    let pk = partition(&world).await;
    for family in 0..4 {
        let put = world.stack.aws().dynamodb().put_item();
        put.table_name("spillway-access")
            .item("pk", AttributeValue::S(pk.clone()))
            .item("sk", AttributeValue::S(format!("breaker#family#{family}")))
            .item("padding", AttributeValue::S("x".repeat(300_000)))
            .send()
            .await
            .unwrap();
    }
    world.pass(Duration::from_mins(1));
    assert_eq!(world.upstream().await, "plan; reason=good");
}
