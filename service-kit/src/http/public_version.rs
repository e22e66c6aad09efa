//! The versions that our APIs have, and where each is found and described.

use clap::ValueEnum;

use super::deprecation::Deprecation;
use super::version::{ApiVersion, Versions};

/// A version of an API.
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
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "version 1",
            Self::V2 => "version 2",
        }
    }
}

/// All versions, the first one deprecated or not.
pub fn versions(deprecation: Option<&Deprecation>) -> Versions {
    let [oldest, newest] = Version::ALL.map(Version::number);
    let versions = Versions::up_to(newest.0);
    match deprecation {
        Some(deprecation) => versions.deprecating(oldest, deprecation),
        None => versions,
    }
}
