//! Selection of the model that serves a request.

use dialect::model::{
    ClaudeName, Effort, Family, TargetWarning, ThinkingKinds, bedrock_id, foundation_id, resolve,
};
use domain::bedrock::{BedrockModel, BedrockSettings, ModelMap, ModelPreset, ModelRule};

const ARN: &str =
    "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abcdefgh1234";

fn settings(region: &str, rules: &[(&str, BedrockModel)]) -> BedrockSettings {
    let rules = rules.iter().map(|(requested, serve)| ModelRule {
        requested: (*requested).to_owned(),
        serve: serve.clone(),
    });
    BedrockSettings {
        region: region.to_owned(),
        models: ModelMap {
            rules: rules.collect(),
            ..ModelMap::default()
        },
        ..BedrockSettings::default()
    }
}

#[test]
fn default_model_is_used_without_a_matching_rule() {
    for requested in [
        "claude-opus-5-5",
        "claude-haiku-9",
        "gpt-4",
        "",
        "claude-sonnet-5-5[1m]",
    ] {
        let target = resolve(requested, &BedrockSettings::default());
        assert_eq!(
            target.model_id,
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
        );
        assert_eq!(target.warning, None);
    }
}

#[test]
fn first_matching_rule_is_used_in_every_spelling() {
    let settings = settings(
        "us-east-1",
        &[
            (
                "claude-opus-4-*",
                BedrockModel::named("us.anthropic.claude-opus-4-6-v1"),
            ),
            (
                "claude-opus-*",
                BedrockModel::named("us.anthropic.claude-opus-5-5"),
            ),
            (
                "*haiku*",
                BedrockModel::named("us.anthropic.claude-haiku-4-5-20251001-v1:0"),
            ),
            (
                "claude-sonnet-4-5",
                BedrockModel::named("us.anthropic.claude-sonnet-4-6"),
            ),
        ],
    );
    for (requested, served) in [
        (
            "claude-opus-4-1@20250805",
            "us.anthropic.claude-opus-4-6-v1",
        ),
        ("Claude-Opus-5-5[1m]", "us.anthropic.claude-opus-5-5"),
        (
            "claude-3-5-haiku-latest",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
        (
            "claude-sonnet-4-5-20250929",
            "us.anthropic.claude-sonnet-4-6",
        ),
        (
            "claude-sonnet-4-5-20250929[1m]",
            "us.anthropic.claude-sonnet-4-6",
        ),
        (
            "claude-sonnet-5",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
    ] {
        assert_eq!(
            resolve(requested, &settings).model_id,
            served,
            "{requested}"
        );
    }
}

#[test]
fn star_in_a_rule_matches_any_run_of_characters() {
    for (pattern, name, fits) in [
        ("*", "", true),
        ("a*", "a", true),
        ("a*c", "abc", true),
        ("a*c", "ab", false),
        ("a*a", "a", false),
        ("*-*-5", "claude-opus-5-5", true),
        ("opus*", "claude-opus", false),
        ("a**b", "ab", true),
    ] {
        let settings = settings("us-east-1", &[(pattern, BedrockModel::named("x"))]);
        let served = resolve(name, &settings).model_id;
        assert_eq!(served == "x", fits, "{pattern} on {name}");
    }
}

#[test]
fn requested_bedrock_id_or_arn_is_used_unchanged() {
    for (requested, id) in [
        (
            "us.anthropic.claude-opus-4-6-v1",
            "us.anthropic.claude-opus-4-6-v1",
        ),
        (
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0[1m]",
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (ARN, ARN),
    ] {
        assert_eq!(resolve(requested, &BedrockSettings::default()).model_id, id);
    }
}

#[test]
fn rule_with_a_plain_claude_name_gets_the_regions_profile() {
    for (region, name, id) in [
        (
            "eu-west-1",
            "claude-opus-4-6",
            Some("eu.anthropic.claude-opus-4-6-v1"),
        ),
        (
            "us-east-1",
            "claude-sonnet-4-5",
            Some("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ),
        (
            "ap-northeast-2",
            "claude-sonnet-4-5",
            Some("global.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ),
        (
            "ap-northeast-2",
            "claude-haiku-4-5-20251001",
            Some("apac.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ),
        (
            "ca-central-1",
            "claude-opus-5-5",
            Some("us.anthropic.claude-opus-5-5"),
        ),
        (
            "us-gov-west-1",
            "claude-opus-4-8",
            Some("us-gov.anthropic.claude-opus-4-8"),
        ),
        (
            "us-gov-west-1",
            "claude-opus-4-7",
            Some("global.anthropic.claude-opus-4-7"),
        ),
        (
            "sa-east-1",
            "claude-opus-5[1m]",
            Some("global.anthropic.claude-opus-5"),
        ),
        ("sa-east-1", "claude-opus-4-1", None),
        (
            "us-east-1",
            "claude-opus-6",
            Some("global.anthropic.claude-opus-6"),
        ),
        (
            "us-east-1",
            "claude-opus-6-20270101",
            Some("global.anthropic.claude-opus-6"),
        ),
        ("us-east-1", "nova-pro", None),
    ] {
        assert_eq!(
            bedrock_id(name, region).as_deref(),
            id,
            "{name} in {region}"
        );
    }
}

#[test]
fn rule_without_a_profile_in_the_region_uses_the_default_and_warns() {
    let settings = settings(
        "sa-east-1",
        &[("*", BedrockModel::named("claude-opus-4-1"))],
    );
    let target = resolve("claude-opus-5-5", &settings);
    assert_eq!(
        target.model_id,
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
    );
    assert_eq!(target.warning, Some(TargetWarning::NotOffered));
}

#[test]
fn target_has_the_foundation_id_for_token_counting() {
    for (name, id) in [
        (
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            Some("anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-6-v1",
            Some("anthropic.claude-opus-4-6-v1"),
        ),
        ("claude-opus-4-6", Some("anthropic.claude-opus-4-6-v1")),
        (ARN, None),
        ("amazon.nova-pro-v1:0", None),
    ] {
        assert_eq!(foundation_id(name).as_deref(), id, "{name}");
    }
}

#[test]
fn opaque_arn_gets_the_capabilities_of_its_base_model() {
    let with = |base: Option<&str>| {
        let serve = BedrockModel {
            id: ARN.to_owned(),
            base_model: base.map(str::to_owned),
        };
        resolve("claude-opus-5-5", &settings("eu-west-1", &[("*", serve)]))
    };
    let opaque = with(Some("anthropic.claude-opus-4-6-v1"));
    assert_eq!((opaque.model_id.as_str(), opaque.warning), (ARN, None));
    assert_eq!(opaque.capabilities.thinking, ThinkingKinds::Both);
    assert_eq!(
        opaque.foundation_id.as_deref(),
        Some("anthropic.claude-opus-4-6-v1")
    );
    assert_eq!(
        with(Some("claude-opus-4-6")).capabilities,
        opaque.capabilities
    );

    let untold = with(None);
    assert_eq!(untold.warning, Some(TargetWarning::BaseModelMissing));
    assert_eq!(untold.capabilities.thinking, ThinkingKinds::None);
    assert!(untold.capabilities.efforts.is_empty() && !untold.capabilities.sampling);
    assert_eq!(untold.foundation_id, None);
}

#[test]
fn model_newer_than_the_table_gets_its_predecessors_capabilities() {
    let capabilities = |id: &str| {
        let settings = settings("us-east-1", &[("*", BedrockModel::named(id))]);
        let target = resolve("x", &settings);
        (target.capabilities, target.warning)
    };
    for (new, old) in [
        ("us.anthropic.claude-opus-6", "us.anthropic.claude-opus-5-5"),
        ("us.anthropic.claude-opus-5-2", "us.anthropic.claude-opus-5"),
        (
            "us.anthropic.claude-haiku-5",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
        (
            "us.anthropic.claude-fable-5-3",
            "us.anthropic.claude-fable-5-2",
        ),
        (
            "us.anthropic.claude-parable-7-1",
            "us.anthropic.claude-sonnet-5-5",
        ),
    ] {
        assert_eq!(capabilities(new).0, capabilities(old).0, "{new}");
        assert_eq!(capabilities(new).1, Some(TargetWarning::NewModel), "{new}");
        assert_eq!(capabilities(old).1, None, "{old}");
    }
    assert_eq!(
        capabilities("amazon.nova-pro-v1:0").1,
        Some(TargetWarning::UnknownModel)
    );
    // A model older than every row has the capabilities of an unknown model.
    let oldest = capabilities("us.anthropic.claude-3-haiku-20240307-v1:0");
    assert_eq!(oldest.0, capabilities("amazon.nova-pro-v1:0").0);
    assert_eq!(oldest.1, Some(TargetWarning::OldModel));
    assert_eq!(
        capabilities("us.anthropic.claude-parable-1").1,
        Some(TargetWarning::OldModel)
    );
}

#[test]
fn models_with_preserved_thinking_bind_it() {
    let binds = |id: &str| {
        let settings = settings("us-east-1", &[("*", BedrockModel::named(id))]);
        let target = resolve("x", &settings);
        assert_eq!(target.warning, None, "{id}");
        target.capabilities.binds_thinking
    };
    for id in [
        "fable-5-2",
        "fable-5-1",
        "opus-5-5",
        "sonnet-5-5",
        "haiku-5-5",
    ] {
        assert!(binds(&format!("us.anthropic.claude-{id}")), "{id}");
    }
    for id in ["fable-5", "opus-5", "opus-4-8", "sonnet-5", "sonnet-4-6"] {
        assert!(!binds(&format!("us.anthropic.claude-{id}")), "{id}");
    }
}

#[test]
fn model_name_is_read_in_every_spelling() {
    for (name, read) in [
        ("claude-opus-4-6", Some((Family::Opus, (4, 6)))),
        ("claude-sonnet-4-20250514", Some((Family::Sonnet, (4, 0)))),
        (
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            Some((Family::Sonnet, (3, 5))),
        ),
        ("claude-3-7-sonnet-latest", Some((Family::Sonnet, (3, 7)))),
        ("Claude-Haiku-5-5", Some((Family::Haiku, (5, 5)))),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-7",
            Some((Family::Opus, (4, 7))),
        ),
        ("claude-opus-4-1@20250805", Some((Family::Opus, (4, 1)))),
        ("claude-opus-5-5[1m]", Some((Family::Opus, (5, 5)))),
        ("claude-opus-5-5-5", Some((Family::Opus, (5, 5)))),
        ("claude-", None),
        ("claude-instant-v1", None),
        ("claude--5", None),
        ("clau\u{fe}de-", None),
    ] {
        let wanted = read.map(|(family, version)| ClaudeName { family, version });
        assert_eq!(ClaudeName::read(name), wanted, "{name}");
    }
}

#[test]
fn effort_levels_are_read_by_name_and_ordered() {
    let names = ["low", "medium", "high", "xhigh", "max"];
    let efforts: Vec<_> = names.iter().filter_map(|name| Effort::read(name)).collect();
    assert!(efforts.is_sorted() && efforts.len() == names.len());
    assert_eq!(
        efforts
            .iter()
            .map(|effort| effort.name())
            .collect::<Vec<_>>(),
        names
    );
    assert_eq!(Effort::read("ludicrous"), None);
}

#[test]
fn family_preset_serves_each_family_with_its_current_model() {
    let family = |region: &str| BedrockSettings {
        preset: Some(ModelPreset::Family),
        ..settings(region, &[])
    };
    let default = BedrockSettings::default().models.default.id;
    for (requested, region, served) in [
        (
            "claude-opus-5-5",
            "eu-west-1",
            "eu.anthropic.claude-opus-5-5",
        ),
        (
            "claude-3-opus-20240229",
            "us-east-1",
            "us.anthropic.claude-opus-5-5",
        ),
        (
            "claude-sonnet-4-5[1m]",
            "us-gov-west-1",
            "us-gov.anthropic.claude-sonnet-5-5",
        ),
        (
            "Claude-Haiku-latest",
            "sa-east-1",
            "global.anthropic.claude-haiku-5-5",
        ),
        ("claude-fable-5-2", "us-east-1", default.as_str()),
        ("gpt-5", "us-east-1", default.as_str()),
        // A requested Bedrock id is used unchanged.
        (
            "us.anthropic.claude-opus-4-6-v1",
            "us-east-1",
            "us.anthropic.claude-opus-4-6-v1",
        ),
    ] {
        let target = resolve(requested, &family(region));
        assert_eq!(target.model_id, served, "{requested} in {region}");
    }
    assert!(resolve("claude-sonnet-4-5[1m]", &family("eu-west-1")).long_context);
    // A rule has precedence over the preset.
    let rule = BedrockSettings {
        preset: Some(ModelPreset::Family),
        ..settings(
            "eu-west-1",
            &[("claude-opus-*", BedrockModel::named("claude-opus-4-6"))],
        )
    };
    assert_eq!(
        resolve("claude-opus-5-5", &rule).model_id,
        "eu.anthropic.claude-opus-4-6-v1"
    );
}

#[test]
fn current_model_of_each_family_is_in_the_capability_table() {
    let current: Vec<_> = dialect::model::current_models()
        .map(|(family, model)| (family.as_str(), model))
        .collect();
    let expected = [
        ("haiku", "claude-haiku-5-5"),
        ("sonnet", "claude-sonnet-5-5"),
        ("opus", "claude-opus-5-5"),
    ];
    assert_eq!(
        current,
        expected.map(|(family, model)| (family, model.to_owned()))
    );
    for (family, model) in current {
        let rules = [("*", BedrockModel::named(model))];
        let target = resolve("x", &settings("eu-west-1", &rules));
        assert_eq!(target.warning, None, "{family}");
    }
}

#[test]
fn configured_model_check_accepts_and_refuses_each_form() {
    let check = |id: &str, base_model: Option<&str>| {
        let model = BedrockModel {
            id: id.to_owned(),
            base_model: base_model.map(str::to_owned),
        };
        dialect::model::check(&model, "us-west-2").map_err(|error| error.to_string())
    };
    let base = Some("anthropic.claude-opus-5-5");
    for (id, base_model) in [
        ("claude-opus-5-5", None),
        ("claude-sonnet-4-5-20250929", None),
        ("claude-opus-6", None),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", None),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", None),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0:51k", None),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", None),
        ("us-gov.anthropic.claude-opus-5-5", None),
        ("us.anthropic.claude-opus-7-1", None),
        ("in.anthropic.claude-saga-1", base),
        (
            "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-opus-5-5",
            None,
        ),
        (
            "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/a1b2",
            base,
        ),
        (
            "arn:aws-us-gov:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude-opus-5-5",
            None,
        ),
    ] {
        assert_eq!(check(id, base_model), Ok(()), "{id}");
    }
    let profile = "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/a1b2";
    let elsewhere =
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5-5";
    for (id, base_model, expected) in [
        ("", None, "visible ASCII"),
        ("claude opus", None, "visible ASCII"),
        ("amazon.nova-pro-v1:0", None, "not a Claude model"),
        ("claude-opsu-5-5", None, "not a Claude model"),
        (
            "globl.anthropic.claude-opus-5-5",
            None,
            "not a Claude model",
        ),
        ("usanthropic.claude-opus-5-5", None, "not a Claude model"),
        (
            "global.anthropic.claude-sonnet-4-5",
            None,
            "did you mean global.anthropic.claude-sonnet-4-5-20250929-v1:0?",
        ),
        (
            "anthropic.claude-opus-5-5-v1",
            None,
            "did you mean anthropic.claude-opus-5-5?",
        ),
        ("arn:aws:s3:::bucket", None, "not that of a Bedrock model"),
        (
            "arn:aws:bedrock:us-west-2:123456789012:guardrail/x",
            None,
            "not that of a Bedrock model",
        ),
        (elsewhere, None, "is of us-east-1, not of us-west-2"),
        (profile, None, "does not name its model"),
        (profile, Some("opus"), "not a Claude model"),
    ] {
        let error = check(id, base_model).expect_err(id);
        assert!(error.contains(expected), "{id}: {error}");
        assert!(!error.contains("123456789012"), "{error}");
    }
}
