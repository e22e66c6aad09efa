//! The documentation page of an API at `/docs`: Swagger UI, which shows the OpenAPI documents and
//! can send requests. All of it is in the program. The page asks no other server for anything, and
//! its content security policy forbids that.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_swagger_ui::{Config, SwaggerUi, Url};

/// The path of the page.
pub const PATH: &str = "/docs";
/// The document of an API that has one version.
const DOCUMENT: &str = "/openapi.json";
/// Swagger UI sets styles of elements and has images within its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";
/// The files change only with the program.
const CACHED: &str = "public, max-age=3600";

/// The routes of the page. It shows `/openapi.json`.
pub fn routes() -> Router {
    page(Config::from(DOCUMENT))
}

/// The routes of the page of an API with several documents: the name and the path of each. It shows
/// the first one, and lets the reader choose.
pub fn routes_of(documents: impl IntoIterator<Item = (&'static str, &'static str)>) -> Router {
    let url = |(at, (name, path))| Url::with_primary(name, path, at == 0);
    page(Config::new(documents.into_iter().enumerate().map(url)))
}

fn page(config: Config<'static>) -> Router {
    // Without this word, the page would send the document to a validator on the internet.
    let config = config.validator_url("none").display_request_duration(true);
    Router::from(SwaggerUi::new(PATH).config(config))
        .layer(SetResponseHeaderLayer::overriding(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ))
        .layer(SetResponseHeaderLayer::overriding(CACHE_CONTROL, HeaderValue::from_static(CACHED)))
}
