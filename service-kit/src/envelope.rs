//! The envelope of every successful answer: `{data, meta}`.

use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A successful answer: the data, and metadata about it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Envelope<T> {
    /// The requested data.
    pub data: T,
    /// Metadata about this answer.
    pub meta: Meta,
}

/// Metadata about an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Meta {
    /// The id of the request, also in the header `X-Request-Id`.
    pub request_id: String,
    /// The time at which the answer was made.
    pub timestamp: DateTime<Utc>,
    /// The id of the history that `position` belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub epoch: Option<Uuid>,
    /// For a command: the position of its last event. For a query: the position up to which the
    /// data is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub position: Option<i64>,
    /// Only for queries: how old the data is, in seconds. The data shows every event that was
    /// recorded until so long before it was read. Absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    pub lag_seconds: Option<f64>,
    /// Whether the data is known to lack events that could not be applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stale: Option<bool>,
    /// Paging information; only for lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub page: Option<PageInfo>,
    /// Only for commands. Pass it to a query, and the query waits until it shows this command's
    /// effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub consistency_token: Option<String>,
}

/// The position of a page within a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PageInfo {
    /// The number of the page, starting at 1; only for numbered pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub page: Option<u32>,
    /// The maximum number of items in a page.
    pub page_size: u32,
    /// The number of pages; only for numbered pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub total_pages: Option<i64>,
    /// The number of items in the list; only for numbered pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub total_items: Option<i64>,
    /// The cursor of the next page; null at the end of the list.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// Whether more items follow.
    pub has_more: bool,
}

impl Meta {
    /// The metadata that every answer has. Set the other fields where they apply.
    pub const fn new(request_id: String, timestamp: DateTime<Utc>) -> Self {
        Self {
            request_id,
            timestamp,
            epoch: None,
            position: None,
            lag_seconds: None,
            stale: None,
            page: None,
            consistency_token: None,
        }
    }

    /// Adds the history and the position that the answer shows.
    #[must_use]
    pub const fn at(mut self, epoch: Uuid, position: i64) -> Self {
        self.epoch = Some(epoch);
        self.position = Some(position);
        self
    }
}

/// A lag as answers show it: in seconds, to the millisecond.
pub fn lag_seconds(lag: Duration) -> f64 {
    // Dividing gives the number that is written with three decimals.
    (lag.as_secs_f64() * 1_000.0).round() / 1_000.0
}

/// What an answer as JSON begins with.
const BEFORE_DATA: &[u8] = b"{\"data\":";
/// The room for what follows the data, in bytes.
const META_BYTES: usize = 512;

/// The beginning of an envelope with its data. So the data is written once, for its tag and for the
/// answer, and not copied.
#[derive(Debug)]
pub struct WrittenData(Vec<u8>);

impl WrittenData {
    /// Writes data as JSON. `about` is its size in bytes, if it is as large as usual.
    ///
    /// # Errors
    /// The data cannot be written as JSON.
    pub fn new(data: &(impl Serialize + ?Sized), about: usize) -> serde_json::Result<Self> {
        let mut written = Vec::with_capacity(BEFORE_DATA.len() + about + META_BYTES);
        written.extend_from_slice(BEFORE_DATA);
        serde_json::to_writer(&mut written, data)?;
        Ok(Self(written))
    }

    /// The data as JSON.
    pub fn json(&self) -> &[u8] {
        &self.0[BEFORE_DATA.len()..]
    }

    /// The answer, as [`Envelope`] makes it.
    ///
    /// # Errors
    /// The metadata cannot be written as JSON.
    pub fn answer(self, meta: &Meta) -> serde_json::Result<Response> {
        let Self(mut written) = self;
        written.extend_from_slice(b",\"meta\":");
        serde_json::to_writer(&mut written, meta)?;
        written.push(b'}');
        let json = HeaderValue::from_static("application/json");
        Ok(([(CONTENT_TYPE, json)], written).into_response())
    }
}

impl<T: Serialize> IntoResponse for Envelope<T> {
    fn into_response(self) -> Response {
        axum::Json(self).into_response()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn data_that_was_written_before_makes_the_same_answer() {
        let data = ["one", "two"];
        let meta = Meta::new("id".to_owned(), DateTime::UNIX_EPOCH).at(Uuid::nil(), 7);
        let written = WrittenData::new(&data, 0).unwrap();
        assert_eq!(written.json(), br#"["one","two"]"#);
        let answers = [written.answer(&meta).unwrap(), Envelope { data, meta }.into_response()];
        let mut shown = Vec::new();
        for answer in answers {
            let (parts, body) = answer.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            shown.push((parts.status, parts.headers, body));
        }
        assert_eq!(shown[0], shown[1]);
    }
}
