//! Changes by an admin: their audit records, the keys they reach, and the values they refuse.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use admin::{
    AdminError, BreakersOf, Command, Invocation, KeyView, NewUser, Outcome, Settings, UserChange,
};
use aws_sdk_dynamodb::types::AttributeValue;
use domain::bedrock_key::BedrockKey;
use domain::id::UserId;
use domain::policy::PolicyChange;
use domain::user::UserStatus;
use local::Fault;
use tests::{BEDROCK_KEY, Streaming, World, message, world};

const MINUTE: Duration = Duration::from_mins(1);

async fn execute(world: &World, command: Command) -> Result<Outcome, AdminError> {
    let key = BedrockKey::parse(BEDROCK_KEY).ok();
    let invocation = Invocation::local("ada", world.now());
    let admin = world.stack.admin();
    admin.execute_as(&invocation, command, key).await
}

fn failures(failures: u32) -> Settings {
    Settings {
        policy: PolicyChange {
            breaker_failures: Some(failures),
            ..PolicyChange::default()
        },
        ..Settings::default()
    }
}

fn update(user_id: &UserId, change: UserChange) -> Command {
    Command::UpdateUser {
        user_id: user_id.clone(),
        change: Box::new(change),
    }
}

fn with_settings(settings: Settings) -> UserChange {
    UserChange {
        settings: Some(settings),
        ..UserChange::default()
    }
}

async fn keys(world: &World) -> Vec<KeyView> {
    let user_id = Some(world.key.user_id.clone());
    let Outcome::Keys { keys } = world.command(Command::ListKeys { user_id }).await else {
        panic!()
    };
    keys
}

