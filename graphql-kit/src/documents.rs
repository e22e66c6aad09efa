//! The documents that were parsed lately, by their texts. Clients send the same few documents again
//! and again, and a copy of a parsed document costs much less than parsing it.
//!
//! A document is kept after it has passed the limits. Everything else is checked for each request.

use std::sync::Arc;

use async_graphql::Request;
use async_graphql::parser::types::ExecutableDocument;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// The longest text that is kept, in bytes.
const MAX_TEXT: usize = 8 * 1024;
/// The maximum size of all that is kept, in bytes.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// The size of a parsed document for each byte of its text, at most. A field takes up to 400 bytes,
/// and its name may be one letter and a space.
const SIZE_OF_BYTE: u64 = 200;
/// The number of documents that there is room for, if they are as long as usual.
const USUAL: usize = 128;

/// Parsed documents by their texts. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Documents(Arc<Cache<Box<str>, Arc<ExecutableDocument>, Size>>);

#[derive(Debug, Clone)]
struct Size;

impl Weighter<Box<str>, Arc<ExecutableDocument>> for Size {
    fn weight(&self, text: &Box<str>, _: &Arc<ExecutableDocument>) -> u64 {
        text.len() as u64 * SIZE_OF_BYTE
    }
}

impl Default for Documents {
    fn default() -> Self {
        Self(Arc::new(Cache::with_weighter(USUAL, MAX_BYTES, Size)))
    }
}

impl Documents {
    /// Gives a request its parsed document, if it is known. Returns whether it is.
    pub(crate) fn recall(&self, request: &mut Request) -> bool {
        let Some(document) = self.0.get(request.query.as_str()) else { return false };
        request.set_parsed_query(document.as_ref().clone());
        true
    }

    /// Keeps the parsed document of a text.
    pub(crate) fn keep(&self, text: &str, document: &ExecutableDocument) {
        if text.len() <= MAX_TEXT {
            self.0.insert(text.into(), Arc::new(document.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn keep(documents: &Documents, text: String) {
        let mut request = Request::new(text);
        let document = request.parsed_query().unwrap().clone();
        documents.keep(&request.query, &document);
    }

    #[test]
    fn a_document_is_known_by_its_text_and_all_together_stay_within_the_limit() {
        let documents = Documents::default();
        keep(&documents, "{ a }".to_owned());
        assert!(documents.recall(&mut Request::new("{ a }")));
        assert!(!documents.recall(&mut Request::new("{ a  }")));
        let long = format!("{{ a {} }}", " ".repeat(MAX_TEXT));
        keep(&documents, long.clone());
        assert!(!documents.recall(&mut Request::new(long)));
        for number in 0..1_000 {
            keep(&documents, format!("{{ a{number} {} }}", " ".repeat(MAX_TEXT / 2)));
        }
        assert!(documents.0.weight() <= MAX_BYTES && !documents.0.is_empty());
    }
}
