//! Problem details (RFC 9457): the format of every error answer of both APIs.
//!
//! A handler returns a [`Problem`]; the layers of [`crate::http`] add the request's id and path.
//! `code` is stable, and clients branch on it. `detail` is safe for strangers: it contains no
//! cause, no SQL and no file path.

use std::borrow::Cow;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The JSON body of a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `/problems/<code>`.
    #[serde(rename = "type")]
    kind: String,
    /// A summary of the error, the same for every occurrence.
    #[schema(value_type = String)]
    title: Cow<'static, str>,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// An explanation of this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    instance: Option<String>,
    /// The id of the request, also in the header `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// The stable name of the problem: the last part of `type`.
    #[schema(value_type = String)]
    code: Cow<'static, str>,
    /// The invalid fields of the input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
}

/// An invalid field of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// A JSON pointer into the body, or `/name` for a query parameter.
    pub pointer: String,
    /// The stable name of the error in this field.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// An explanation of the error in this field.
    pub detail: String,
}

impl FieldError {
    /// Creates an error for one field.
    pub fn new(
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }
}

/// An error answer as clients see it.
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
    /// Creates a problem with a status, a stable code and a title.
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

    /// 404: the resource does not exist, or the caller may not see it.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here")
    }

    /// 409: a domain rule refused the command.
    pub fn conflict(
        code: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::CONFLICT, code, title)
    }

    /// 412: the version that the caller named is not the newest.
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

    /// 422: the request can be parsed, but some of its content is invalid.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-content",
            "Some of the input is not valid",
        );
        problem.0.body.errors = errors;
        problem
    }

    /// 503: a required server is away; retry after `retry_after_seconds`.
    pub fn unavailable(
        code: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
        retry_after_seconds: u64,
    ) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, title).retry_after(retry_after_seconds)
    }

    /// 503: this process is overloaded. Such answers are counted but not logged one by one (see
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

    /// 500: an internal error. Log the cause where you create it; the problem does not carry it.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side")
    }

    /// Sets the explanation of this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.body.detail = Some(detail.into());
        self
    }

    /// Adds an invalid field.
    #[must_use]
    pub fn error(mut self, error: FieldError) -> Self {
        self.0.body.errors.push(error);
        self
    }

    /// Moves the pointers of the invalid fields, for a representation whose fields are elsewhere.
    #[must_use]
    pub fn moved(mut self, moved: impl Fn(&str) -> String) -> Self {
        for error in &mut self.0.body.errors {
            error.pointer = moved(&error.pointer);
        }
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Sets `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Sets the request's id and path.
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

    /// The summary of the error, the same for every occurrence.
    pub fn title(&self) -> &str {
        &self.0.body.title
    }

    /// The explanation of this occurrence.
    pub fn explanation(&self) -> Option<&str> {
        self.0.body.detail.as_deref()
    }

    /// The invalid fields of the input.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.body.errors
    }

    /// `Retry-After` in seconds, if a retry may help.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.0.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
    }

    /// Whether the request was refused because of overload.
    pub fn is_shed(&self) -> bool {
        self.0.is_shed
    }

    /// The body as it is sent.
    pub fn body(&self) -> &ProblemBody {
        &self.0.body
    }

    /// The problem for an error answer of a library, which has only a status.
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
        // The outermost layer finds the problem here, to add the request's id and path.
        response.extensions_mut().insert(self);
        response
    }
}
