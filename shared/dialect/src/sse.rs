//! Server-sent events as bytes: a writer and a reader.
//!
//! The writer makes the frames that Anthropic's clients read: an `event:` line, one `data:` line of
//! JSON, an empty line. The reader finds the events of a stream that is passed on unchanged, and
//! finds the same events however the bytes are split. It follows the HTML standard's grammar
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>, read
//! 2026-11-21).

use serde::Serialize;

/// A keep-alive event. Claude Code aborts a stream after 300 s without a byte.
pub const PING: &[u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";

/// Appends `event: error` with Anthropic's error envelope: the last event of a failed stream.
///
/// `error_type` is one of Anthropic's error types, such as `overloaded_error`.
pub fn error_event(out: &mut Vec<u8>, error_type: &str, message: &str, request_id: &str) {
    write_event(
        out,
        "error",
        &ErrorEnvelope::new(error_type, message, request_id),
    );
}

/// Anthropic's error envelope as the body of a response.
///
/// `error_type` is one of Anthropic's error types, such as `overloaded_error`.
pub fn error_body(error_type: &str, message: &str, request_id: &str) -> Vec<u8> {
    error_body_with_code(error_type, message, None, request_id)
}

/// [`error_body`] with Anthropic's `error.details.error_code`, on which clients act, such as
/// `thread_unsupported_request`.
pub fn error_body_with_code(
    error_type: &str,
    message: &str,
    error_code: Option<&str>,
    request_id: &str,
) -> Vec<u8> {
    let mut envelope = ErrorEnvelope::new(error_type, message, request_id);
    envelope.error.details = error_code.map(|error_code| ErrorCode { error_code });
    let mut body = Vec::new();
    write_json(&mut body, &envelope);
    body
}

/// Anthropic's error envelope, the same in an error body and in an `error` event.
#[derive(Serialize)]
pub(crate) struct ErrorEnvelope<'a> {
    r#type: &'static str,
    error: ErrorDetail<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct ErrorDetail<'a> {
    r#type: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<ErrorCode<'a>>,
}

#[derive(Serialize)]
struct ErrorCode<'a> {
    error_code: &'a str,
}

impl<'a> ErrorEnvelope<'a> {
    pub(crate) fn new(error_type: &'a str, message: &'a str, request_id: &'a str) -> Self {
        Self {
            r#type: "error",
            error: ErrorDetail {
                r#type: error_type,
                message,
                details: None,
            },
            request_id,
        }
    }
}

/// Appends one event whose data is `data` as JSON. `name` must not contain a line break.
pub(crate) fn write_event(out: &mut Vec<u8>, name: &str, data: &impl Serialize) {
    open_frame(out, name);
    write_json(out, data);
    out.extend_from_slice(b"\n\n");
}

/// Appends one event whose data is unchanged JSON text. A line break between JSON tokens becomes a
/// space, because it would end the `data:` line.
pub(crate) fn write_raw_event(out: &mut Vec<u8>, name: &str, json: &[u8]) {
    open_frame(out, name);
    if memchr::memchr2(b'\n', b'\r', json).is_none() {
        out.extend_from_slice(json);
    } else {
        out.extend(json.iter().map(|&byte| {
            if matches!(byte, b'\n' | b'\r') {
                b' '
            } else {
                byte
            }
        }));
    }
    out.extend_from_slice(b"\n\n");
}

fn open_frame(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
}

#[expect(
    clippy::expect_used,
    reason = "a Vec takes every byte, and this crate serialises only structs, strings and raw JSON"
)]
pub(crate) fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("writing to a Vec does not fail");
}

/// One event that [`SseReader`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The value of the `event:` line; without one `message`, as in the standard. Empty when it is
    /// not UTF-8.
    pub name: &'a str,
    /// The value of the `data:` lines, joined by line breaks. `None` when they exceed the reader's
    /// limit.
    pub data: Option<&'a [u8]>,
}

