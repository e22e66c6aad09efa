//! Versions of an API next to each other. The path says which one a request is for (`/api/v2/…`).
//! If it names none (`/api/…`), the header `API-Version` does, and without it the oldest version
//! answers: a client that names none was written before there was another version.
//!
//! A path without a version is rewritten before anything else looks at it. So routes, rates,
//! metrics and handlers know only paths with a version.

use std::sync::Arc;

use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::http::header::{HeaderName, VARY};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;

use super::deprecation::Deprecation;
use super::single::single;
use super::step::{Step, Stepped};
use crate::problem::Problem;

/// The header that names a version, in requests and in answers.
pub(super) const API_VERSION: HeaderName = HeaderName::from_static("api-version");
/// Where the paths of an API begin.
const PREFIX: &str = "/api/";

/// The version that a request is for. It is in the extensions of a request to a path of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion(pub u8);

/// The versions of an API: from 1 to the newest.
#[derive(Debug, Clone)]
pub struct Versions {
    newest: ApiVersion,
    deprecated: Option<(ApiVersion, Arc<HeaderMap>)>,
}

/// What a path says about the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// It is a path of this version.
    Version(ApiVersion),
    /// It is a path of the API and names no version.
    NoVersion,
    /// It is not a path of the API, or names a version that does not exist.
    Nothing,
}

/// The path of a request before the version was put into it. It is in the request's extensions.
#[derive(Debug, Clone)]
struct AsSent(Arc<str>);

/// Why a request gets no answer from any version. It is in the request's extensions.
#[derive(Debug, Clone)]
struct Refused(Problem);

impl ApiVersion {
    /// The version that comes first.
    const OLDEST: Self = Self(1);
}

impl Versions {
    /// The versions from 1 to `newest`.
    pub const fn up_to(newest: u8) -> Self {
        Self { newest: ApiVersion(newest), deprecated: None }
    }

    /// The answers of this version say that it is deprecated.
    #[must_use]
    pub fn deprecating(self, version: ApiVersion, deprecation: &Deprecation) -> Self {
        Self { deprecated: Some((version, Arc::new(deprecation.headers()))), ..self }
    }

    /// The version with this number in decimal digits, if it exists.
    fn find(&self, digits: &str) -> Option<ApiVersion> {
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| is_number && !digits.starts_with('0'));
        number.map(ApiVersion).filter(|version| *version <= self.newest)
    }

    fn named(&self, path: &str) -> Named {
        let Some(rest) = path.strip_prefix(PREFIX) else { return Named::Nothing };
        let first = rest.split('/').next().unwrap_or_default();
        let digits = first.strip_prefix('v').unwrap_or_default();
        // No resource has a name like a version.
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Named::NoVersion;
        }
        self.find(digits).map_or(Named::Nothing, Named::Version)
    }

    /// The version in the header, if there is one.
    fn asked(&self, headers: &HeaderMap) -> Result<Option<ApiVersion>, Problem> {
        let refused = |detail: String| {
            let title = "The header API-Version names no version of this API";
            Problem::bad_request("api-version/unknown", title).detail(detail)
        };
        let value = single(headers, &API_VERSION).map_err(|error| refused(error.to_string()))?;
        let Some(text) = value else { return Ok(None) };
        let known = || refused(self.existing());
        self.find(text).map(Some).ok_or_else(known)
    }

    /// Which versions there are, for people.
    fn existing(&self) -> String {
        if self.newest == ApiVersion::OLDEST {
            return format!("there is version {} alone", self.newest.0);
        }
        let numbers = (ApiVersion::OLDEST.0..=self.newest.0).map(|number| number.to_string());
        format!("there are the versions {}", numbers.collect::<Vec<_>>().join(", "))
    }

    fn contradiction(&self, path: ApiVersion) -> Problem {
        let title = "The header API-Version names another version than the path";
        let detail = format!(
            "the path names version {}; leave the header out, or change one of the two; {}",
            path.0,
            self.existing()
        );
        Problem::bad_request("api-version/contradiction", title).detail(detail)
    }

    /// Adds what every answer of this version says.
    fn describe(&self, version: ApiVersion, headers: &mut HeaderMap) {
        headers.insert(API_VERSION, HeaderValue::from(u16::from(version.0)));
        if let Some((_, more)) = self.deprecated.as_ref().filter(|(of, _)| *of == version) {
            for (name, value) in more.iter() {
                headers.append(name.clone(), value.clone());
            }
        }
    }
}

