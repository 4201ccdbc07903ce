//! `docs/bedrock.md`: its tables are those of the capability table, of the errors and of the loss names.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its expectation does; clippy.toml exempts test functions only"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use dialect::error::{BedrockError, Cause, SetupStep};
use dialect::model::{
    Betas, Capabilities, Family, ForcedTool, MODELS, ModelRow, ThinkingKinds, ThinkingOff,
};
use dialect::request::TranslateError;

/// Compares a table with the text between the two comments that mark it in the document.
fn assert_doc_has(name: &str, table: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bedrock.md");
    let doc = std::fs::read_to_string(file).unwrap();
    let found = doc
        .split_once(&format!("<!-- table: {name} -->\n"))
        .and_then(|(_, rest)| rest.split_once(&format!("<!-- end: {name} -->")))
        .map(|(found, _)| found.trim());
    assert!(
        found == Some(table.trim()),
        "docs/bedrock.md must have, between its comments about {name}:\n\n{table}\n"
    );
}

// --- models ---------------------------------------------------------------------------------------

fn version(row: &ModelRow) -> String {
    match row.version {
        (major, 0) => major.to_string(),
        (major, minor) => format!("{major}.{minor}"),
    }
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Haiku => "Haiku",
        Family::Sonnet => "Sonnet",
        Family::Opus => "Opus",
        Family::Fable => "Fable",
        Family::Other => panic!("no row is of another family"),
    }
}

#[test]
fn table_of_models_is_the_capability_table() {
    let mut table =
        "| Model | Bedrock id | Inference profiles | Preset `family` |\n|---|---|---|---|\n"
            .to_owned();
    for row in MODELS {
        let profiles: Vec<_> = row.prefixes.iter().map(|it| format!("`{it}`")).collect();
        let _ = writeln!(
            table,
            "| {} {} | `{}` | {} | {} |",
            family_name(row.family),
            version(row),
            row.foundation,
            profiles.join(" "),
            if row.is_current { "yes" } else { "" },
        );
    }
    assert_doc_has("models", &table);
}

