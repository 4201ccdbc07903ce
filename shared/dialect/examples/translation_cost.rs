//! The cost of the translation of a large request. Prints the size of the body, the duration, the
//! peak memory of the translation (on Linux), and its result. `benches/translation.sh` runs it
//! under `valgrind --tool=callgrind`.
//!
//! `translation_cost SHAPE KILOBYTES [converse|invoke] [0]`, with 0 for the request alone and no
//! translation, where SHAPE is one of [`SHAPES`]: a usual conversation, and one request for each list of
//! the API that a client can make as long as it likes.

#![expect(clippy::expect_used, reason = "a benchmark measures valid input only")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use dialect::UnsupportedFeatures;
use dialect::model::resolve;
use dialect::request::{BedrockRequest, MessagesRequest, RequestLabels, TranslateError, translate};
use domain::bedrock::{BedrockSettings, Dialect};

/// Makes a request of about so many bytes.
type Make = fn(usize) -> String;

/// The name of a shape, and its request of about so many bytes.
const SHAPES: [(&str, Make); 23] = [
    ("conversation", conversation),
    ("parallel_calls", parallel_calls),
    ("unanswered_calls", unanswered_calls),
    ("messages", |size| {
        messages(&list(size, |n| {
            user(&format!(r#"{{"type":"text","text":"{n}"}}"#))
        }))
    }),
    ("tools", |size| with_tools(&list(size, tool), "hi")),
    ("references", references),
    ("removals", removals),
    ("definitions", definitions),
    ("client_tools", client_tools),
    ("long_names", |size| {
        with_tools(
            &list(size, |n| tool(format!("mcp.{n}.{}", "x".repeat(80)))),
            "hi",
        )
    }),
    ("marks", |size| {
        content(&list(
            size,
            |_| r#"{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}"#,
        ))
    }),
    ("documents", |size| {
        content(&list(size, |n| {
            format!(
                r#"{{"type":"document","source":{{"type":"text","media_type":"text/plain","data":"{n}"}}}}"#
            )
        }))
    }),
    ("texts", |size| {
        content(&list(size, |_| r#"{"type":"text","text":"a"}"#))
    }),
    ("unknown_blocks", |size| {
        let old = user(&list(size, |_| r#"{"type":"x"}"#));
        messages(&format!("{old},{}", user(r#"{"type":"text","text":"hi"}"#)))
    }),
    ("searches", |size| {
        let pages = list(size, |_| r#"{"url":"u","title":"t"}"#);
        messages(&format!(
            r#"{},{{"role":"assistant","content":[{{"type":"web_search_tool_result","tool_use_id":"s","content":[{pages}]}}]}},{}"#,
            user(r#"{"type":"text","text":"hi"}"#),
            user(r#"{"type":"text","text":"hi"}"#)
        ))
    }),
    ("betas", |size| {
        request(
            &format!(
                r#""anthropic_beta":[{}],"#,
                list(size, |n| format!(r#""b{n}""#))
            ),
            &hi(),
        )
    }),
    ("context_edits", |size| {
        let kept = list(size / 2, |_| r#"{"type":"clear_tool_uses_20250919"}"#);
        let other = list(size / 2, |_| r#"{"type":"compact_x"}"#);
        request(
            &format!(r#""context_management":{{"edits":[{kept},{other}]}},"#),
            &hi(),
        )
    }),
    ("unknown_fields", |size| {
        request(
            &format!("{},", list(size, |n| format!(r#""{n}":0"#))),
            &hi(),
        )
    }),
    ("stop_sequences", |size| {
        request(
            &format!(r#""stop_sequences":[{}],"#, list(size, |_| r#""""#)),
            &hi(),
        )
    }),
    ("no_messages", |size| messages(&list(size, |_| "1"))),
    ("nested", |size| {
        messages(&format!("{}{}", "[".repeat(size / 2), "]".repeat(size / 2)))
    }),
    ("nested_search", |size| {
        let deep = format!("{}{}", "[".repeat(size / 2), "]".repeat(size / 2));
        content(&format!(
            r#"{{"type":"server_tool_use","id":"a","name":"web_search","input":{{"query":{deep}}}}}"#
        ))
    }),
    ("one_text", |size| {
        content(&format!(
            r#"{{"type":"text","text":"{}"}}"#,
            "let x = \\\"1\\\";\\n".repeat(size / 16)
        ))
    }),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |nth: usize| arguments.get(nth).map_or("", String::as_str);
    let shape = SHAPES.iter().find(|(name, _)| *name == argument(0));
    let (Some((name, make)), Ok(kilobytes)) = (shape, argument(1).parse::<usize>()) else {
        eprintln!("translation_cost SHAPE KILOBYTES [converse|invoke] [0]; the shapes are");
        for (name, _) in SHAPES {
            eprintln!("{name}");
        }
        return ExitCode::FAILURE;
    };
    let dialect = match argument(2) {
        "invoke" => Dialect::Invoke,
        _ => Dialect::Converse,
    };
    let body = make(kilobytes * 1000);
    if argument(3) == "0" {
        println!("{name:16} {} bytes", body.len());
        return ExitCode::SUCCESS;
    }
    let before = resident("VmRSS:");
    // The peak is measured from here.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let began = Instant::now();
    let outcome = translation(black_box(body.as_bytes()), dialect);
    let took = began.elapsed();
    let peak = resident("VmHWM:").saturating_sub(before);
    let outcome = match &outcome {
        Ok(translated) => format!("{} bytes", translated.body.len()),
        Err(refusal) => format!("{} {refusal}", refusal.status()),
    };
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let per_byte = peak as f64 / body.len() as f64;
    println!(
        "{name:16} {} bytes, {} ms, {per_byte:.1} bytes of memory a byte: {outcome}",
        body.len(),
        took.as_millis()
    );
    ExitCode::SUCCESS
}

/// Bytes of memory that the process has now (`VmRSS:`) or had at most (`VmHWM:`), as Linux counts.
fn resident(what: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kilobytes.unwrap_or_default() * 1024
}

fn translation(body: &[u8], dialect: Dialect) -> Result<BedrockRequest, TranslateError> {
    let betas = "tool-search-tool-2025-10-19";
    let request = MessagesRequest::parse(body, std::iter::once(betas))?;
    let target = resolve(request.model(), &BedrockSettings::default());
    let (unsupported, labels) = (UnsupportedFeatures::default(), RequestLabels::default());
    translate(&request, &target, dialect, &unsupported, &labels)
}

/// Items with a comma between them, of so many bytes together.
fn list<T: AsRef<str>>(size: usize, item: impl Fn(String) -> T) -> String {
    let mut list = String::with_capacity(size + 200);
    for n in 0.. {
        if list.len() >= size {
            break;
        }
        let comma = if list.is_empty() { "" } else { "," };
        write!(list, "{comma}{}", item(n.to_string()).as_ref()).expect("a string takes all");
    }
    list
}

fn request(fields: &str, messages: &str) -> String {
    format!(
        r#"{{"model":"claude-opus-5-5","max_tokens":32000,"stream":true,{fields}"messages":[{messages}]}}"#
    )
}

fn messages(messages: &str) -> String {
    request("", messages)
}

fn user(blocks: &str) -> String {
    format!(r#"{{"role":"user","content":[{blocks}]}}"#)
}

fn hi() -> String {
    user(r#"{"type":"text","text":"hi"}"#)
}

fn content(blocks: &str) -> String {
    messages(&user(blocks))
}

fn with_tools(tools: &str, says: &str) -> String {
    request(
        &format!(r#""tools":[{tools}],"#),
        &user(&format!(r#"{{"type":"text","text":"{says}"}}"#)),
    )
}

fn tool(name: impl AsRef<str>) -> String {
    let name = name.as_ref();
    format!(r#"{{"name":"tool_{name}","input_schema":{{"type":"object"}}}}"#)
}

fn call(n: impl AsRef<str>) -> String {
    let n = n.as_ref();
    format!(r#"{{"type":"tool_use","id":"toolu_{n}","name":"tool_{n}","input":{{}}}}"#)
}

fn result(n: impl AsRef<str>) -> String {
    let n = n.as_ref();
    format!(r#"{{"type":"tool_result","tool_use_id":"toolu_{n}","content":"ok"}}"#)
}

/// Turns with a call and a result of a few kilobytes, as Claude Code's are.
fn conversation(size: usize) -> String {
    let turn = |n: String| {
        format!(
            r#"{{"role":"assistant","content":[{{"type":"thinking","thinking":"I look at the next file.","signature":"c2ln"}},{{"type":"tool_use","id":"toolu_{n}","name":"tool_1","input":{{"path":"src/a.rs"}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"toolu_{n}","content":"{}"}}]}}"#,
            r#"let x = \"1\";\n"#.repeat(200)
        )
    };
    let tools = list(20_000, tool);
    let turns = list(size, turn);
    request(
        &format!(r#""tools":[{tools}],"#),
        &format!("{},{turns}", hi()),
    )
}

fn parallel_calls(size: usize) -> String {
    let calls = list(size / 2, call);
    let results = list(size / 2, result);
    messages(&format!(
        r#"{},{{"role":"assistant","content":[{calls}]}},{}"#,
        hi(),
        user(&results)
    ))
}

fn unanswered_calls(size: usize) -> String {
    let turn = |n: String| format!(r#"{{"role":"assistant","content":[{}]}}"#, call(n));
    messages(&format!("{},{},{}", hi(), list(size, turn), hi()))
}

/// References to tools that are listed, the last ones first in the list.
fn references(size: usize) -> String {
    let name = |n: String| format!(r#"{{"type":"tool_reference","tool_name":"tool_{n}"}}"#);
    let names = list(size / 2, name);
    let found = format!(r#"{{"type":"tool_result","tool_use_id":"toolu_0","content":[{names}]}}"#);
    request(
        &format!(r#""tools":[{}],"#, list(size / 2, tool)),
        &format!(
            r#"{},{{"role":"assistant","content":[{}]}},{}"#,
            hi(),
            call("0"),
            user(&found)
        ),
    )
}

/// Tools that are removed after a call.
fn removals(size: usize) -> String {
    let removal = |n: String| {
        format!(r#"{{"type":"tool_removal","tool":{{"type":"tool_reference","name":"tool_{n}"}}}}"#)
    };
    let turns = format!(
        r#"{},{{"role":"assistant","content":[{}]}},{},{{"role":"system","content":[{}]}}"#,
        hi(),
        list(size / 4, call),
        user(&list(size / 4, result)),
        list(size / 4, removal),
    );
    request(&format!(r#""tools":[{}],"#, list(size / 4, tool)), &turns)
}

/// Tools that are defined in the conversation.
fn definitions(size: usize) -> String {
    let addition = |n: String| {
        format!(
            r#"{{"type":"tool_addition","tool":{{"type":"tool_definition","definition":{}}}}}"#,
            tool(n)
        )
    };
    let turns = format!(
        r#"{},{{"role":"system","content":[{}]}}"#,
        hi(),
        list(size, addition)
    );
    messages(&turns)
}

/// Tools that Anthropic defines and the client runs, with calls of removed tools.
fn client_tools(size: usize) -> String {
    let client = |n: String| format!(r#"{{"type":"bash_20250124","name":"bash_{n}"}}"#);
    let turns = format!(
        r#"{},{{"role":"assistant","content":[{}]}},{}"#,
        hi(),
        list(size / 4, call),
        user(&list(size / 4, result))
    );
    request(&format!(r#""tools":[{}],"#, list(size / 2, client)), &turns)
}
