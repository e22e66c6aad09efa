//! Refuses requests before routing: oversized heads, unsupported framing and codings, requests for
//! no version of the API, and HTTP/1.1 without exactly one `Host`.
//!
//! Requests that hyper cannot parse do not get here. hyper answers them itself (400, 414 or 431,
//! without a body), so its limits are set above those of this file.

use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};

use super::step::Step;
use super::wire::{ClientRequest, Wire};
use crate::problem::Problem;

/// The maximum number of header fields of a request.
pub const MAX_HEADERS: usize = 64;
/// The maximum size of a request's target and header fields together, in bytes.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;
/// The maximum size of a request's target, in bytes.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;
/// The bytes that a field costs besides name and value: a colon, a space and a line end.
const FIELD_OVERHEAD: usize = 4;

/// The step that answers refused requests and passes on the rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen;

impl Step for Screen {
    /// Counts the request for its client until it is answered.
    type After = Option<ClientRequest>;

    fn before(&self, request: &mut Request) -> Result<Self::After, Box<Response>> {
        check(request).map_err(|problem| Box::new(problem.into_response()))
    }
}

fn check(request: &Request) -> Result<Option<ClientRequest>, Problem> {
    let headers = request.headers();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    check_size(headers, target)?;
    check_transfer_encoding(headers)?;
    check_content_encoding(headers)?;
    super::version::check(request)?;
    // A request made inside this process has no connection and needs no `Host`.
    let Some(wire) = request.extensions().get::<Wire>() else { return Ok(None) };
    check_host(headers, request.version())?;
    wire.admit(headers)
}

fn check_size(headers: &HeaderMap, target: usize) -> Result<(), Problem> {
    if target > MAX_TARGET_BYTES {
        return Err(Problem::from_status(StatusCode::URI_TOO_LONG)
            .detail(format!("at most {MAX_TARGET_BYTES} bytes")));
    }
    let size = |(name, value): (&axum::http::HeaderName, &HeaderValue)| {
        name.as_str().len() + value.len() + FIELD_OVERHEAD
    };
    let bytes = headers.iter().map(size).sum::<usize>() + target;
    if headers.len() > MAX_HEADERS || bytes > MAX_HEAD_BYTES {
        let detail = format!("at most {MAX_HEADERS} fields and {MAX_HEAD_BYTES} bytes");
        return Err(
            Problem::from_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).detail(detail)
        );
    }
    Ok(())
}

/// hyper decodes `chunked` if it comes last, and would pass on the coding below it as if it were
/// the content.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = codings(headers.get_all(TRANSFER_ENCODING));
    let known = match codings.next() {
        None => true,
        Some(first) => first.eq_ignore_ascii_case("chunked") && codings.next().is_none(),
    };
    if known {
        return Ok(());
    }
    let title = "The transfer coding is not understood";
    Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "transfer-coding-unsupported", title)
        .detail("send chunked, or none"))
}

fn check_content_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let unknown = codings(headers.get_all(CONTENT_ENCODING))
        .find(|coding| !coding.eq_ignore_ascii_case("identity"));
    if unknown.is_none() {
        return Ok(());
    }
    let title = "The content coding is not understood";
    let problem =
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-coding-unsupported", title);
    let problem = problem.detail("send the content as it is, without Content-Encoding");
    Err(problem.header(ACCEPT_ENCODING, HeaderValue::from_static("identity")))
}

/// The members of a list header. A non-ASCII line counts as one unknown member.
fn codings(lines: axum::http::header::GetAll<'_, HeaderValue>) -> impl Iterator<Item = &str> {
    let members = lines.into_iter().flat_map(|line| line.to_str().unwrap_or("?").split(','));
    members.map(str::trim).filter(|member| !member.is_empty())
}

/// RFC 9112 §3.2: HTTP/1.1 requires exactly one valid `Host`; no version allows two.
fn check_host(headers: &HeaderMap, version: Version) -> Result<(), Problem> {
    let refuse = |detail: &str| {
        Err(Problem::bad_request("host-invalid", "The Host header is not valid").detail(detail))
    };
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => refuse("HTTP/1.1 requires one Host"),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => refuse("there is more than one"),
        (Some(host), None) => match Authority::try_from(host.as_bytes()) {
            Ok(authority) if !authority.as_str().contains('@') => Ok(()),
            _ => refuse("it is not a host with an optional port"),
        },
    }
}
