//! The OpenAPI document of the admin port's operations. The tests check its kinds, fields and
//! limits against the code that reads them.

use axum::response::{IntoResponse as _, Response};
use projection::operation::record::MAX_WORDS;
use projection::operation::{Kind, MAX_KEPT};
use serde_json::{Value, json};
use service_kit::operations::document::{
    self, Description, Field, WHO_MAY_ASK, count, integer, object, recorded, text, words,
};

/// Answers with the document.
pub(super) async fn serve() -> Response {
    axum::Json(document()).into_response()
}

/// Returns the document.
pub(crate) fn document() -> Value {
    document::document(&Description {
        title: "Daybook projector operations",
        version: env!("CARGO_PKG_VERSION"),
        description: &format!(
            "Asks a running projector for operations, follows and cancels them. {WHO_MAY_ASK}"
        ),
        list: format!("Lists operations, the newest first; {MAX_KEPT} finished ones are kept."),
        conflict: "Another operation works on the projection (`operation/busy`), the projection \
            is paused (`operation/paused`), or the operation has ended (`operation/finished`)",
        unavailable: "The read model's database is away, or too many operations or requests wait",
        by: by(),
        requests: Kind::ALL.iter().map(|kind| request(*kind)).collect(),
        record: record(),
    })
}

/// The body of a request for an operation of this kind.
fn request(kind: Kind) -> Value {
    let signed = (by(), words("Why", MAX_WORDS));
    let projection = ("projection", text("The projection's name"), true);
    document::request(kind.as_str(), signed, &[projection], &arguments(kind))
}

fn by() -> Value {
    let about = "Who asks or cancels. It is needed without an access token, and refused with one";
    words(about, MAX_WORDS)
}

/// The arguments of a kind: name, schema, and whether it is required.
fn arguments(kind: Kind) -> Vec<Field> {
    let flag = |name, description: &str| {
        (name, json!({"type": "boolean", "default": false, "description": description}), false)
    };
    let number =
        |name, description: &str, least, most| (name, integer(description, least, most), false);
    let text = |name, description: &str| (name, text(description), false);
    let patience = || number("patience", "Seconds to retry the switch", 0, 3_600);
    let memory = || number("memory", "The memory limit for folded rows, in MiB", 0, 16_384);
    let generation = |description| number("generation", description, 1, i64::from(i32::MAX));
    let position = |description| number("position", description, 1, i64::MAX);
    let required = |(name, schema, _)| (name, schema, true);
    match kind {
        Kind::Rebuild => vec![
            flag("resume", "Resume an unfinished rebuild"),
            number("partitions", "The number of partitions; by default as before", 1, 64),
            number("throttle", "The maximum number of events per second", 1, u32::MAX.into()),
            flag("no_switch", "Do not switch queries to the new generation"),
            flag("no_compare", "Do not compare with the live rows"),
            flag("despite_differences", "Switch even if rows of the same fold version differ"),
            patience(),
            memory(),
        ],
        Kind::Verify => vec![
            (
                "sample",
                json!({"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1,
                "description": "The share of the keys; by default all"}),
                false,
            ),
            (
                "seed",
                json!({"type": "string", "maxLength": 100,
                "description": "Selects the keys of the sample"}),
                false,
            ),
            memory(),
        ],
        Kind::Switch => vec![generation("By default the one before the live one"), patience()],
        Kind::Drop => vec![required(generation("The number of the generation"))],
        Kind::Pause | Kind::Resume => Vec::new(),
        Kind::ParkedRetry => vec![
            text("key", "Retry only the row with this key"),
            position("Retry only rows that lack the event at this position"),
            number("wait", "Seconds to wait for the outcome", 0, 3_600),
        ],
        Kind::ParkedSkip => vec![
            required(position("The position of the event")),
            text("key", "The key of the row; by default every row that refuses the event"),
        ],
    }
}

/// The schema of a recorded operation.
fn record() -> Value {
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let mut fields = recorded(&kinds);
    fields.extend([
        ("projection", text("The projection's name"), true),
        ("position", count("The position of the log that the work has reached"), true),
        ("end_position", count("The position at which the work ends"), true),
    ]);
    object(&fields)
}

#[cfg(test)]
mod tests;
