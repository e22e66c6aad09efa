//! The versions of this API: their routes and where they are described.

use clap::ValueEnum;
use service_kit::http::{ApiVersion, Deprecation, Versions};
use utoipa_axum::router::OpenApiRouter;

use super::{Api, openapi, v1, v2};

/// A version of this API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Version {
    /// Version 1, which answers requests that name no version.
    #[value(name = "1")]
    V1,
    /// Version 2, the newest.
    #[value(name = "2")]
    V2,
}

impl Version {
    /// All versions, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// The number of the version, as paths and headers name it.
    pub const fn number(self) -> ApiVersion {
        ApiVersion(match self {
            Self::V1 => 1,
            Self::V2 => 2,
        })
    }

    /// The prefix of its paths.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::V1 => "/api/v1",
            Self::V2 => "/api/v2",
        }
    }

    /// The path of its OpenAPI document.
    pub const fn document_path(self) -> &'static str {
        match self {
            Self::V1 => "/openapi.json",
            Self::V2 => "/openapi/v2.json",
        }
    }

    /// Its name for people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::V1 => "version 1",
            Self::V2 => "version 2",
        }
    }

    /// All routes of this version, with their prefix.
    pub(super) fn routes(self) -> OpenApiRouter<Api> {
        let routes = match self {
            Self::V1 => v1::routes(),
            Self::V2 => v2::routes(),
        };
        let routes = OpenApiRouter::with_openapi(openapi::head()).nest(self.prefix(), routes);
        match self {
            // Clients of the first version know where it is described.
            Self::V1 => routes.merge(openapi::routes()),
            Self::V2 => routes,
        }
    }
}

/// The versions of this API, the first one deprecated or not.
pub fn versions(deprecation: Option<&Deprecation>) -> Versions {
    let [oldest, newest] = Version::ALL.map(Version::number);
    let versions = Versions::up_to(newest.0);
    match deprecation {
        Some(deprecation) => versions.deprecating(oldest, deprecation),
        None => versions,
    }
}
