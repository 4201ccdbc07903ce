//! One recorded shape of a response of Plan with its expected verdict: a file in `fixtures`.

use std::path::Path;

use domain::model_family::ModelFamily;
use domain::time::Timestamp;
use domain::verdict::{BodyStart, LimitOf, PlanResponse, Verdict};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

/// The time at which all responses of the fixtures arrive.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    /// The name of the file, without its extension.
    #[serde(skip)]
    pub(crate) name: String,
    /// The place where the shape was observed or is documented.
    pub(crate) source: String,
    requested_model: String,
    /// The HTTP status; `null` without a response.
    status: Option<u16>,
    headers: Vec<(String, String)>,
    opening: FixtureBody,
    pub(crate) expect: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FixtureBody {
    Content,
    Nothing,
    Body(String),
    Part(String),
    Pending,
    ErrorEvent(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) row: RowNumber,
    pub(crate) verdict: String,
    /// The subject of a usage limit: `plan` or a model family.
    pub(crate) of: Option<String>,
    until: Until,
}

/// The number of a row of the table, such as 6 or 6b.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "NumberOrText")]
pub(crate) struct RowNumber {
    number: u8,
    letter: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u8),
    Text(String),
}

impl From<NumberOrText> for RowNumber {
    fn from(row: NumberOrText) -> Self {
        let text = match row {
            NumberOrText::Number(number) => number.to_string(),
            NumberOrText::Text(text) => text,
        };
        let letter = text.trim_start_matches(|it: char| it.is_ascii_digit());
        let number = text.strip_suffix(letter).unwrap_or_default();
        Self {
            number: number.parse().expect("a row begins with its number"),
            letter: letter.to_owned(),
        }
    }
}

impl std::fmt::Display for RowNumber {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}{}", self.number, self.letter)
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Until {
    UnixSeconds(i64),
    Named(UntilNamed),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UntilNamed {
    /// The header `anthropic-ratelimit-unified-reset`.
    Reset,
    RetryAfter,
    None,
}

impl Shape {
    /// All shapes, sorted by name.
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/taxonomy/fixtures");
        let mut shapes: Vec<Self> = std::fs::read_dir(folder)
            .expect("the folder of fixtures")
            .map(|entry| {
                let path = entry.expect("an entry").path();
                let name = path.file_stem().expect("a name").to_string_lossy();
                let text = std::fs::read(&path).expect("a file");
                let shape = serde_json::from_slice(&text);
                let shape: Self = shape.unwrap_or_else(|error| panic!("{name}: {error}"));
                Self {
                    name: name.into_owned(),
                    ..shape
                }
            })
            .collect();
        shapes.sort_by(|one, other| one.name.cmp(&other.name));
        shapes
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let Some(status) = self.status else {
            return Verdict::no_answer();
        };
        let headers: HeaderMap = self
            .headers
            .iter()
            .map(|(name, value)| {
                let name: HeaderName = name.parse().expect("a header's name");
                (
                    name,
                    HeaderValue::from_str(value).expect("a header's value"),
                )
            })
            .collect();
        let response = PlanResponse {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: &headers,
            body: match &self.opening {
                FixtureBody::Content => BodyStart::Content,
                FixtureBody::Nothing => BodyStart::Nothing,
                FixtureBody::Pending => BodyStart::Pending,
                FixtureBody::Part(body) => BodyStart::Part(body.as_bytes()),
                FixtureBody::Body(body) => BodyStart::Whole(body.as_bytes()),
                FixtureBody::ErrorEvent(data) => BodyStart::ErrorEvent(data.as_bytes()),
            },
        };
        let requested = ModelFamily::from_model(&self.requested_model);
        Verdict::read(response, requested.as_ref(), NOW)
    }

    /// The expected time in the verdict.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        let number = |header: &str| -> i64 {
            let (_, value) = (self.headers.iter())
                .find(|(name, _)| name == header)
                .unwrap_or_else(|| panic!("{}: no {header}", self.name));
            value.parse().expect("a number")
        };
        let seconds = match self.expect.until {
            Until::UnixSeconds(seconds) => seconds,
            Until::Named(UntilNamed::Reset) => number("anthropic-ratelimit-unified-reset"),
            Until::Named(UntilNamed::RetryAfter) => NOW.as_millis() / 1000 + number("retry-after"),
            Until::Named(UntilNamed::None) => return None,
        };
        Some(Timestamp::from_seconds(seconds))
    }
}

/// The time in a verdict: the end of a limit, or the earliest time for another try.
pub(crate) fn moment(verdict: &Verdict) -> Option<Timestamp> {
    match verdict {
        Verdict::UsageLimit { until, .. } => *until,
        Verdict::RateLimited { retry_at }
        | Verdict::Overloaded { retry_at }
        | Verdict::Broken { retry_at } => *retry_at,
        Verdict::Good
        | Verdict::Entitlement
        | Verdict::Burst
        | Verdict::Login
        | Verdict::ClientFault => None,
    }
}

/// The subject of a usage limit: `plan` or a model family.
pub(crate) fn limited(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::UsageLimit { of, .. } => Some(match of {
            LimitOf::Plan => "plan",
            LimitOf::Family(family) => family.as_str(),
        }),
        Verdict::Good
        | Verdict::Entitlement
        | Verdict::RateLimited { .. }
        | Verdict::Burst
        | Verdict::Overloaded { .. }
        | Verdict::Broken { .. }
        | Verdict::Login
        | Verdict::ClientFault => None,
    }
}
