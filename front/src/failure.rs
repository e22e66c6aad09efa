//! What the front answers when an API gave no answer.

use axum::http::{Method, StatusCode};
use service_kit::Problem;
use service_kit::shed::{LINE_EVERY, LogLimit};

use crate::api::Api;
use crate::upstream::Failure;

/// The `Retry-After` of all these answers, in seconds.
const RETRY_AFTER: u64 = 1;

static LINES: LogLimit = LogLimit::new(LINE_EVERY);

/// The answer to a request that an API did not answer. The cause goes to the log, at a limited
/// rate.
pub(crate) fn problem(failure: &Failure, api: Api, method: &Method) -> Problem {
    let problem = of(failure, api, method);
    if !problem.is_shed()
        && let Some(unlogged) = LINES.admit(api.name(), 1)
    {
        let error = cli_kit::describe(failure);
        tracing::warn!(api = api.name(), error, unlogged, "an API did not answer");
    }
    problem
}

fn of(failure: &Failure, api: Api, method: &Method) -> Problem {
    let title = api.title();
    match failure {
        Failure::Full => Problem::shed("api/busy", "An API has too much to do", RETRY_AFTER)
            .detail(format!("too many requests to {title} are on their way; nothing was changed")),
        Failure::FullOfStreams => {
            Problem::shed("api/busy", "An API has too much to do", RETRY_AFTER)
                .detail(format!("too many streams of {title} are open"))
        }
        Failure::Away(_) => Problem::unavailable("api/away", "An API is away", RETRY_AFTER)
            .detail(format!("{title} cannot be reached; nothing was changed")),
        Failure::Broken(_) | Failure::Cut(_) => {
            Problem::new(StatusCode::BAD_GATEWAY, "api/no-answer", "An API gave no answer")
                .retry_after(RETRY_AFTER)
                .detail(format!("{title} ended the connection{}", outcome(method)))
        }
        Failure::Late(_) => {
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "api/late", "An API did not answer in time")
                .retry_after(RETRY_AFTER)
                .detail(format!("{title} took too long{}", outcome(method)))
        }
        Failure::Target(_) => Problem::bad_request("target-invalid", "The target is not valid"),
    }
}

/// What a client has to know before it tries again.
fn outcome(method: &Method) -> &'static str {
    if method.is_safe() {
        ""
    } else {
        "; whether it did something is not known: try again with the same idempotency key"
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_is_told_which_api_it_was_and_when_to_try_again() {
        let all = [
            (Failure::Full, 503, "api/busy"),
            (Failure::FullOfStreams, 503, "api/busy"),
            (Failure::Late(LIMIT), 504, "api/late"),
        ];
        for (failure, status, code) in all {
            for api in Api::ALL {
                let problem = problem(&failure, api, &Method::POST);
                assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
                assert_eq!(problem.retry_after_seconds(), Some(RETRY_AFTER));
                let detail = problem.explanation().unwrap_or_default();
                assert!(detail.contains(api.title()), "{detail}");
            }
        }
        let says_unknown = |method: &Method| {
            let problem = problem(&Failure::Late(LIMIT), Api::Command, method);
            problem.explanation().is_some_and(|detail| detail.contains("idempotency key"))
        };
        assert!(says_unknown(&Method::POST) && !says_unknown(&Method::GET));
    }
}
