//! The envelope that every successful answer comes in: `{data, meta}`.

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// An answer: the data and what is to be known about it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Envelope<T> {
    /// What was asked for.
    pub data: T,
    /// About this answer.
    pub meta: Meta,
}

/// About an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Meta {
    /// The id of the request, also in the header `X-Request-Id`.
    pub request_id: String,
    /// When the answer was made.
    pub timestamp: DateTime<Utc>,
    /// The history that `position` belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub epoch: Option<Uuid>,
    /// A command's answer: the position of its last event. A query's: the position up to which the
    /// data are complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub position: Option<i64>,
    /// Whether the data are known to lack events that could not be applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stale: Option<bool>,
    /// Only with lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub page: Option<PageInfo>,
    /// Only with commands: give it to a query and the query waits until it shows this command's
    /// effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub consistency_token: Option<String>,
}

/// Which part of a list this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PageInfo {
    /// The number of the page, from 1; only when pages are numbered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub page: Option<u32>,
    /// How many items a page holds at most.
    pub page_size: u32,
    /// How many pages there are; only when pages are numbered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub total_pages: Option<i64>,
    /// How many items there are; only when pages are numbered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub total_items: Option<i64>,
    /// Where the next part begins; null at the end.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// Whether more follows.
    pub has_more: bool,
}

impl Meta {
    /// What every answer says; set the other fields where they apply.
    pub const fn new(request_id: String, timestamp: DateTime<Utc>) -> Self {
        Self {
            request_id,
            timestamp,
            epoch: None,
            position: None,
            stale: None,
            page: None,
            consistency_token: None,
        }
    }

    /// Names the history and the position that the answer shows.
    #[must_use]
    pub const fn at(mut self, epoch: Uuid, position: i64) -> Self {
        self.epoch = Some(epoch);
        self.position = Some(position);
        self
    }
}

impl<T: Serialize> IntoResponse for Envelope<T> {
    fn into_response(self) -> Response {
        axum::Json(self).into_response()
    }
}
