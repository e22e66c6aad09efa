//! The settings of a process's database connections.

use std::time::Duration;

use cli_kit::Usage;
use postgres_kit::PoolLimits;

/// Defines the settings with these default limits.
macro_rules! pool_args {
    ($(#[$doc:meta])* $name:ident, $defaults:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, clap::Args)]
        pub struct $name {
            /// The maximum number of open connections of all pools together.
            #[arg(long, env = "DATABASE_CONNECTIONS", default_value_t = $defaults.most,
                value_parser = clap::value_parser!(u32).range(8..=1_000))]
            pub database_connections: u32,
            /// The maximum number of them that stay open unused. One more is closed a second or two
            /// after its last use.
            #[arg(long, env = "DATABASE_IDLE_CONNECTIONS", default_value_t = $defaults.idle,
                value_parser = clap::value_parser!(u32).range(0..=1_000))]
            pub database_idle_connections: u32,
            /// The age at which a connection is replaced, in seconds.
            #[arg(long, env = "DATABASE_LIFETIME_SECONDS",
                default_value_t = $defaults.lifetime.as_secs(),
                value_parser = clap::value_parser!(u64).range(1..=86_400))]
            pub database_lifetime_seconds: u64,
            /// The time after which an unused connection is closed, in seconds.
            #[arg(long, env = "DATABASE_IDLE_SECONDS",
                default_value_t = $defaults.idle_limit.as_secs(),
                value_parser = clap::value_parser!(u64).range(1..=86_400))]
            pub database_idle_seconds: u64,
        }

        impl $name {
            /// The limits that they set.
            ///
            /// # Errors
            /// [`Usage`] if more connections may be unused than there may be.
            pub fn limits(&self) -> Result<PoolLimits, Usage> {
                checked(PoolLimits {
                    most: self.database_connections,
                    idle: self.database_idle_connections,
                    lifetime: Duration::from_secs(self.database_lifetime_seconds),
                    idle_limit: Duration::from_secs(self.database_idle_seconds),
                })
            }
        }
    };
}

pool_args!(
    /// The connections of a process that answers queries.
    ReaderPoolArgs, PoolLimits::READER
);

pool_args!(
    /// The connections of a process that writes.
    WriterPoolArgs, PoolLimits::WRITER
);

fn checked(limits: PoolLimits) -> Result<PoolLimits, Usage> {
    let PoolLimits { most, idle, .. } = limits;
    if idle > most {
        return Err(Usage(format!(
            "DATABASE_IDLE_CONNECTIONS is {idle} and DATABASE_CONNECTIONS is {most}: no more \
             connections can stay unused than there may be"
        )));
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests")]

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        pools: WriterPoolArgs,
    }

    fn limits(arguments: &[&str]) -> Result<PoolLimits, String> {
        let program = Program::try_parse_from(["program"].iter().chain(arguments));
        let program = program.map_err(|error| error.to_string())?;
        program.pools.limits().map_err(|error| error.to_string())
    }

    #[test]
    fn the_limits_are_those_of_the_settings() {
        assert_eq!(limits(&[]), Ok(PoolLimits::WRITER));
        let given = [
            "--database-connections=12",
            "--database-idle-connections=12",
            "--database-lifetime-seconds=60",
            "--database-idle-seconds=5",
        ];
        let (lifetime, idle_limit) = (Duration::from_mins(1), Duration::from_secs(5));
        assert_eq!(limits(&given), Ok(PoolLimits { most: 12, idle: 12, lifetime, idle_limit }));
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_refused_by_name() {
        for (given, named) in [
            (["--database-connections=7"], "--database-connections"),
            (["--database-connections=1001"], "--database-connections"),
            (["--database-idle-connections=-1"], "--database-idle-connections"),
            (["--database-lifetime-seconds=0"], "--database-lifetime-seconds"),
            (["--database-idle-seconds=86401"], "--database-idle-seconds"),
        ] {
            let refused = limits(&given).expect_err("it is refused");
            assert!(refused.contains(named), "{refused}");
        }
        let both = limits(&["--database-connections=9"]).expect_err("ten of nine");
        assert!(
            both.contains("DATABASE_IDLE_CONNECTIONS is 10")
                && both.contains("DATABASE_CONNECTIONS is 9"),
            "{both}"
        );
    }
}
