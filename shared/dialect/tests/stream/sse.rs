//! The reader of server-sent events.

use dialect::sse::{PING, SseReader, error_event};
use insta::assert_snapshot;

/// Every event as `name=data`.
fn read(limit: usize, pieces: &[&[u8]]) -> Vec<String> {
    let mut reader = SseReader::new(limit);
    let mut seen = Vec::new();
    for piece in pieces {
        reader.push(piece, |event| {
            let data = event
                .data
                .map_or("(too long)".into(), String::from_utf8_lossy);
            seen.push(format!("{}={data}", event.name));
        });
    }
    seen
}

#[test]
fn sse_reader_follows_the_grammar_of_the_standard() {
    let table: &[(&str, &[&str])] = &[
        ("event: ping\ndata: {}\n\n", &["ping={}"]),
        ("event:ping\ndata:{}\n\n", &["ping={}"]),
        ("data: {}\nevent: ping\n\n", &["ping={}"]),
        (
            "event: a\r\ndata: 1\r\n\r\nevent: b\rdata: 2\r\r",
            &["a=1", "b=2"],
        ),
        ("data: one\ndata: two\n\n", &["message=one\ntwo"]),
        ("data:  two spaces\n\n", &["message= two spaces"]),
        ("data\n\n", &["message="]),
        ("\u{feff}data: 1\n\n", &["message=1"]),
        (
            ": comment\nid: 7\nretry: 5\nunknown: x\ndata: 1\n\n",
            &["message=1"],
        ),
        ("event: nothing\n\ndata: 1\n\n", &["message=1"]),
        ("data: not ended\n", &[]),
        ("\n\n\n", &[]),
        ("", &[]),
    ];
    for (stream, events) in table {
        assert_eq!(read(100, &[stream.as_bytes()]), *events, "{stream:?}");
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(read(100, &bytes), *events, "{stream:?} byte by byte");
    }
}

#[test]
fn event_beyond_the_limit_has_no_data_and_the_next_is_complete() {
    let stream = b"event: big\ndata: 0123456789\n\nevent: small\ndata: 1\n\n";
    assert_eq!(read(15, &[stream]), ["big=(too long)", "small=1"]);
    assert_eq!(read(16, &[stream]), ["big=0123456789", "small=1"]);
    let many_lines = b"data: 01234\ndata: 56789\n\ndata: 1\n\n";
    assert_eq!(
        read(11, &[many_lines]),
        ["message=01234\n56789", "message=1"]
    );
    assert_eq!(read(10, &[many_lines]), ["message=(too long)", "message=1"]);
}

#[test]
fn written_frames_are_read_as_frames() {
    let mut out = PING.to_vec();
    error_event(&mut out, "overloaded_error", "two\nlines", "req_1");
    assert_snapshot!(read(1000, &[&out]).join("\n"), @r#"
    ping={"type":"ping"}
    error={"type":"error","error":{"type":"overloaded_error","message":"two\nlines"},"request_id":"req_1"}
    "#);
}
