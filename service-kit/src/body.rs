//! Reads a request's body, and tells apart why one cannot be read.

use std::error::Error;
use std::io::ErrorKind;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError};

use crate::http::OverBudget;
use crate::problem::Problem;

/// When another try is worth it while too many bytes of bodies are held, in seconds.
const RETRY_AFTER: u64 = 1;

/// Reads the whole body. The layers bound its size and its time.
///
/// # Errors
/// 400 for framing that is not valid, 408 for a body that does not arrive, 413 for one that is too
/// large, 503 while the process holds as many bytes of bodies as it may.
pub async fn read_body(mut body: Body) -> Result<Bytes, Problem> {
    // Copied: a frame may be a small slice of a large buffer, which it would keep.
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
                "Too much is being sent to this process at once",
                RETRY_AFTER,
            );
        }
        match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            // hyper's kinds for chunks that are none.
            Some(ErrorKind::InvalidData | ErrorKind::InvalidInput) => {
                return malformed("its chunks are not valid");
            }
            Some(ErrorKind::UnexpectedEof) => return malformed("it ends before its end"),
            _ => cause = error.source(),
        }
    }
    Problem::from_status(StatusCode::REQUEST_TIMEOUT).detail("the body did not arrive completely")
}

fn malformed(detail: &str) -> Problem {
    Problem::bad_request("malformed-body", "The body's framing is not valid").detail(detail)
}
