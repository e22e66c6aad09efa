//! GraphiQL: a page to try queries and subscriptions on, for development. All of it is in the
//! program. The page asks no other server for anything, and its content security policy does not
//! let it.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

/// The path of the page.
const PATH: &str = "/graphiql";
/// GraphiQL sets styles of elements, and has images and fonts within its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";
/// The files change only with the program.
const CACHED: &str = "public, max-age=3600";

/// A file of the page.
#[derive(Clone, Copy)]
struct File {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
    /// Whether the content is compressed with gzip, which every browser understands.
    is_compressed: bool,
}

macro_rules! files {
    ($($path:literal: $media_type:ident, $file:literal, $is_compressed:literal;)+) => {
        &[$(
            File {
                path: $path,
                media_type: $media_type,
                content: include_bytes!(concat!("../../assets/graphiql/", $file)),
                is_compressed: $is_compressed,
            }
        ),+]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: &[File] = files! {
    "": HTML, "index.html", false;
    "/page.css": CSS, "page.css", false;
    "/page.js": SCRIPT, "page.js", false;
    "/graphiql.min.css": CSS, "graphiql.min.css.gz", true;
    "/graphiql.min.js": SCRIPT, "graphiql.min.js.gz", true;
    "/react.production.min.js": SCRIPT, "react.production.min.js.gz", true;
    "/react-dom.production.min.js": SCRIPT, "react-dom.production.min.js.gz", true;
};

/// The routes of the page.
pub(super) fn routes() -> Router {
    FILES.iter().fold(Router::new(), |routes, file| {
        routes.route(&format!("{PATH}{}", file.path), get(async move || file.response()))
    })
}

impl File {
    fn response(&self) -> Response {
        let mut response = self.content.into_response();
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, self.media_type),
            (CONTENT_SECURITY_POLICY, POLICY),
            (CACHE_CONTROL, CACHED),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.is_compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}
