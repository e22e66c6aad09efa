//! The OpenAPI document of the admin port's operations. The tests check its kinds, fields and
//! limits against the code that reads them.

use axum::response::{IntoResponse as _, Response};
use event_store::erasure::MAX_BY_LEN;
use event_store::postgres::operations::{Kind, MAX_ABANDONED, MAX_REASON};
use serde_json::{Value, json};
use service_kit::operations::document::{
    self, Description, Field, WHO_MAY_ASK, object, recorded, time, uuid, words,
};

use super::request::CANCEL_OPEN_ORDERS;

/// Answers with the document.
pub(super) async fn serve() -> Response {
    axum::Json(document()).into_response()
}

/// Returns the document.
pub fn document() -> Value {
    document::document(&Description {
        title: "Daybook command API operations",
        version: env!("CARGO_PKG_VERSION"),
        description: &format!(
            "Asks a running command API for erasures and new epochs, follows and cancels them. \
             {WHO_MAY_ASK}"
        ),
        list: "Lists operations, the newest first. All are kept.".to_owned(),
        conflict: "The person to erase has an open order (`user/open-orders`) or is the \
            last administrator (`auth/last-administrator`), an unfinished \
            operation does the same (`operation/busy`), the operation has ended \
            (`operation/finished`), or its effect may have begun and cannot be undone \
            (`operation/irrevocable`)",
        unavailable: "The event store's database is away, or too many operations or requests wait",
        by: by(),
        requests: Kind::ALL.iter().map(|kind| request(*kind)).collect(),
        record: record(),
    })
}

/// The body of a request for an operation of this kind.
fn request(kind: Kind) -> Value {
    let signed = (by(), words("Why, without personal data", MAX_REASON));
    document::request(kind.as_str(), signed, &[], &arguments(kind))
}

fn by() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": MAX_BY_LEN, "pattern": "^[!-~]+$",
        "description": "Who asks or cancels: an opaque id, which is not personal data. It is \
            needed without an access token, and refused with one"})
}

/// The arguments of a kind.
fn arguments(kind: Kind) -> Vec<Field> {
    let id = |description: &str| {
        let mut schema = uuid();
        schema["description"] = description.into();
        schema
    };
    match kind {
        Kind::EraseSubject => vec![
            ("subject", id("The subject: the id in `$subject` of personal fields"), true),
            (
                CANCEL_OPEN_ORDERS,
                json!({"type": "boolean", "default": false,
                    "description": "Whether the person's open orders are cancelled with it. \
                        Without it, an open order refuses the erasure"}),
                false,
            ),
        ],
        Kind::BeginEpoch => vec![
            ("replaces", id("The current epoch of the log"), true),
            (
                "abandoned",
                json!({"type": "array", "maxItems": MAX_ABANDONED, "items": uuid(),
                    "description": "The epochs of other copies of the log that end here"}),
                false,
            ),
        ],
    }
}

/// The schema of a recorded operation.
fn record() -> Value {
    let mut fields = recorded(&Kind::ALL.map(Kind::as_str));
    fields.extend([
        ("retry_at", time("When the next attempt may begin, after one that failed"), true),
        (
            "irrevocable",
            json!({"type": "boolean",
                "description": "Whether its effect may have begun and cannot be undone"}),
            true,
        ),
    ]);
    object(&fields)
}

#[cfg(test)]
mod tests;
