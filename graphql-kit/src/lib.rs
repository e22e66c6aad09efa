//! GraphQL over HTTP and over web sockets, for any schema: how a request is read, what it may cost,
//! and how it is answered.
//!
//! It follows the draft "GraphQL over HTTP" of the GraphQL Foundation. A request is a POST with
//! JSON, or a GET for a query. The answer is `application/graphql-response+json` for a client that
//! asks for it, and otherwise `application/json`, where a request that is not executed is answered
//! with 200.
//!
//! A document is checked before anything of it is executed ([`limits`]). Several requests in one
//! body are refused: each would get past the limits of one.

pub mod accept;
pub mod answer;
mod documents;
pub mod endpoint;
pub mod limits;
mod prompt;
pub mod request;
mod root;
pub mod socket;

pub use endpoint::{Endpoint, Executes};
pub use limits::{Introspection, limited};
pub use prompt::{AtOnce, Prompt, selects};
