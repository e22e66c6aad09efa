//! What the APIs of operations on the admin ports have in common: paths, requests, answers and the
//! OpenAPI document. The client for command lines is the crate `admin-client`.
//!
//! An operation is work that a person asks a process for. A request is recorded and answered with
//! 202; the record says who asked and why, how far the work is, and how it ended. What kinds of
//! operations there are, and where they are recorded, is up to the program.

pub mod answer;
pub mod document;
mod request;
mod turns;
mod words;

pub use request::{CancelBody, ListQuery, MAX_PAGE};
pub use turns::Turns;
pub use words::{check_id, check_words, unknown};

/// The path of the collection.
pub const PATH: &str = "/admin/v1/operations";
/// The path of the OpenAPI document.
pub const DOCUMENT_PATH: &str = "/admin/v1/openapi.json";
