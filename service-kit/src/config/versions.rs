//! The settings of old versions of the API.

use cli_kit::Usage;

use super::PublicUrl;
use crate::http::Deprecation;
use crate::input::Time;

/// What the answers of version 1 say about its end.
#[derive(Debug, Clone, clap::Args)]
pub struct VersionArgs {
    /// Since when version 1 of the API is deprecated; its answers say so. It may be in the future.
    #[arg(long, env = "V1_DEPRECATED_AT", value_name = "TIME")]
    pub v1_deprecated_at: Option<Time>,
    /// When version 1 of the API may be turned off. It still answers afterwards.
    #[arg(long, env = "V1_SUNSET_AT", value_name = "TIME")]
    pub v1_sunset_at: Option<Time>,
    /// A page that says how to move from version 1 of the API to version 2.
    #[arg(long, env = "V1_MIGRATION_URL", value_name = "URL")]
    pub v1_migration_url: Option<PublicUrl>,
}

impl VersionArgs {
    /// The deprecation of version 1, if it is deprecated. `successor` is the path of the
    /// description of version 2.
    ///
    /// # Errors
    /// Another setting is set without the time of the deprecation, or the version ends before.
    pub fn deprecation(&self, successor: &'static str) -> Result<Option<Deprecation>, Usage> {
        let Some(since) = self.v1_deprecated_at.map(Time::get) else {
            let others = [
                (self.v1_sunset_at.is_some(), "V1_SUNSET_AT"),
                (self.v1_migration_url.is_some(), "V1_MIGRATION_URL"),
            ];
            let set = others.into_iter().find(|(is_set, _)| *is_set);
            return set.map_or(Ok(None), |(_, name)| {
                Err(Usage(format!("V1_DEPRECATED_AT is not set, and {name} is")))
            });
        };
        let sunset = self.v1_sunset_at.map(Time::get);
        if sunset.is_some_and(|sunset| sunset < since) {
            return Err(Usage("V1_SUNSET_AT is before V1_DEPRECATED_AT".to_owned()));
        }
        let migration = self.v1_migration_url.as_ref().map(|url| url.as_str().to_owned());
        Ok(Some(Deprecation { since, sunset, migration, successor }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        versions: VersionArgs,
    }

    fn deprecation(arguments: &[&str]) -> Result<Option<Deprecation>, String> {
        let program = Program::try_parse_from(["program"].iter().chain(arguments));
        let program = program.map_err(|error| error.to_string())?;
        program.versions.deprecation("/v2.json").map_err(|error| error.to_string())
    }

    #[test]
    fn a_version_is_deprecated_only_when_the_operator_says_so() {
        assert_eq!(deprecation(&[]), Ok(None));
        let since = "--v1-deprecated-at=2026-12-01T00:00:00Z";
        let alone = deprecation(&[since]).unwrap().unwrap();
        assert_eq!((alone.sunset, &alone.migration), (None, &None));
        let (sunset, page) =
            ("--v1-sunset-at=2027-06-01T00:00:00Z", "--v1-migration-url=https://a.example/v2");
        let whole = deprecation(&[since, sunset, page]).unwrap().unwrap();
        assert_eq!(whole.since, alone.since);
        assert!(whole.sunset > Some(whole.since));
        assert_eq!(whole.migration.as_deref(), Some("https://a.example/v2"));
        for (arguments, named) in [
            (&[sunset][..], "V1_DEPRECATED_AT is not set, and V1_SUNSET_AT is"),
            (&[page], "V1_DEPRECATED_AT is not set, and V1_MIGRATION_URL is"),
            (&[since, "--v1-sunset-at=2026-11-30T23:59:59Z"], "V1_SUNSET_AT is before"),
            (&["--v1-deprecated-at=tomorrow"], "--v1-deprecated-at"),
            (&[since, "--v1-migration-url=/v2"], "--v1-migration-url"),
        ] {
            let refused = deprecation(arguments).unwrap_err();
            assert!(refused.contains(named), "{refused}");
        }
    }
}