/// Reads a stream of server-sent events in pieces, in bounded memory.
///
/// An event beyond the limit is returned without its data, and the next event is read as usual. An
/// event that the end of the stream cuts off is ignored.
#[derive(Debug)]
pub struct SseReader {
    /// Maximum number of bytes of a line, and of an event's data.
    limit: usize,
    /// The start of an incomplete line.
    line: Vec<u8>,
    line_too_long: bool,
    name: Vec<u8>,
    data: Data,
    /// The last byte was a carriage return: a following line feed belongs to it.
    after_carriage_return: bool,
    at_first_line: bool,
    /// The joined `data:` lines. The buffer is reused between events.
    joined: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    /// No `data:` line yet. An event without one is ignored.
    Absent,
    /// In [`SseReader::joined`].
    Kept,
    TooLong,
}

impl SseReader {
    /// A reader that stores at most `limit` bytes of an event's data and of a line.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            line_too_long: false,
            name: Vec::new(),
            data: Data::Absent,
            after_carriage_return: false,
            at_first_line: true,
            joined: Vec::new(),
        }
    }

    /// Reads the next bytes of the stream and calls `on_event` for each event that they complete,
    /// in order.
    pub fn push(&mut self, bytes: &[u8], mut on_event: impl FnMut(SseEvent<'_>)) {
        let mut rest = bytes;
        loop {
            if self.after_carriage_return && !rest.is_empty() {
                self.after_carriage_return = false;
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            let end = memchr::memchr2(b'\n', b'\r', rest);
            let Some((head, [terminator, tail @ ..])) = end.map(|at| rest.split_at(at)) else {
                self.buffer(rest);
                return;
            };
            self.after_carriage_return = *terminator == b'\r';
            rest = tail;
            self.end_line(head, &mut on_event);
        }
    }

    /// Stores a part of an incomplete line.
    fn buffer(&mut self, part: &[u8]) {
        let free = self.limit.saturating_sub(self.line.len());
        self.line_too_long |= part.len() > free;
        self.line
            .extend_from_slice(part.get(..free).unwrap_or(part));
    }

    fn end_line(&mut self, tail: &[u8], on_event: &mut impl FnMut(SseEvent<'_>)) {
        if self.line.is_empty() && tail.len() <= self.limit {
            // The usual case, without a copy: the whole line is in one piece.
            self.read_line(tail, on_event);
            return;
        }
        self.buffer(tail);
        let mut line = std::mem::take(&mut self.line);
        self.read_line(&line, on_event);
        line.clear();
        self.line = line;
        self.line_too_long = false;
    }

    fn read_line(&mut self, line: &[u8], on_event: &mut impl FnMut(SseEvent<'_>)) {
        let line = if std::mem::take(&mut self.at_first_line) {
            line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            self.end_event(on_event);
            return;
        }
        // The colon is among the first bytes, where a loop is faster than a search by vectors.
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = match colon.map(|at| line.split_at(at)) {
            Some((field, [_, value @ ..])) => (field, value.strip_prefix(b" ").unwrap_or(value)),
            _ => (line, &[][..]),
        };
        match field {
            b"data" => self.add_data(value),
            b"event" => {
                self.name.clear();
                if !self.line_too_long {
                    self.name.extend_from_slice(value);
                }
            }
            // Comments, `id`, `retry` and unknown fields have no meaning here.
            _ => {}
        }
    }

    fn add_data(&mut self, value: &[u8]) {
        let joint = usize::from(self.data == Data::Kept);
        let fits = self.joined.len() + joint + value.len() <= self.limit;
        match self.data {
            Data::Absent | Data::Kept if fits && !self.line_too_long => {
                if self.data == Data::Kept {
                    self.joined.push(b'\n');
                }
                self.joined.extend_from_slice(value);
                self.data = Data::Kept;
            }
            _ => {
                self.joined.clear();
                self.data = Data::TooLong;
            }
        }
    }

    fn end_event(&mut self, on_event: &mut impl FnMut(SseEvent<'_>)) {
        let data = match self.data {
            Data::Absent => {
                self.name.clear();
                return;
            }
            Data::Kept => Some(self.joined.as_slice()),
            Data::TooLong => None,
        };
        let name = if self.name.is_empty() {
            "message"
        } else {
            std::str::from_utf8(&self.name).unwrap_or_default()
        };
        on_event(SseEvent { name, data });
        self.name.clear();
        self.joined.clear();
        self.data = Data::Absent;
    }
}
