//! Citations: the passages of a request's documents and search results, and the formats of both services
//! (<https://docs.claude.com/en/docs/build-with-claude/citations>,
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Citation.html>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::json::{at, elements, text};
use super::script::{Citation, Location};

/// The maximum number of citations in a response.
const CITED: usize = 2;

/// The maximum length of a cited passage, in characters.
const PASSAGE: usize = 400;

/// The passages so far. Documents and search results are counted separately, over all messages.
#[derive(Default)]
struct Counted {
    documents: usize,
    search_results: usize,
    passages: Vec<Citation>,
}

/// The passages to cite from a Messages API body: those of the first documents and search results with
/// citations enabled.
pub(super) fn from_messages(body: &Value) -> Vec<Citation> {
    let mut counted = Counted::default();
    for message in elements(at(body, "/messages")) {
        for block in elements(at(message, "/content")) {
            counted.add_block(block);
            for block in elements(at(block, "/content")) {
                counted.add_block(block);
            }
        }
    }
    counted.first_passages()
}

/// The passages to cite from a Converse body. The title of a document's citation is the document's `name`; its
/// `context` is not returned.
pub(super) fn from_converse(body: &Value) -> Vec<Citation> {
    let mut counted = Counted::default();
    for message in elements(at(body, "/messages")) {
        for block in elements(at(message, "/content")) {
            counted.add_converse_block(block);
            for block in elements(at(block, "/toolResult/content")) {
                counted.add_converse_block(block);
            }
        }
    }
    counted.first_passages()
}

impl Counted {
    fn add_block(&mut self, block: &Value) {
        let enabled = at(block, "/citations/enabled") == true;
        let title = text(block, "/title");
        match text(block, "/type") {
            Some("document") => {
                let source = at(block, "/source");
                let (plain, chunks) = match text(source, "/type") {
                    Some("text") => (text(source, "/data"), None),
                    Some("content") => (None, Some(at(source, "/content"))),
                    _ => (None, None),
                };
                self.add_document(enabled, title, plain, chunks);
            }
            Some("search_result") => self.add_search_result(enabled, block),
            _ => {}
        }
    }

    fn add_converse_block(&mut self, block: &Value) {
        if let Some(document) = block.get("document") {
            let enabled = at(document, "/citations/enabled") == true;
            let chunks = document.pointer("/source/content");
            let decoded = text(document, "/source/bytes")
                .filter(|_| text(document, "/format") == Some("txt"))
                .and_then(|bytes| BASE64.decode(bytes).ok())
                .and_then(|bytes| String::from_utf8(bytes).ok());
            let plain = text(document, "/source/text").or(decoded.as_deref());
            self.add_document(enabled, text(document, "/name"), plain, chunks);
        } else if let Some(result) = block.get("searchResult") {
            self.add_search_result(at(result, "/citations/enabled") == true, result);
        }
    }

    fn add_document(
        &mut self,
        enabled: bool,
        title: Option<&str>,
        plain: Option<&str>,
        chunks: Option<&Value>,
    ) {
        let document = self.documents;
        self.documents += 1;
        if !enabled {
            return;
        }
        let mut add = |cited_text: String, location| {
            self.passages.push(Citation {
                title: title.map(str::to_owned),
                cited_text,
                location,
            });
        };
        if let Some(plain) = plain {
            let mut start = 0;
            for sentence in plain.split_inclusive(". ").take(CITED) {
                let cited = shortened(sentence);
                let end = start + cited.chars().count();
                add(
                    cited,
                    Location::Char {
                        document,
                        start,
                        end,
                    },
                );
                start += sentence.chars().count();
            }
        } else if let Some(chunks) = chunks {
            for (start, chunk) in elements(chunks).iter().enumerate().take(CITED) {
                let end = start + 1;
                let cited = shortened(text(chunk, "/text").unwrap_or_default());
                add(
                    cited,
                    Location::Chunk {
                        document,
                        start,
                        end,
                    },
                );
            }
        } else {
            // Pages count from 1; the end is exclusive.
            let (start, end) = (1, 2);
            let cited = "What stands on the first page.".to_owned();
            add(
                cited,
                Location::Page {
                    document,
                    start,
                    end,
                },
            );
        }
    }

    fn add_search_result(&mut self, enabled: bool, block: &Value) {
        let result = self.search_results;
        self.search_results += 1;
        let Some(first) = elements(at(block, "/content")).first().filter(|_| enabled) else {
            return;
        };
        self.passages.push(Citation {
            title: text(block, "/title").map(str::to_owned),
            cited_text: shortened(text(first, "/text").unwrap_or_default()),
            location: Location::SearchResult {
                result,
                source: text(block, "/source").unwrap_or_default().to_owned(),
                start: 0,
                end: 1,
            },
        });
    }

