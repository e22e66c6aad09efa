//! Problem details (RFC 9457): the one shape of every error that either API answers with.
//!
//! A handler returns a [`Problem`]; the layers of [`crate::http`] add the request's id and path.
//! `code` is stable: clients branch on it. `detail` is safe for strangers: no cause, no SQL, no
//! path of ours goes in.

use std::borrow::Cow;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The body of a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `/problems/<code>`.
    #[serde(rename = "type")]
    kind: String,
    /// What went wrong, the same text for every occurrence.
    #[schema(value_type = String)]
    title: Cow<'static, str>,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// The path that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    instance: Option<String>,
    /// The id of the request, also in the header `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// The stable name of the problem: the end of `type`.
    #[schema(value_type = String)]
    code: Cow<'static, str>,
    /// The fields of the input that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
}

/// One wrong field of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// A JSON pointer into the body, or `/name` of a query parameter.
    pub pointer: String,
    /// The stable name of what is wrong with it.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// What is wrong with it.
    pub detail: String,
}

impl FieldError {
    /// One wrong field of the input.
    pub fn new(
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }
}

/// An error as clients see it.
///
/// ```
/// # use service_kit::Problem;
/// let problem = Problem::conflict("order/already-shipped", "The order has already been shipped")
///     .detail("it left on Monday");
/// assert_eq!(problem.status(), 409);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    body: ProblemBody,
    headers: HeaderMap,
    is_shed: bool,
}

impl Problem {
    /// A problem with its status, its stable code and its title.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        let code = code.into();
        let body = ProblemBody {
            kind: format!("/problems/{code}"),
            title: title.into(),
            status: status.as_u16(),
            detail: None,
            instance: None,
            request_id: None,
            code,
            errors: Vec::new(),
        };
        Self(Box::new(Parts { body, headers: HeaderMap::new(), is_shed: false }))
    }

    /// 400: the request cannot be parsed.
    pub fn bad_request(
        code: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, title)
    }

    /// 404: absent, or not the caller's.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here")
    }

    /// 409: a rule of the domain said no.
    pub fn conflict(
        code: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::CONFLICT, code, title)
    }

    /// 412: the caller named a version that is no longer the newest.
    pub fn stale_version() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "stale-version",
            "Somebody else changed it since you read it",
        )
    }

    /// 412: `If-Match` or `If-None-Match` does not hold.
    pub fn precondition_failed() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition-failed",
            "The precondition of the request does not hold",
        )
    }

    /// 422: the request can be parsed, but some of its content is wrong.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-content",
            "Some of the input is not valid",
        );
        problem.0.body.errors = errors;
        problem
    }

    /// 503: a server that is needed is away; worth another try after `retry_after_seconds`.
    pub fn unavailable(
        code: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
        retry_after_seconds: u64,
    ) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, title).retry_after(retry_after_seconds)
    }

    /// 503: this process has no room for the request. It is counted and not logged one by one (see
    /// [`crate::shed`]).
    pub fn shed(
        code: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
        retry_after_seconds: u64,
    ) -> Self {
        let mut problem = Self::unavailable(code, title, retry_after_seconds);
        problem.0.is_shed = true;
        problem
    }

    /// 500: our fault. Log the cause where this is made: it does not travel in the problem.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side")
    }

    /// Says what went wrong this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.body.detail = Some(detail.into());
        self
    }

    /// Adds a wrong field of the input.
    #[must_use]
    pub fn error(mut self, error: FieldError) -> Self {
        self.0.body.errors.push(error);
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Says when another try is worth it.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Names the request: its id and its path.
    #[must_use]
    pub fn of_request(mut self, request_id: &str, path: &str) -> Self {
        self.0.body.request_id = Some(request_id.to_owned());
        self.0.body.instance = Some(path.to_owned());
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.0.body.code
    }

    /// Whether it refuses a request for want of room.
    pub fn is_shed(&self) -> bool {
        self.0.is_shed
    }

    /// The body, as it is sent.
    pub fn body(&self) -> &ProblemBody {
        &self.0.body
    }

    /// What stands for an error answer that some library made: its status says all that is known.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        let (code, title) = match status {
            StatusCode::NOT_FOUND => return Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => {
                ("method-not-allowed", "This method does not go with this path")
            }
            StatusCode::REQUEST_TIMEOUT => {
                ("request-timeout", "The request took too long to arrive")
            }
            StatusCode::PAYLOAD_TOO_LARGE => ("payload-too-large", "The body is too large"),
            StatusCode::URI_TOO_LONG => ("uri-too-long", "The path and query are too long"),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                ("headers-too-large", "The header fields are too many or too large")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                ("unsupported-media-type", "The body has a type that is not understood")
            }
            StatusCode::GATEWAY_TIMEOUT => ("timeout", "The answer took too long"),
            StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "The service is not available"),
            status if status.is_client_error() => ("bad-request", "The request is not valid"),
            _ => ("internal", "Something went wrong on our side"),
        };
        Self::new(status, code, title)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.0.body.status, self.0.body.code)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), axum::Json(&self.0.body)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response.headers_mut().extend(self.0.headers.clone());
        // Kept next to the body so that the outermost layer can add the request's id and path.
        response.extensions_mut().insert(self);
        response
    }
}
