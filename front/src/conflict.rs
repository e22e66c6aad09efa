//! Why the descriptions of the two APIs do not go together.

use axum::http::Method;

/// Why the descriptions of the two APIs do not go together. What was known before stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Conflict {
    /// A document is not JSON.
    #[error("a description of {0} is not JSON")]
    Unreadable(&'static str, #[source] serde_json::Error),
    /// Both have the same operation.
    #[error("both APIs have the operation {0} {1}")]
    Operation(Method, String),
    /// A path cannot be told from others.
    #[error("the path {0} cannot be told from others")]
    Path(String, #[source] matchit::InsertError),
    /// A part of the documents has two meanings.
    #[error("both APIs describe {0}, each in another way")]
    Part(String),
    /// A GraphQL schema cannot be parsed.
    #[error("the GraphQL schema of {0} cannot be read: {1}")]
    Schema(&'static str, String),
    /// A GraphQL type has two meanings.
    #[error("both APIs have the GraphQL type {0}, but {1}")]
    Type(String, String),
    /// The types of both together are no schema.
    #[error("the GraphQL types of both APIs are no schema: {0}")]
    Together(String),
}
