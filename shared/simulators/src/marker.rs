//! Markers in a prompt: `[[tool:NAME {…}]]`, `[[plan:STEP]]`, `[[bedrock:STEP]]`.

use serde_json::{Deserializer, Value};

use super::script::{Point, Step, ToolCall, Window};

/// The tool calls of the text's markers, in order. Incomplete markers are ignored.
pub(super) fn tool_calls(text: &str) -> Vec<ToolCall> {
    bodies(text, "tool")
        .into_iter()
        .filter_map(tool_call)
        .collect()
}

fn tool_call(body: &str) -> Option<ToolCall> {
    let end = body
        .find(|c: char| c.is_whitespace() || c == ']')
        .unwrap_or(body.len());
    let (name, rest) = body.split_at_checked(end)?;
    let rest = rest.trim_start();
    let input = if rest.starts_with("]]") {
        Value::Object(serde_json::Map::new())
    } else {
        json_then_end(rest)?
    };
    (!name.is_empty()).then(|| ToolCall {
        name: name.to_owned(),
        input,
    })
}

/// The step of the text's first marker for this simulator: a short name, or a step as JSON. Any other name or
/// JSON is an error.
pub(super) fn step(text: &str, simulator: &str) -> Option<Result<Step, String>> {
    let body = bodies(text, simulator).into_iter().next()?;
    if body.trim_start().starts_with('{') {
        let parsed = json_then_end(body).map(serde_json::from_value::<Step>);
        return Some(match parsed {
            Some(Ok(step)) => Ok(step),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the marker is not JSON followed by ]]".into()),
        });
    }
    let (name, _) = body.split_once("]]")?;
    Some(step_named(name.trim()).ok_or_else(|| format!("no step is called {name:?}")))
}

/// The text after each `[[KIND:`. The caller finds the end of the marker, because JSON may contain brackets.
fn bodies<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let opening = format!("[[{kind}:");
    text.match_indices(&opening)
        .filter_map(|(at, opening)| text.get(at + opening.len()..))
        .collect()
}

/// One JSON value, if `]]` follows it.
fn json_then_end(text: &str) -> Option<Value> {
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    let rest = text.get(values.byte_offset()..)?;
    rest.trim_start().starts_with("]]").then_some(value)
}

fn step_named(name: &str) -> Option<Step> {
    error_step(name).or_else(|| response_step(name))
}

/// The steps of error statuses, by name.
fn error_step(name: &str) -> Option<Step> {
    let limit = |window| Step::UsageLimit {
        window,
        reset_after_s: 30 * 60,
    };
    Some(match name {
        "429" | "five_hour" => limit(Window::FiveHour),
        "seven_day_opus" => limit(Window::SevenDayOpus),
        "throttle" => Step::RateLimit {
            retry_after_s: None,
        },
        "bare_429" => Step::Status { status: 429 },
        "spend_limit" | "quota" => Step::SpendLimit,
        "self_set_limit" => Step::SelfSetLimit,
        "out_of_credit" => Step::OutOfCredit,
        "entitlement" => Step::Entitlement,
        "401" | "auth" => Step::Unauthorized,
        "403" => Step::Forbidden,
        "500" => Step::ServerError,
        "529" | "unavailable" => Step::Overloaded,
        "503" => Step::NotReady,
        "too_long" => Step::TooLong,
        "400" | "402" | "404" | "413" | "502" => Step::Status {
            status: name.parse().ok()?,
        },
        _ => return None,
    })
}

/// The steps of status 200 and of broken connections, by name.
fn response_step(name: &str) -> Option<Step> {
    let content = Vec::new;
    let end = |after| Step::End {
        after,
        content: content(),
    };
    let cut = |after| Step::Cut {
        after,
        content: content(),
    };
    let error = |after, kind: Option<&str>, message: Option<&str>| Step::StreamError {
        after,
        kind: kind.map(str::to_owned),
        message: message.map(str::to_owned),
        content: content(),
    };
    Some(match name {
        // No response.
        "close" => cut(Point::Connect),
        // Broken before the first content.
        "html" => Step::Html,
        "empty" => end(Point::Headers),
        "end_before_content" => end(Point::MessageStart),
        "cut_before_content" => cut(Point::MessageStart),
        "error_before_content" => error(Point::MessageStart, None, None),
        "first_error" => error(Point::Headers, None, None),
        "first_api_error" => {
            let message = Some("Internal server error");
            error(Point::Headers, Some("api_error"), message)
        }
        // Broken after the first content.
        "cut" => cut(Point::FirstDelta),
        "error" => error(Point::FirstDelta, None, None),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tool_marker_gives_the_name_and_the_arguments() {
        let call = |name: &str, input: Value| ToolCall {
            name: name.into(),
            input,
        };
        for (text, expected) in [
            ("no marker", vec![]),
            ("[[tool:Bash]]", vec![call("Bash", json!({}))]),
            (
                "please [[tool:Bash {\"command\":\"echo hi\"}]] now",
                vec![call("Bash", json!({"command": "echo hi"}))],
            ),
            (
                "[[tool:A {\"x\":[[1]]}]][[tool:B {}]]",
                vec![call("A", json!({"x": [[1]]})), call("B", json!({}))],
            ),
            (
                "[[tool:Bash {\"command\":\"[[ -e x ]]\"}]]",
                vec![call("Bash", json!({"command": "[[ -e x ]]"}))],
            ),
            ("[[tool:Bash {\"command\":]]", vec![]),
            ("[[tool:Bash {} never closed", vec![]),
            ("[[tool:]]", vec![]),
        ] {
            assert_eq!(tool_calls(text), expected, "{text}");
        }
    }

    #[test]
    fn step_marker_applies_to_one_simulator() {
        let text = "[[plan:529]] and [[bedrock:throttle]]";
        assert_eq!(step(text, "plan"), Some(Ok(Step::Overloaded)));
        assert_eq!(
            step(text, "bedrock"),
            Some(Ok(Step::RateLimit {
                retry_after_s: None
            }))
        );
        assert_eq!(step("nothing", "plan"), None);
    }

    #[test]
    fn a_step_marker_may_be_a_step_as_json() {
        let text = r#"x [[plan:{"step":"cut","after":"first_block"}]] y"#;
        let expected = Step::Cut {
            after: Point::FirstBlock,
            content: vec![],
        };
        assert_eq!(step(text, "plan"), Some(Ok(expected)));
    }

    #[test]
    fn a_step_that_does_not_exist_is_an_error() {
        assert!(step("[[plan:428]]", "plan").is_some_and(|step| step.is_err()));
        assert!(step("[[plan:{\"step\":\"x\"}]]", "plan").is_some_and(|step| step.is_err()));
    }

    #[test]
    fn every_name_in_the_documentation_is_a_step() {
        let rows = include_str!("lib.rs").lines();
        let rows = rows.skip_while(|line| !line.starts_with("//! | meaning | names |"));
        let names: Vec<_> = rows
            .take_while(|line| line.starts_with("//! |"))
            .filter_map(|line| line.rsplit_once(" | "))
            .flat_map(|(_, names)| names.split('`').skip(1).step_by(2))
            .filter(|name| *name != "retry-after")
            .collect();
        assert!(names.len() > 25, "{names:?}");
        for name in names {
            assert!(step_named(name).is_some(), "{name}");
        }
    }
}
