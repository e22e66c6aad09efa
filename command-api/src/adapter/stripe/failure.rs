//! What Stripe's answers mean for a call.

use outward::{Answer, Effect, StatusCode, Verdict};

use super::wire::ErrorBody;
use crate::port::GatewayError;

/// The header that marks an answer that Stripe gave before and stored under the call's key.
const REPLAYED: &str = "idempotent-replayed";
/// The header in which Stripe says itself whether a repeat makes sense.
const SHOULD_RETRY: &str = "stripe-should-retry";

fn says(answer: &Answer, header: &str, text: &str) -> bool {
    answer.headers.get(header).is_some_and(|value| value.as_bytes() == text.as_bytes())
}

/// Whether an answer is final. A failure of the server (5xx) that is stored under the key is: every
/// repeat would get it again.
pub(super) fn judge(answer: &Answer) -> Verdict {
    let status = answer.status;
    // A conflict (409) is another attempt under the same key that is still under way.
    let effect =
        if status == StatusCode::TOO_MANY_REQUESTS { Effect::None } else { Effect::Unknown };
    if says(answer, SHOULD_RETRY, "false") || is_stored_failure(answer) {
        return Verdict::Final;
    }
    if says(answer, SHOULD_RETRY, "true") || status == StatusCode::CONFLICT {
        return Verdict::Again(effect);
    }
    outward::judge(answer)
}

/// Whether this is a failure of the server that is stored under the call's key. The call may have
/// taken effect, and only a look-up can tell.
pub(super) fn is_stored_failure(answer: &Answer) -> bool {
    answer.status.is_server_error() && says(answer, REPLAYED, "true")
}

/// Whether the key was used before, for another request.
pub(super) fn is_key_reused(answer: &Answer) -> bool {
    let body: Option<ErrorBody> = serde_json::from_slice(&answer.body).ok();
    let kind = body.and_then(|body| body.error.kind);
    answer.status == StatusCode::BAD_REQUEST && kind.as_deref() == Some("idempotency_error")
}

/// The error that a final answer means, unless it is a success.
pub(super) fn failure(answer: &Answer) -> Option<GatewayError> {
    if answer.status.is_success() {
        return None;
    }
    let body: Option<ErrorBody> = serde_json::from_slice(&answer.body).ok();
    let error = body.as_ref().map(|body| &body.error);
    let kind = error.and_then(|error| error.kind.as_deref()).unwrap_or_default();
    let code = error.map_or("unspecified".to_owned(), |error| error.code().to_string());
    Some(match answer.status.as_u16() {
        402 => GatewayError::declined(&code),
        // These statuses say nothing about the effect. They come, for example, from another attempt
        // under the same key, or from something between us and Stripe. A final one is not repeated
        // at once.
        status @ (300..=399 | 408 | 409 | 425 | 429 | 500..=599) => {
            GatewayError::unknown(&format!("the provider answered {status}"))
        }
        // A wrong key is a wrong setting of ours, and no reason to cancel anybody's order.
        401 | 403 => GatewayError::invalid("secret_key_refused"),
        _ if kind == "card_error" => GatewayError::declined(&code),
        _ if kind == "idempotency_error" => GatewayError::invalid("key_reused"),
        _ => GatewayError::invalid(&code),
    })
}