/// Serves the versions of an API. `routes` has the routes of all versions with all layers: those of
/// version 2 begin with `/api/v2/`.
///
/// A request for a version that does not exist, or for two, gets 400 from the layers.
pub fn versioned(routes: Router, versions: Versions) -> Router {
    Router::new().fallback_service(Stepped::new(Choose(Arc::new(versions)), routes))
}

/// The step that finds out which version a request is for, and says in the answer which one
/// answered.
#[derive(Debug, Clone)]
struct Choose(Arc<Versions>);

impl Step for Choose {
    type After = (Named, Option<ApiVersion>);

    fn before(&self, request: &mut Request) -> Result<Self::After, Box<Response>> {
        let named = self.0.named(request.uri().path());
        if named == Named::Nothing {
            return Ok((named, None));
        }
        let version = match (named, self.0.asked(request.headers())) {
            (Named::Version(version), Ok(asked)) => {
                if asked.is_some_and(|asked| asked != version) {
                    let problem = self.0.contradiction(version);
                    request.extensions_mut().insert(Refused(problem));
                }
                Some(version)
            }
            (_, Ok(asked)) => {
                let version = asked.unwrap_or(ApiVersion::OLDEST);
                rewrite(request, version);
                Some(version)
            }
            (named, Err(problem)) => {
                request.extensions_mut().insert(Refused(problem));
                if let Named::Version(version) = named { Some(version) } else { None }
            }
        };
        if let Some(version) = version {
            request.extensions_mut().insert(version);
        }
        Ok((named, version))
    }

    fn after(&self, (named, version): Self::After, mut response: Response) -> Response {
        let headers = response.headers_mut();
        if let Some(version) = version {
            self.0.describe(version, headers);
        }
        if named == Named::NoVersion {
            headers.append(VARY, HeaderValue::from(API_VERSION));
        }
        response
    }
}

/// Puts the version into the path. The handlers see only this path, so that it does not matter for
/// an idempotency key how the version was named.
fn rewrite(request: &mut Request, ApiVersion(version): ApiVersion) {
    let mut parts = request.uri().clone().into_parts();
    let target = parts.path_and_query.as_ref().map(PathAndQuery::as_str);
    let Some(rest) = target.and_then(|target| target.strip_prefix(PREFIX)) else { return };
    let sent = AsSent(request.uri().path().into());
    // A target that is too long with the version stays as it is, so no route answers it.
    let Ok(target) = format!("{PREFIX}v{version}/{rest}").parse() else { return };
    parts.path_and_query = Some(target);
    if let Ok(uri) = Uri::from_parts(parts) {
        request.extensions_mut().insert(OriginalUri(uri.clone()));
        request.extensions_mut().insert(sent);
        *request.uri_mut() = uri;
    }
}

/// The path as the client sent it.
pub(super) fn path_as_sent(request: &Request) -> &str {
    match request.extensions().get::<AsSent>() {
        Some(AsSent(path)) => path,
        None => request.uri().path(),
    }
}

/// Refuses a request that is for no version.
pub(super) fn check(request: &Request) -> Result<(), Problem> {
    match request.extensions().get::<Refused>() {
        Some(Refused(problem)) => Err(problem.clone()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_one_form_and_nothing_else_is_taken_for_one() {
        let versions = Versions::up_to(12);
        let of = |path| versions.named(path);
        for (path, version) in [("/api/v1/a", 1), ("/api/v12/a?b", 12), ("/api/v2", 2)] {
            assert_eq!(of(path), Named::Version(ApiVersion(version)), "{path}");
        }
        for path in ["/api/a", "/api/", "/api/v", "/api/vat/1", "/api/v1a/b", "/api/V1/a"] {
            assert_eq!(of(path), Named::NoVersion, "{path}");
        }
        for path in ["/a", "/api", "/apis/a", "/api/v0/a", "/api/v01/a", "/api/v13/a", "/api/v300"]
        {
            assert_eq!(of(path), Named::Nothing, "{path}");
        }
        for text in ["", "0", "01", "+1", "1.0", "v1", "13", "300", " 1"] {
            assert_eq!(versions.find(text), None, "{text:?}");
        }
    }
}
