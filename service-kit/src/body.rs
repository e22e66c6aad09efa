//! Reads request bodies, and says why one cannot be read.

use std::error::Error;
use std::io::ErrorKind;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError};

use crate::http::OverBudget;
use crate::problem::Problem;

/// The `Retry-After` of an answer that sheds a body, in seconds.
const RETRY_AFTER: u64 = 1;

/// Reads the whole body. The HTTP layers limit its size and time.
///
/// # Errors
/// 400 for invalid framing, 408 for a body that does not arrive, 413 for one that is too large, 503
/// while the process holds as many body bytes as it may.
pub async fn read_body(mut body: Body) -> Result<Bytes, Problem> {
    // Bytes are copied because a frame may be a small slice that keeps a large buffer alive.
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|error| refused(&error))?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.into())
}

fn refused(error: &axum::Error) -> Problem {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return Problem::from_status(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if error.is::<OverBudget>() {
            return Problem::shed(
                "too-many-bodies",
                "This process is receiving too many bytes at once",
                RETRY_AFTER,
            );
        }
        match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            // The error kinds that hyper uses for invalid chunks.
            Some(ErrorKind::InvalidData | ErrorKind::InvalidInput) => {
                return malformed("its chunks are not valid");
            }
            Some(ErrorKind::UnexpectedEof) => return malformed("it ends too early"),
            _ => cause = error.source(),
        }
    }
    Problem::from_status(StatusCode::REQUEST_TIMEOUT).detail("the body did not arrive completely")
}

fn malformed(detail: &str) -> Problem {
    Problem::bad_request("malformed-body", "The body's framing is not valid").detail(detail)
}
