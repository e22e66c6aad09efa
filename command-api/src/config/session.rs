//! The settings of identity: sessions and what is kept of them.

use std::time::Duration;

use chrono::TimeDelta;

use crate::auth::Limits;
use crate::auth::upkeep::Retention;

/// The seconds of an hour.
const HOUR: u64 = 3600;

/// How long sessions live.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct SessionArgs {
    /// How many hours a session lives without use; 30 days by default.
    #[arg(long, env = "SESSION_IDLE_HOURS", value_name = "HOURS", default_value_t = 30 * 24,
        value_parser = clap::value_parser!(u64).range(1..=10 * 365 * 24))]
    pub session_idle_hours: u64,
    /// How many hours a session lives at most; 90 days by default.
    #[arg(long, env = "SESSION_MAX_HOURS", value_name = "HOURS", default_value_t = 90 * 24,
        value_parser = clap::value_parser!(u64).range(1..=10 * 365 * 24))]
    pub session_max_hours: u64,
    /// How many days the network address of a log-in is kept.
    #[arg(long, env = "ADDRESS_DAYS", value_name = "DAYS", default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(0..=3650))]
    pub address_days: u16,
    /// How many days a session or an API key is kept after its end.
    #[arg(long, env = "ENDED_SESSION_DAYS", value_name = "DAYS", default_value_t = 90,
        value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub ended_session_days: u16,
}

impl SessionArgs {
    /// How long is kept what is needed no more.
    pub fn retention(&self) -> Retention {
        Retention {
            addresses: TimeDelta::days(self.address_days.into()),
            ended: TimeDelta::days(self.ended_session_days.into()),
        }
    }

    /// The limits of sessions.
    pub const fn limits(&self) -> Limits {
        Limits {
            idle: Duration::from_secs(self.session_idle_hours * HOUR),
            absolute: Duration::from_secs(self.session_max_hours * HOUR),
        }
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
        sessions: SessionArgs,
    }

    #[test]
    fn each_limit_has_its_setting() {
        let parsed = |arguments: &[&str]| {
            let program = Program::try_parse_from(["program"].iter().chain(arguments));
            program.map(|program| program.sessions.limits())
        };
        let limits = parsed(&[]).unwrap();
        assert_eq!(limits.idle, Duration::from_hours(720));
        assert_eq!(limits.absolute, Duration::from_hours(2160));
        let limits = parsed(&["--session-idle-hours=1", "--session-max-hours=2"]).unwrap();
        assert_eq!(limits.idle, Duration::from_hours(1));
        assert_eq!(limits.absolute, Duration::from_hours(2));
        for wrong in ["--session-idle-hours=0", "--session-max-hours=-1"] {
            assert!(parsed(&[wrong]).is_err(), "{wrong}");
        }
    }
}