fn tokens(count: u64) -> String {
    match count {
        1_000_000 => "1 M".to_owned(),
        _ => format!("{},{:03}", count / 1_000, count % 1_000),
    }
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// A row of a family's table: the name of the capability, and its value for a model.
type CapabilityRow = (&'static str, fn(&Capabilities) -> String);

const CAPABILITIES: &[CapabilityRow] = &[
    ("maximum of output tokens", |it| tokens(it.max_output)),
    ("context window, tokens", |it| tokens(it.context)),
    ("`thinking`", |it| {
        match it.thinking {
            ThinkingKinds::None => "no",
            ThinkingKinds::Budget => "`enabled`",
            ThinkingKinds::Both => "`enabled`, `adaptive`",
            ThinkingKinds::Adaptive => "`adaptive`",
        }
        .to_owned()
    }),
    ("thinking is switched off by", |it| {
        match it.thinking_off {
            ThinkingOff::Omit => "no `thinking`",
            ThinkingOff::Disabled => "`disabled`",
            ThinkingOff::BetweenTools => "`between_tools`",
            ThinkingOff::AlwaysOn => "impossible",
        }
        .to_owned()
    }),
    ("thinking is bound to the conversation", |it| {
        yes(it.binds_thinking)
    }),
    ("levels of effort", |it| {
        let levels: Vec<_> = it.efforts.iter().map(|level| level.name()).collect();
        if levels.is_empty() {
            "none".to_owned()
        } else {
            levels.join(" ")
        }
    }),
    ("highest effort while thinking is off", |it| {
        match it.effort_without_thinking {
            Some(level) => level.name().to_owned(),
            None => "any".to_owned(),
        }
    }),
    ("`temperature`, `top_p`, `top_k`", |it| yes(it.sampling)),
    ("prefill (final assistant message)", |it| yes(it.prefill)),
    ("forced tool (`any`, `tool`)", |it| {
        match it.forced_tool {
            ForcedTool::Yes => "yes",
            ForcedTool::WithoutThinking => "without thinking",
            ForcedTool::No => "no",
        }
        .to_owned()
    }),
    ("`ttl` of cache points", |it| yes(it.cache_ttl)),
    ("JSON schema output, `strict` tools", |it| {
        yes(it.structured_output)
    }),
    ("system messages in the conversation (InvokeModel)", |it| {
        yes(it.native_system_role)
    }),
    ("tool search (InvokeModel)", |it| yes(it.tool_search)),
    ("tool additions and removals (InvokeModel)", |it| {
        yes(it.tool_changes)
    }),
    ("token counting", |it| yes(it.count_tokens)),
    ("`interleaved-thinking-2025-05-14`", |it| {
        yes(it.betas.interleaved_thinking)
    }),
    ("`context-1m-2025-08-07`", |it| yes(it.betas.context_1m)),
    ("`fine-grained-tool-streaming-2025-05-14`", |it| {
        yes(it.betas.fine_grained_tool_streaming)
    }),
    ("`effort-2025-11-24`", |it| yes(it.betas.effort)),
];

/// Every capability has a row in [`CAPABILITIES`]: a new one does not compile here.
const fn check_capabilities(capabilities: Capabilities) {
    let Capabilities {
        max_output: _,
        context: _,
        thinking: _,
        thinking_off: _,
        binds_thinking: _,
        efforts: _,
        effort_without_thinking: _,
        sampling: _,
        prefill: _,
        forced_tool: _,
        cache_ttl: _,
        structured_output: _,
        native_system_role: _,
        tool_search: _,
        tool_changes: _,
        count_tokens: _,
        betas:
            Betas {
                interleaved_thinking: _,
                context_1m: _,
                fine_grained_tool_streaming: _,
                effort: _,
            },
    } = capabilities;
}

#[test]
fn tables_of_families_are_the_capability_table() {
    for family in [Family::Haiku, Family::Sonnet, Family::Opus, Family::Fable] {
        let rows: Vec<_> = MODELS.iter().filter(|row| row.family == family).collect();
        let mut table = format!("| {} |", family_name(family));
        for row in &rows {
            let _ = write!(table, " {} |", version(row));
        }
        let _ = writeln!(table, "\n|---|{}", "---|".repeat(rows.len()));
        for (name, value) in CAPABILITIES {
            let _ = write!(table, "| {name} |");
            for row in &rows {
                check_capabilities(row.capabilities);
                let _ = write!(table, " {} |", value(&row.capabilities));
            }
            table.push('\n');
        }
        assert_doc_has(family.as_str(), &table);
    }
}

// --- losses ---------------------------------------------------------------------------------------

/// Each loss name with its meaning. A part in capitals stands for a name of the client or of Bedrock.
const LOSSES: &[(&str, &str)] = &[
    (
        "FIELD",
        "an unknown or unsupported field of the request, by its path, such as `service_tier` or `messages.FIELD`",
    ),
    (
        "beta:NAME",
        "a beta that the target does not accept or that the body does not need",
    ),
    (
        "block:TYPE",
        "a content block that is left out, or replaced by text",
    ),
    (
        "block:document",
        "a document without text, or one outside the newest user message that is a URL or file",
    ),
    (
        "block:mid_conv_system",
        "a system block of another turn, written as `<system-reminder>` text",
    ),
    (
        "block:redacted_thinking",
        "redacted thinking that is blank or invalid, or that the target refuses",
    ),
    ("block:search_result", "a search result without text"),
    (
        "block:thinking",
        "thinking in a user message, or thinking that the target refuses",
    ),
    ("block:thinking.unsigned", "thinking without a signature"),
    ("block:tool_addition", "a tool addition, written as text"),
    ("block:tool_removal", "a tool removal, written as text"),
    (
        "cache_control",
        "a cache point beyond four, after thinking, or before the first item of a list",
    ),
    (
        "cache_control.scope",
        "a member of `cache_control` other than `type` and `ttl`",
    ),
    (
        "cache_control.ttl",
        "a lifetime of one hour, which becomes five minutes",
    ),
    ("citations", "`citations` of a text block (Converse)"),
    ("context_management", "a context edit"),
    (
        "max_tokens",
        "a `max_tokens` above the model's maximum, or 0",
    ),
    (
        "messages.first_user",
        "a user turn is added before a conversation that starts with the assistant",
    ),
    (
        "messages.output_config",
        "effort of a single message; the last one becomes that of the request",
    ),
    (
        "messages.system",
        "a system message in the conversation, written as `<system-reminder>` text",
    ),
    (
        "metadata.user_id",
        "the client's user id (Converse, or refused by the target)",
    ),
    ("more", "more than 64 losses"),
    (
        "output_config.effort",
        "a level of effort that is changed or left out",
    ),
    (
        "output_config.format",
        "a JSON schema, written as an instruction, or another format, which is left out",
    ),
    (
        "safeguards",
        "`safeguards`; the response reports them as `unavailable`",
    ),
    (
        "stop_sequences",
        "blank stop sequences, or those beyond 2,500",
    ),
    (
        "system.billing_header",
        "the system block in which Claude Code identifies itself to Anthropic",
    ),
    ("system.block", "a system block that is not text"),
    (
        "temperature",
        "`temperature`, which the model refuses, or refuses together with thinking",
    ),
    (
        "thinking",
        "thinking, which the model or this conversation does not allow",
    ),
    (
        "thinking.adaptive",
        "adaptive thinking, which becomes a budget",
    ),
    ("thinking.block_binding", "`thinking.block_binding`"),
    (
        "thinking.budget_tokens",
        "a thinking budget that is lowered or becomes a level of effort",
    ),
    ("thinking.display", "`thinking.display`"),
    (
        "thinking.type",
        "an unknown type of thinking, or `disabled` or `between_tools` where the model has another one",
    ),
    ("tool:NAME", "a tool that Anthropic's servers run"),
    (
        "tool_choice",
        "a forced tool, `none`, or `disable_parallel_tool_use`",
    ),
    (
        "tool_result:missing",
        "a tool call without a result, which gets an error result",
    ),
    (
        "tool_result:orphan",
        "a tool result without a call, written as text",
    ),
    ("tool_use.caller", "`caller` of a tool call"),
    (
        "tools.FIELD",
        "`eager_input_streaming`, `input_examples`, `allowed_callers` or `custom` of a tool",
    ),
    (
        "tools.defer_loading",
        "a deferred tool, which is left out or sent as an ordinary tool",
    ),
    ("tools.strict", "`strict` of a tool"),
    ("top_k", "`top_k`, as for `temperature`"),
    (
        "top_p",
        "`top_p`, as for `temperature`; also beside `temperature`",
    ),
    (
        "reply:citation",
        "a citation of the response that Anthropic's API has no form for",
    ),
    (
        "reply:content_block",
        "a content block of the response that Anthropic's API has no form for",
    ),
    ("reply:event", "an unknown event of the stream"),
    (
        "reply:redacted_thinking",
        "redacted thinking of the response that is not UTF-8",
    ),
    (
        "reply:server_tool_use",
        "a call of a tool that Bedrock runs",
    ),
    (
        "reply:stop_reason",
        "an unknown stop reason, which becomes `end_turn`",
    ),
];

/// Names that the code does not write as a literal of one call.
const COMPUTED: &[&str] = &["FIELD", "more", "temperature", "top_k", "top_p"];

/// The loss names in the crate's sources: the literals that are added, up to a placeholder.
fn names_in_sources(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names_in_sources(&path, names);
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for call in ["add(", "add_loss("] {
            for (_, argument) in source
                .match_indices(call)
                .map(|(at, _)| source.split_at(at))
            {
                let argument = argument.trim_start_matches(call).trim_start();
                let argument = argument.strip_prefix("format!(").unwrap_or(argument);
                let literal = argument
                    .strip_prefix('"')
                    .and_then(|rest| rest.split('"').next());
                names.extend(
                    literal
                        .and_then(|text| text.split('{').next())
                        .map(str::to_owned),
                );
            }
        }
    }
}

#[test]
fn table_of_losses_has_every_loss_name_of_the_code() {
    let mut found = BTreeSet::new();
    names_in_sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    let documented: BTreeSet<String> = LOSSES
        .iter()
        .filter(|(name, _)| !COMPUTED.contains(name))
        .map(|(name, _)| name.trim_end_matches(char::is_uppercase).to_owned())
        .collect();
    assert_eq!(documented, found);

    let mut table = "| Name | What was left out or changed |\n|---|---|\n".to_owned();
    for (name, meaning) in LOSSES {
        let _ = writeln!(table, "| `{name}` | {meaning} |");
    }
    assert_doc_has("losses", &table);
}

// --- errors ---------------------------------------------------------------------------------------

#[test]
fn table_of_untranslatable_requests_is_that_of_the_error_type() {
    let message = String::new;
    let mut table =
        "| The request | Status | `error.type` | `error_code` |\n|---|---|---|---|\n".to_owned();
    for error in [
        TranslateError::Invalid { message: message() },
        TranslateError::Unavailable { message: message() },
        TranslateError::Thread,
        TranslateError::TooLarge { message: message() },
        TranslateError::NotSupported { message: message() },
    ] {
        let request = match error {
            TranslateError::Invalid { .. } => {
                "is invalid, or ends in an assistant message that the model does not accept"
            }
            TranslateError::Unavailable { .. } => {
                "needs what Bedrock lacks: only tools of Anthropic's servers, MCP servers, or a URL, a file or an unknown block in the newest user message"
            }
            TranslateError::Thread => "continues a message thread that Anthropic's servers keep",
            TranslateError::TooLarge { .. } => {
                "is larger than 20 MB, before or after the translation"
            }
            TranslateError::NotSupported { .. } => {
                "counts tokens for a model without token counting, or without messages"
            }
        };
        let code = error.error_code().map(|code| format!("`{code}`"));
        let _ = writeln!(
            table,
            "| {request} | {} | `{}` | {} |",
            error.status(),
            error.error_type(),
            code.unwrap_or_default()
        );
    }
    assert_doc_has("untranslatable", &table);
}

/// All causes, in the order of the enum.
const CAUSES: [Cause; 21] = [
    Cause::KeyInvalid,
    Cause::KeyExpired,
    Cause::AccessDenied,
    Cause::AccountSetup(SetupStep::UseCaseForm),
    Cause::Throttled,
    Cause::DailyQuota,
    Cause::ServiceQuota,
    Cause::ModelNotReady,
    Cause::ServiceError,
    Cause::NoConnection,
    Cause::TimedOut,
    Cause::Cut,
    Cause::Unreadable,
    Cause::MalformedOutput,
    Cause::ModelUnavailable,
    Cause::PromptTooLong,
    Cause::ContextOverflow,
    Cause::Image,
    Cause::Document,
    Cause::BodyTooLarge,
    Cause::BadRequest,
];

/// The index of a cause in [`CAUSES`]: a new cause must be added there.
fn index(cause: Cause) -> usize {
    match cause {
        Cause::KeyInvalid => 0,
        Cause::KeyExpired => 1,
        Cause::AccessDenied => 2,
        Cause::AccountSetup(_) => 3,
        Cause::Throttled => 4,
        Cause::DailyQuota => 5,
        Cause::ServiceQuota => 6,
        Cause::ModelNotReady => 7,
        Cause::ServiceError => 8,
        Cause::NoConnection => 9,
        Cause::TimedOut => 10,
        Cause::Cut => 11,
        Cause::Unreadable => 12,
        Cause::MalformedOutput => 13,
        Cause::ModelUnavailable => 14,
        Cause::PromptTooLong => 15,
        Cause::ContextOverflow => 16,
        Cause::Image => 17,
        Cause::Document => 18,
        Cause::BodyTooLarge => 19,
        Cause::BadRequest => 20,
    }
}

#[test]
fn table_of_failures_is_that_of_the_causes() {
    let mut table =
        "| Cause | Class | Status | `error.type` | `x-should-retry` |\n|---|---|---|---|---|\n"
            .to_owned();
    for (position, cause) in CAUSES.into_iter().enumerate() {
        assert_eq!(index(cause), position);
        let error = BedrockError::from(cause);
        let _ = writeln!(
            table,
            "| `{}` | `{}` | {} | `{}` | {} |",
            cause.as_str(),
            cause.class().as_str(),
            error.status(),
            error.error_type(),
            error
                .should_retry()
                .map(|retry| retry.to_string())
                .unwrap_or_default(),
        );
    }
    assert_doc_has("failures", &table);
}