    fn first_passages(mut self) -> Vec<Citation> {
        self.passages.truncate(CITED);
        self.passages
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(PASSAGE).collect()
}

impl Citation {
    /// The citation in the format of the Messages API.
    pub(super) fn messages(&self) -> Value {
        let (title, cited_text) = (&self.title, &self.cited_text);
        let (kind, unit, document, start, end) = match &self.location {
            Location::Char {
                document,
                start,
                end,
            } => ("char_location", "char_index", document, start, end),
            Location::Page {
                document,
                start,
                end,
            } => ("page_location", "page_number", document, start, end),
            Location::Chunk {
                document,
                start,
                end,
            } => (
                "content_block_location",
                "block_index",
                document,
                start,
                end,
            ),
            Location::SearchResult {
                result,
                source,
                start,
                end,
            } => {
                return json!({
                    "type": "search_result_location", "cited_text": cited_text,
                    "search_result_index": result, "source": source, "title": title,
                    "start_block_index": start, "end_block_index": end,
                });
            }
        };
        json!({
            "type": kind, "cited_text": cited_text,
            "document_index": document, "document_title": title,
            format!("start_{unit}"): start, format!("end_{unit}"): end,
            "file_id": null,
        })
    }

    /// The citation in the format of Converse.
    pub(super) fn converse(&self) -> Value {
        let (member, index, number, start, end) = match &self.location {
            Location::Char {
                document,
                start,
                end,
            } => ("documentChar", "documentIndex", document, start, end),
            Location::Page {
                document,
                start,
                end,
            } => ("documentPage", "documentIndex", document, start, end),
            Location::Chunk {
                document,
                start,
                end,
            } => ("documentChunk", "documentIndex", document, start, end),
            Location::SearchResult {
                result, start, end, ..
            } => (
                "searchResultLocation",
                "searchResultIndex",
                result,
                start,
                end,
            ),
        };
        let mut citation = json!({
            "location": { member: { index: number, "start": start, "end": end } },
            "sourceContent": [{ "text": self.cited_text }],
        });
        if let Some(members) = citation.as_object_mut() {
            if let Location::SearchResult { source, .. } = &self.location {
                members.insert("source".into(), source.as_str().into());
            }
            if let Some(title) = &self.title {
                members.insert("title".into(), title.as_str().into());
            }
        }
        citation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_numbered_over_all_messages() {
        let text = json!({ "type": "text", "media_type": "text/plain", "data": "One é. Two." });
        let document = |enabled: bool| {
            json!({
                "type": "document", "source": text, "title": "facts.txt",
                "citations": { "enabled": enabled },
            })
        };
        let body = json!({ "messages": [
            { "role": "user", "content": [document(false)] },
            { "role": "assistant", "content": "ok" },
            { "role": "user", "content": [document(true)] },
        ]});
        let cited: Vec<_> = from_messages(&body)
            .iter()
            .map(Citation::messages)
            .collect();
        let expected = |cited_text: &str, start: usize, end: usize| {
            json!({
                "type": "char_location", "cited_text": cited_text, "document_index": 1,
                "document_title": "facts.txt", "start_char_index": start, "end_char_index": end,
                "file_id": null,
            })
        };
        assert_eq!(cited, [expected("One é. ", 0, 7), expected("Two.", 7, 11)]);
    }

    #[test]
    fn a_text_in_bytes_is_cited_by_its_characters() {
        let body = json!({ "messages": [{ "role": "user", "content": [{ "document": {
            "name": "facts", "format": "txt", "source": { "bytes": BASE64.encode("One. Two.") },
            "citations": { "enabled": true },
        }}]}]});
        let locations: Vec<_> = from_converse(&body)
            .into_iter()
            .map(|citation| citation.location)
            .collect();
        let place = |start, end| Location::Char {
            document: 0,
            start,
            end,
        };
        assert_eq!(locations, [place(0, 5), place(5, 9)]);
    }

    #[test]
    fn converse_documents_are_cited_by_their_names() {
        let body = json!({ "messages": [{ "role": "user", "content": [
            { "document": {
                "name": "company policy", "context": "HR Manual", "format": "txt",
                "source": { "content": [{ "text": "Twenty days." }] },
                "citations": { "enabled": true },
            }},
            { "searchResult": {
                "source": "https://example.com", "title": "Days", "citations": { "enabled": true },
                "content": [{ "text": "Thirty." }],
            }},
        ]}]});
        let cited: Vec<_> = from_converse(&body)
            .iter()
            .map(Citation::converse)
            .collect();
        assert_eq!(
            cited,
            [
                json!({
                    "title": "company policy", "sourceContent": [{ "text": "Twenty days." }],
                    "location": { "documentChunk": { "documentIndex": 0, "start": 0, "end": 1 } },
                }),
                json!({
                    "title": "Days", "source": "https://example.com",
                    "sourceContent": [{ "text": "Thirty." }],
                    "location": { "searchResultLocation": {
                        "searchResultIndex": 0, "start": 0, "end": 1,
                    }},
                }),
            ]
        );
    }
}