/// How many keys have each value of `breaker_failures`.
async fn failures_of_keys(world: &World) -> BTreeMap<Option<u64>, usize> {
    let mut counts = BTreeMap::new();
    for key in keys(world).await {
        let policy = serde_json::to_value(&key.policy).unwrap();
        *counts
            .entry(policy["breaker_failures"].as_u64())
            .or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn interrupted_user_update_reaches_every_key_without_an_override() {
    let world = world().await;
    let user_id = world.key.user_id.clone();
    let issue = |settings| Command::IssueKey {
        user_id: user_id.clone(),
        settings,
    };
    world.command(issue(failures(7))).await;
    for _ in 0..248 {
        world.command(issue(Settings::default())).await;
    }
    assert_eq!(
        failures_of_keys(&world).await,
        [(None, 249), (Some(7), 1)].into()
    );

    let calls = || world.stack.aws().calls("UpdateItem");
    let before = calls();
    let updating = execute(&world, update(&user_id, with_settings(failures(5))));
    let crash = async {
        while calls() < before + 120 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = updating => panic!("250 keys were rewritten by 120 calls"),
        () = crash => {}
    }
    let counts = failures_of_keys(&world).await;
    assert_eq!(counts[&Some(7)], 1);
    assert!((100..=125).contains(&counts[&Some(5)]), "{counts:?}");

    let before = calls();
    world.stack.admin().finish_user_updates().await.unwrap();
    assert_eq!(
        failures_of_keys(&world).await,
        [(Some(5), 249), (Some(7), 1)].into()
    );
    assert!(
        calls() - before < 160,
        "it began anew: {}",
        calls() - before
    );
    let before = calls();
    world.stack.admin().finish_user_updates().await.unwrap();
    assert_eq!(calls(), before, "there is nothing left to rewrite");
}

#[tokio::test]
async fn newer_user_update_is_not_overwritten_by_an_older_one() {
    let world = world().await;
    let user_id = world.key.user_id.clone();
    world
        .stack
        .aws()
        .faults()
        .fail_next("UpdateItem", 9, Fault::InternalServerError);
    let failed = execute(&world, update(&user_id, with_settings(failures(4)))).await;
    assert!(matches!(failed, Err(AdminError::Store(_))), "{failed:?}");
    world.stack.aws().faults().clear();
    world
        .command(update(&user_id, with_settings(failures(6))))
        .await;
    world.stack.admin().finish_user_updates().await.unwrap();
    assert_eq!(failures_of_keys(&world).await, [(Some(6), 1)].into());
}

#[tokio::test]
async fn inactive_user_is_refused_within_the_revocation_bound() {
    let world = world().await;
    let user_id = world.key.user_id.clone();
    assert_eq!(world.upstream().await, "plan; reason=good");
    let status = |status| {
        let change = UserChange {
            status: Some(status),
            ..UserChange::default()
        };
        update(&user_id, change)
    };
    world.command(status(UserStatus::Inactive)).await;
    world.pass(MINUTE);
    let refused = world.ask(&message("hello", Streaming::No)).await;
    assert_eq!(refused.status, 404);
    world.command(status(UserStatus::Active)).await;
    world.pass(MINUTE);
    assert_eq!(world.upstream().await, "plan; reason=good");

    world.command(status(UserStatus::Deleted)).await;
    let error = execute(&world, status(UserStatus::Active))
        .await
        .unwrap_err();
    assert!(matches!(error, AdminError::UserDeleted(_)), "{error}");
    let issue = Command::IssueKey {
        user_id,
        settings: Settings::default(),
    };
    let error = execute(&world, issue).await.unwrap_err();
    assert!(matches!(error, AdminError::UserNotActive(_)), "{error}");
}

#[tokio::test]
async fn user_update_that_contradicts_a_key_is_refused() {
    let world = world().await;
    let arn = "arn:aws:bedrock:ap-northeast-2:000000000000:inference-profile/\
               global.anthropic.claude-sonnet-4-5-20250929-v1:0";
    let settings = Settings {
        model: Some(domain::bedrock::BedrockModel::named(arn)),
        ..Settings::default()
    };
    let user_id = world.key.user_id.clone();
    world
        .command(Command::IssueKey {
            user_id: user_id.clone(),
            settings,
        })
        .await;
    let elsewhere = Settings {
        region: Some("eu-central-1".to_owned()),
        ..Settings::default()
    };
    let error = execute(&world, update(&user_id, with_settings(elsewhere)))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("the key key_"), "{error}");
}

type Item = HashMap<String, AttributeValue>;

async fn items(world: &World) -> Vec<Item> {
    let scan = world.stack.aws().dynamodb().scan();
    let output = scan.table_name("spillway-access").send().await.unwrap();
    output.items.unwrap()
}

/// The audit records, oldest first.
async fn audit(world: &World) -> Vec<Item> {
    let is_audit = |item: &Item| item["pk"].as_s().unwrap().starts_with("audit#");
    let mut records: Vec<_> = items(world).await.into_iter().filter(is_audit).collect();
    records.sort_by_key(|item| item["sk"].as_s().unwrap().clone());
    records
}

fn text<'i>(item: &'i Item, name: &str) -> &'i str {
    item.get(name).map_or("", |value| value.as_s().unwrap())
}

