//! The log of `spillway up`, on standard error: a short line per request for people, or the whole event
//! as JSON for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal as _;

use service::clock::Clock;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::args::{LogFormat, LogLevel};

/// Begins to log.
pub(crate) fn start(format: Option<LogFormat>, level: LogLevel) {
    let is_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if is_terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(service::log::level_filter(level.as_str()));
    match format {
        LogFormat::Text => log
            .event_format(ForPeople {
                clock: Clock::system(),
                shows_losses: level == LogLevel::Debug,
            })
            .init(),
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_target(false)
            .init(),
    }
}

/// Formats events for people: a request as one short line, anything else with its level and fields.
struct ForPeople {
    clock: Clock,
    shows_losses: bool,
}

impl<S, N> FormatEvent<S, N> for ForPeople
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = self.clock.now().to_string();
        let time = now.get(11..19).unwrap_or(&now);
        if fields.get("message") == Some("request") {
            writeln!(writer, "{time}  {}", fields.request(self.shows_losses))
        } else {
            let level = event.metadata().level();
            writeln!(writer, "{time}  {level:<5}  {}", fields.other())
        }
    }
}

/// The fields of an event as text, without control characters: a client chooses some of them.
#[derive(Debug, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }
}

impl Fields {
    fn add(&mut self, field: &Field, text: &str) {
        let printable = text.chars().map(|shown| match shown {
            shown if shown.is_control() => ' ',
            shown => shown,
        });
        self.0.insert(field.name(), printable.collect());
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// User, leg, reason, model asked → answered, status, tokens, milliseconds.
    fn request(&self, shows_losses: bool) -> String {
        let upstream = self.get("upstream");
        let reason = match upstream {
            Some("plan") => self.get("plan.verdict"),
            Some(_) => self.get("fallback.reason"),
            None => self.get("error.class"),
        };
        let user = self.get("user.name").or_else(|| self.get("user.id"));
        let model = match (self.get("model"), self.get("bedrock.model")) {
            (Some(asked), Some(answered)) if upstream == Some("bedrock") => {
                Some(format!("{asked} → {answered}"))
            }
            (asked, _) => asked.map(str::to_owned),
        };
        let output = self.number("usage.output");
        let input = ["usage.input", "usage.cache_read", "usage.cache_write"];
        let input = input.into_iter().filter_map(|name| self.number(name));
        let tokens = output.map(|output| format!("{} in {output} out", input.sum::<u64>()));
        let ended = self
            .get("outcome")
            .filter(|outcome| !["complete", "refused"].contains(outcome));
        let parts = [
            Some(user.unwrap_or("-").to_owned()),
            Some(upstream.unwrap_or("spillway").to_owned()),
            reason.map(str::to_owned),
            model,
            self.get("status").map(str::to_owned),
            upstream.and(self.get("error.class")).map(str::to_owned),
            ended.map(str::to_owned),
            tokens,
            self.get("duration_ms").map(|ms| format!("{ms} ms")),
            self.get("losses")
                .filter(|_| shows_losses)
                .map(|losses| format!("dropped {losses}")),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        parts.join("  ")
    }

    fn other(&self) -> String {
        let mut line = self.get("message").unwrap_or_default().to_owned();
        for (name, value) in &self.0 {
            if *name != "message" {
                line.extend(["  ", name, "=", value]);
            }
        }
        line
    }
}
