//! How an event stream of the Messages API starts: with content, or with an error.
//!
//! Before the first content the caller can replace the stream by another upstream or by an error
//! status. It therefore buffers the start of the stream, up to a limit, and reads a copy of it
//! here.

use crate::sse::SseReader;

/// Maximum number of buffered events.
pub const MAX_EVENTS: usize = 64;

/// Limit of buffered bytes. The piece that exceeds it is the last one that is buffered.
pub const MAX_BYTES: usize = 256 * 1024;

/// Maximum size of an error event's data, in bytes. Anthropic's have some hundred bytes.
const ERROR_BYTES: usize = 16 * 1024;

/// How a stream starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamStart {
    /// A content event: `content_block_start`, or any that comes after it.
    Content,
    /// An `error` event before any content: its data, empty when it exceeds the limit.
    Error(Vec<u8>),
    /// Neither, within the limits: the stream is passed on without further buffering.
    LimitReached,
}

/// Returns true for the name of a content event: `content_block_start` or any event after it.
pub fn is_content(event: &str) -> bool {
    matches!(
        event,
        "content_block_start"
            | "content_block_delta"
            | "content_block_stop"
            | "message_delta"
            | "message_stop"
    )
}

/// Reads the start of a stream.
#[derive(Debug)]
pub struct StreamStartReader {
    reader: SseReader,
    events: usize,
    bytes: usize,
}

impl Default for StreamStartReader {
    fn default() -> Self {
        Self {
            reader: SseReader::new(ERROR_BYTES),
            events: 0,
            bytes: 0,
        }
    }
}

impl StreamStartReader {
    /// Reads the next bytes of the stream. Returns how it starts, once that is known.
    pub fn push(&mut self, piece: &[u8]) -> Option<StreamStart> {
        let Self {
            reader,
            events,
            bytes,
        } = self;
        let mut opened = None;
        reader.push(piece, |event| {
            *events += 1;
            if opened.is_some() {
                return;
            }
            opened = match event.name {
                name if is_content(name) => Some(StreamStart::Content),
                "error" => Some(StreamStart::Error(event.data.unwrap_or_default().to_vec())),
                _ => None,
            };
        });
        *bytes = bytes.saturating_add(piece.len());
        opened.or_else(|| {
            (*events >= MAX_EVENTS || *bytes >= MAX_BYTES).then_some(StreamStart::LimitReached)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
    const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    const BLOCK: &str = "event: content_block_start\ndata: {\"index\":0}\n\n";
    const ERROR: &str = "event: error\ndata: {\"type\":\"error\"}\n\n";

    fn opened(text: &str) -> Option<StreamStart> {
        StreamStartReader::default().push(text.as_bytes())
    }

    #[test]
    fn stream_start_is_known_at_the_first_content_or_error_event() {
        let error = || Some(StreamStart::Error(b"{\"type\":\"error\"}".to_vec()));
        let cases = [
            (String::new(), None),
            (START.to_owned(), None),
            (format!("{START}{PING}: comment\n\n"), None),
            (format!("{START}{BLOCK}"), Some(StreamStart::Content)),
            (format!("{START}event: x-future\ndata: {{}}\n\n"), None),
            (ERROR.to_owned(), error()),
            (format!("{START}{PING}{ERROR}"), error()),
            (format!("{BLOCK}{ERROR}"), Some(StreamStart::Content)),
            (format!("{ERROR}{BLOCK}"), error()),
            (
                "event: message_delta\ndata: {}\n\n".to_owned(),
                Some(StreamStart::Content),
            ),
            ("event: content_block_start\ndata: {}\n".to_owned(), None),
            // Clients ignore an event without an `event:` line.
            (
                "data: {\"type\":\"content_block_start\"}\n\n".to_owned(),
                None,
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(opened(&text), expected, "{text}");
        }
    }

    #[test]
    fn stream_start_is_found_at_the_same_byte_for_every_split() {
        let text = format!("{START}{PING}{BLOCK}");
        for at in 0..text.len() {
            let (left, right) = text.split_at(at);
            let mut watch = StreamStartReader::default();
            assert_eq!(watch.push(left.as_bytes()), None, "split at {at}");
            assert_eq!(
                watch.push(right.as_bytes()),
                Some(StreamStart::Content),
                "split at {at}"
            );
        }
    }

    #[test]
    fn buffering_ends_at_the_limits() {
        let mut watch = StreamStartReader::default();
        let seen = (0..).find_map(|number| Some((number, watch.push(PING.as_bytes())?)));
        assert_eq!(
            seen,
            Some((MAX_EVENTS - 1, StreamStart::LimitReached)),
            "events"
        );

        let mut watch = StreamStartReader::default();
        let piece = [b'x'; 1024];
        let seen = (1..).find_map(|number| Some((number * piece.len(), watch.push(&piece)?)));
        assert_eq!(
            seen,
            Some((MAX_BYTES, StreamStart::LimitReached)),
            "one event that does not end"
        );
    }

    #[test]
    fn error_event_beyond_the_limit_is_returned_without_data() {
        let text = format!("event: error\ndata: {}\n\n", "x".repeat(ERROR_BYTES + 1));
        assert_eq!(opened(&text), Some(StreamStart::Error(Vec::new())));
    }
}
