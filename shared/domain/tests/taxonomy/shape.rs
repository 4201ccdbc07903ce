//! One recorded shape of an answer from Plan, and what is expected of it: a file in `fixtures`.

use std::path::Path;

use domain::model_family::ModelFamily;
use domain::time::Timestamp;
use domain::verdict::{BodyStart, LimitOf, PlanResponse, Verdict};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

/// When every answer of the fixtures came.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    /// The file's name.
    #[serde(skip)]
    pub(crate) name: String,
    /// Where the shape was seen or is documented.
    pub(crate) source: String,
    requested_model: String,
    /// `null`: there was no answer.
    status: Option<u16>,
    headers: Vec<(String, String)>,
    opening: Began,
    pub(crate) expect: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Began {
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
    /// `plan` or a model family; of a usage limit only.
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
    /// `anthropic-ratelimit-unified-reset`.
    Reset,
    RetryAfter,
    None,
}

impl Shape {
    /// All of them, by name.
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
                Began::Content => BodyStart::Content,
                Began::Nothing => BodyStart::Nothing,
                Began::Pending => BodyStart::Pending,
                Began::Part(body) => BodyStart::Part(body.as_bytes()),
                Began::Body(body) => BodyStart::Whole(body.as_bytes()),
                Began::ErrorEvent(data) => BodyStart::ErrorEvent(data.as_bytes()),
            },
        };
        let requested = ModelFamily::of(&self.requested_model);
        Verdict::read(response, requested.as_ref(), NOW)
    }

    /// The moment that the verdict has to carry.
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

/// The moment that a verdict carries: when the limit ends, or when another try is welcome.
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

/// `plan` or the model family that a usage limit is of.
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