#[tokio::test]
async fn every_change_writes_its_audit_record_without_secrets() {
    let world = world().await;
    let before = audit(&world).await.len();
    let (user_id, key_id) = (world.key.user_id.clone(), world.key.key_id.clone());
    world.exhaust_plan(1);
    world.upstream().await;
    for command in [
        update(&user_id, with_settings(failures(4))),
        Command::SetBedrockKey {
            key_id: key_id.clone(),
            region: Some("eu-central-1".to_owned()),
        },
        Command::ResetBreakers {
            of: BreakersOf::Key(key_id.clone()),
        },
        Command::RemoveBedrockKey {
            key_id: key_id.clone(),
        },
        Command::RevokeKey {
            key_id: key_id.clone(),
        },
    ] {
        world.pass(Duration::from_secs(1));
        execute(&world, command).await.unwrap();
    }
    let records = audit(&world).await;
    let actions: Vec<_> = records
        .iter()
        .map(|record| text(record, "action"))
        .collect();
    assert_eq!(
        actions[before..],
        [
            "user.update",
            "bedrock_key.register",
            "breaker.reset",
            "bedrock_key.remove",
            "key.revoke"
        ]
    );
    for record in &records[before..] {
        assert_eq!(text(record, "caller"), "local:ada");
        assert!(text(record, "request_id").starts_with("req_"), "{record:?}");
        assert_ne!(text(record, "before"), text(record, "after"), "{record:?}");
    }
    let revoked = &records[records.len() - 1];
    assert_eq!(text(revoked, "target"), key_id.as_str());
    assert!(text(revoked, "before").contains(r#""status":"active""#));
    assert!(text(revoked, "after").contains(r#""status":"revoked""#));
    let everything = format!("{records:?}");
    assert!(everything.contains("ABSK…eQ=="));
    for secret in [BEDROCK_KEY, &world.key.access_key] {
        assert!(!everything.contains(&secret[..16]));
    }
}

#[tokio::test]
async fn change_that_is_not_made_leaves_no_audit_record() {
    let world = world().await;
    let key_id = world.key_without_bedrock().await.key_id;
    let before = audit(&world).await.len();
    let error = execute(&world, Command::RemoveBedrockKey { key_id })
        .await
        .unwrap_err();
    assert!(
        matches!(error, AdminError::NoRegisteredBedrockKey(_)),
        "{error}"
    );
    assert_eq!(audit(&world).await.len(), before);
}

#[tokio::test]
async fn row_of_another_schema_version_is_refused_with_advice() {
    for (expression, advice) in [
        (
            "REMOVE #schema",
            "a stored user cannot be read: an earlier, unreleased version of Spillway wrote it; \
             remove the data folder (in AWS: the table), and create users and keys anew",
        ),
        (
            "SET #schema = :next",
            "a stored user cannot be read: it has schema version 2 and this version of Spillway \
             reads 1; use the version of Spillway that wrote it",
        ),
    ] {
        let world = world().await;
        let user = items(&world).await;
        let user = user.iter().find(|item| text(item, "sk") == "user").unwrap();
        let mut update = world
            .stack
            .aws()
            .dynamodb()
            .update_item()
            .table_name("spillway-access")
            .key("pk", user["pk"].clone())
            .key("sk", user["sk"].clone())
            .update_expression(expression)
            .expression_attribute_names("#schema", "schema");
        if expression.contains(":next") {
            let next = AttributeValue::N("2".to_owned());
            update = update.expression_attribute_values(":next", next);
        }
        update.send().await.unwrap();
        let error = execute(&world, Command::ListUsers).await.unwrap_err();
        assert_eq!(error.to_string(), advice);
    }
}

#[tokio::test]
async fn team_and_description_are_bounded_and_printable() {
    let world = world().await;
    let team = |team: &str| NewUser {
        name: "one".to_owned(),
        team: Some(team.to_owned()),
        ..NewUser::default()
    };
    let description = |description: String| NewUser {
        name: "one".to_owned(),
        description: Some(description),
        ..NewUser::default()
    };
    for (new, refusal) in [
        (team("a#b"), "a team must not contain `#`"),
        (team("a\nb"), "a team must be 1 to 64 printable characters"),
        (
            team(&"x".repeat(65)),
            "a team must be 1 to 64 printable characters",
        ),
        (
            description("x".repeat(257)),
            "a description must be 1 to 256 printable characters",
        ),
    ] {
        let error = execute(&world, Command::CreateUser(new)).await.unwrap_err();
        assert_eq!(error.to_string(), refusal);
    }
    for new in [team(&"é".repeat(64)), description("x".repeat(256))] {
        execute(&world, Command::CreateUser(new)).await.unwrap();
    }
}
