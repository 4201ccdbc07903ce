//! Replies as data, which the server then sends.
//!
//! A reply is a list of [`Chunk`]s with the points that they reach. Thus one function can stop any reply of either
//! service at any point, without a look at the bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::script::{Point, Step};

/// Header names and values, in order.
pub(super) type Headers = Vec<(String, String)>;

/// One action of the server while it sends a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Send(Bytes),
    Pause(Duration),
    /// Wait until held replies are released.
    AwaitRelease,
    /// Send nothing more until the client disconnects.
    Hang,
    /// Break the connection.
    Cut,
}

/// A reply as the server sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The actions before the status line.
    pub(super) opening: Vec<Action>,
    pub(super) status: u16,
    pub(super) headers: Headers,
    /// The actions after the headers.
    pub(super) body: Vec<Action>,
}

/// A part of a streamed reply, and the point that the reply has then reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// `None` after the last point.
    pub(super) reaches: Option<Point>,
    pub(super) bytes: Bytes,
}

/// How a reply ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum DeliveryEnd {
    /// Completely.
    #[default]
    Complete,
    /// With silence after a point.
    Hang(Point),
    /// With a broken connection after a point.
    Cut(Point),
    /// With an orderly end after a point.
    Early(Point),
    /// With other bytes after a point, and then an orderly end.
    Instead(Point, Bytes),
}

impl DeliveryEnd {
    fn point(&self) -> Option<Point> {
        match self {
            Self::Complete => None,
            Self::Hang(point) | Self::Cut(point) | Self::Early(point) | Self::Instead(point, _) => {
                Some(*point)
            }
        }
    }
}

/// The timing and the end of a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Whether the status line waits until held replies are released.
    pub(super) is_held: bool,
    /// Before the status line.
    pub(super) before_headers: Duration,
    /// Between two chunks; the simulator's pace if absent.
    pub(super) between_chunks: Option<Duration>,
    pub(super) ending: DeliveryEnd,
}

impl Reply {
    /// A complete reply with a content length.
    pub(super) fn full(status: u16, headers: Headers, body: impl Into<Bytes>) -> Self {
        Self {
            opening: Vec::new(),
            status,
            headers,
            body: vec![Action::Send(body.into())],
        }
    }

    /// A web page with status 200, as from a captive portal.
    fn web_page() -> Self {
        let headers = vec![("content-type".into(), "text/html; charset=utf-8".into())];
        let page = "<!doctype html><html><head><title>Sign in</title></head><body>Please sign in \
                    to use this network.</body></html>";
        Self::full(200, headers, page)
    }

    /// The reply of a step that is the same for both services. `error` makes an error reply of the service from a
    /// status, a type and a message. Any other step is returned unchanged.
    pub(super) fn from_written_out(
        step: Step,
        error: impl FnOnce(u16, &str, &str) -> Self,
    ) -> Result<Self, Step> {
        Ok(match step {
            Step::Error {
                status,
                kind,
                message,
                headers,
            } => {
                let mut reply = error(status, &kind, &message);
                reply.headers.extend(headers);
                reply
            }
            Step::Html => Self::web_page(),
            Step::Raw {
                status,
                headers,
                body,
            } => Self::full(status, headers.into_iter().collect(), body),
            other => return Err(other),
        })
    }

    /// The reply with these headers, which replace those of the same name. Names are in lower case; an empty
    /// value removes the header.
    pub(super) fn with_headers(mut self, headers: BTreeMap<String, String>) -> Self {
        self.headers
            .retain(|(name, _)| !headers.contains_key(&name.to_ascii_lowercase()));
        self.headers
            .extend(headers.into_iter().filter(|(_, value)| !value.is_empty()));
        self
    }

    /// A streamed reply.
    pub(super) fn streamed(headers: Headers, chunks: Vec<Chunk>, delivery: Delivery) -> Self {
        let Delivery {
            is_held,
            before_headers,
            between_chunks,
            ending,
        } = delivery;
        let between_chunks = between_chunks.unwrap_or_default();
        let stop = ending.point();
        let mut opening = before_status_line(is_held, before_headers);
        let mut body = Vec::new();
        if stop == Some(Point::Connect) {
            opening.extend(last_action(&ending));
        } else if stop != Some(Point::Headers) {
            for chunk in chunks {
                if !body.is_empty() {
                    body.extend(pause(between_chunks));
                }
                body.push(Action::Send(chunk.bytes));
                if stop.is_some_and(|stop| chunk.reaches.is_none_or(|reached| reached >= stop)) {
                    break;
                }
            }
        }
        if let DeliveryEnd::Instead(_, bytes) = &ending {
            body.extend(pause(between_chunks));
            body.push(Action::Send(bytes.clone()));
        }
        if stop != Some(Point::Connect) {
            body.extend(last_action(&ending));
        }
        Self {
            opening,
            status: 200,
            headers,
            body,
        }
    }

    /// A JSON reply, which an [`DeliveryEnd`] may stop in its middle.
    pub(super) fn single(mut headers: Headers, body: Vec<u8>, delivery: &Delivery) -> Self {
        let mut opening = before_status_line(delivery.is_held, delivery.before_headers);
        let ending = &delivery.ending;
        let full = Bytes::from(body);
        let body = match ending.point() {
            None => vec![Action::Send(full)],
            Some(Point::Connect) => {
                opening.extend(last_action(ending));
                Vec::new()
            }
            Some(point) => {
                let sent = if point == Point::Headers {
                    0
                } else {
                    full.len() / 2
                };
                let promised = match ending {
                    DeliveryEnd::Hang(_) | DeliveryEnd::Cut(_) => full.len(),
                    DeliveryEnd::Complete | DeliveryEnd::Early(_) | DeliveryEnd::Instead(..) => {
                        sent
                    }
                };
                headers.push(("content-length".into(), promised.to_string()));
                let mut body = vec![Action::Send(full.slice(..sent))];
                body.extend(last_action(ending));
                body
            }
        };
        Self {
            opening,
            status: 200,
            headers,
            body,
        }
    }
}

fn before_status_line(is_held: bool, duration: Duration) -> Vec<Action> {
    let mut actions = pause(duration);
    actions.extend(is_held.then_some(Action::AwaitRelease));
    actions
}

fn pause(duration: Duration) -> Vec<Action> {
    if duration.is_zero() {
        Vec::new()
    } else {
        vec![Action::Pause(duration)]
    }
}

fn last_action(ending: &DeliveryEnd) -> Option<Action> {
    match ending {
        DeliveryEnd::Hang(_) => Some(Action::Hang),
        DeliveryEnd::Cut(_) => Some(Action::Cut),
        DeliveryEnd::Complete | DeliveryEnd::Early(_) | DeliveryEnd::Instead(..) => None,
    }
}
