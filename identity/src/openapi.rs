//! Describes access tokens in the OpenAPI documents of both APIs.

use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};

/// The name of the security scheme.
const SCHEME: &str = "accessToken";
const ABOUT: &str = "An access token, valid for at most five minutes. Its `scope` lists what its \
    holder may do. Without a token, a caller may do what the operator lets everybody do";

/// Adds the security scheme, and says that every operation takes a token or none. (Which operations
/// need one is up to the operator.)
pub fn secure(document: &mut OpenApi) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(ABOUT))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    let token = SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, []);
    document.security = Some(vec![token, SecurityRequirement::default()]);
}
