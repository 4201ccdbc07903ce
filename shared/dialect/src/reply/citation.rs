//! Citations of Converse as citations of Anthropic's API.

use serde::{Deserialize, Deserializer, Serialize};

use crate::ReplyContext;

/// A citation of the Converse API
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Citation.html>).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Citation {
    /// Title of the cited document or search result.
    pub title: Option<String>,
    /// Source of the cited search result.
    pub source: Option<String>,
    /// The cited text: the joined texts of `sourceContent`.
    pub cited_text: String,
    /// The location of the cited text. `None` for a web page or an unknown kind: Anthropic's web
    /// citation needs an encrypted index, which Bedrock does not send.
    pub location: Option<CitationLocation>,
}

/// `location` of a citation, with Bedrock's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CitationLocation {
    /// The unit of the numbers.
    pub unit: CitationUnit,
    /// `documentIndex` or `searchResultIndex`.
    pub index: i64,
    /// `start`.
    pub start: i64,
    /// `end`.
    pub end: i64,
}

/// The member of the `location` union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CitationUnit {
    /// `documentChar`.
    DocumentChar,
    /// `documentPage`.
    DocumentPage,
    /// `documentChunk`.
    DocumentChunk,
    /// `searchResultLocation`.
    SearchResult,
}

/// A citation of Anthropic's API.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(
    clippy::enum_variant_names,
    reason = "the variants are Anthropic's type names"
)]
pub(crate) enum WireCitation<'a> {
    CharLocation {
        #[serde(flatten)]
        document: CitedDocument<'a>,
        start_char_index: i64,
        end_char_index: i64,
    },
    PageLocation {
        #[serde(flatten)]
        document: CitedDocument<'a>,
        start_page_number: i64,
        end_page_number: i64,
    },
    ContentBlockLocation {
        #[serde(flatten)]
        document: CitedDocument<'a>,
        start_block_index: i64,
        end_block_index: i64,
    },
    SearchResultLocation {
        cited_text: &'a str,
        search_result_index: i64,
        source: &'a str,
        title: Option<&'a str>,
        start_block_index: i64,
        end_block_index: i64,
    },
}

/// The common members of the citations of documents.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CitedDocument<'a> {
    cited_text: &'a str,
    document_index: i64,
    document_title: Option<&'a str>,
    /// Always `null`: files are not sent to Bedrock.
    file_id: Option<()>,
}

impl Citation {
    /// The citation in Anthropic's form; `None` for a location that Anthropic's API does not have.
    /// The title of a document is the client's; Bedrock's `title` is the name that Spillway gave
    /// the document.
    pub(crate) fn wire<'a>(&'a self, context: &'a ReplyContext) -> Option<WireCitation<'a>> {
        let CitationLocation {
            unit,
            index,
            start,
            end,
        } = self.location?;
        let document = CitedDocument {
            cited_text: &self.cited_text,
            document_index: index,
            document_title: context.document_title(self.title.as_deref(), index),
            file_id: None,
        };
        Some(match unit {
            CitationUnit::DocumentChar => WireCitation::CharLocation {
                document,
                start_char_index: start,
                end_char_index: end,
            },
            CitationUnit::DocumentPage => WireCitation::PageLocation {
                document,
                start_page_number: start,
                end_page_number: end,
            },
            CitationUnit::DocumentChunk => WireCitation::ContentBlockLocation {
                document,
                start_block_index: start,
                end_block_index: end,
            },
            CitationUnit::SearchResult => WireCitation::SearchResultLocation {
                cited_text: &self.cited_text,
                search_result_index: index,
                source: self.source.as_deref().unwrap_or_default(),
                title: self.title.as_deref(),
                start_block_index: start,
                end_block_index: end,
            },
        })
    }
}

impl<'de> Deserialize<'de> for Citation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = CitationJson::deserialize(deserializer)?;
        let texts = json.source_content.unwrap_or_default();
        Ok(Self {
            title: json.title,
            source: json.source,
            cited_text: texts.into_iter().filter_map(|part| part.text).collect(),
            location: json.location.and_then(LocationJson::read),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CitationJson {
    title: Option<String>,
    source: Option<String>,
    source_content: Option<Vec<SourceText>>,
    location: Option<LocationJson>,
}

#[derive(Deserialize)]
struct SourceText {
    text: Option<String>,
}

/// A union: exactly one member is present.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LocationJson {
    document_char: Option<Span>,
    document_page: Option<Span>,
    document_chunk: Option<Span>,
    search_result_location: Option<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    #[serde(alias = "searchResultIndex")]
    document_index: Option<i64>,
    start: Option<i64>,
    end: Option<i64>,
}

impl LocationJson {
    fn read(self) -> Option<CitationLocation> {
        let (unit, span) = [
            (CitationUnit::DocumentChar, self.document_char),
            (CitationUnit::DocumentPage, self.document_page),
            (CitationUnit::DocumentChunk, self.document_chunk),
            (CitationUnit::SearchResult, self.search_result_location),
        ]
        .into_iter()
        .find_map(|(unit, span)| Some((unit, span?)))?;
        Some(CitationLocation {
            unit,
            index: span.document_index.unwrap_or_default(),
            start: span.start.unwrap_or_default(),
            end: span.end.unwrap_or_default(),
        })
    }
}
