//! The API's description, made from the same table as its routes.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Daybook query API",
        description = "Answers questions from the read tables. Every answer says up to which position of the log it is complete; \
                       give the consistency token of a command to see its effect.",
        license(name = "MIT OR Apache-2.0", url = "https://spdx.org/licenses/Apache-2.0.html")
    ),
    servers((url = "/", description = "This server")),
    security(()),
    tags(
        (name = "users", description = "Users and what they bought"),
        (name = "orders", description = "Orders with their lines"),
        (name = "products", description = "Products with price and stock"),
        (name = "sales", description = "Sales figures"),
        (name = "about", description = "This API")
    )
)]
struct Head;

pub(super) fn head() -> OpenApi {
    Head::openapi()
}

/// The description of all routes.
pub fn document() -> OpenApi {
    service_kit::openapi::completed(super::table().into_openapi())
}

static RENDERED: LazyLock<String> = LazyLock::new(|| {
    document().to_json().unwrap_or_else(|error| {
        tracing::error!(%error, "the description of the API cannot be rendered");
        String::new()
    })
});

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "about", operation_id = "describe",
    responses(
        (status = 200, description = "The description of this API, in OpenAPI 3.1", content_type = "application/json", body = serde_json::Value),
        super::answer::Failures,
    )
)]
pub(super) async fn serve() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], RENDERED.as_str())
}
