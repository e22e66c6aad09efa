//! Which ports the stack listens on: the usual ones, the next free where one is taken.

use anyhow::Context;
use local_servers::port_is_free;

/// How many ports after the usual one are tried.
const ATTEMPTS: u16 = 200;

/// The ports of one stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The command API, usually 8080.
    pub command_api: u16,
    /// The query API, usually 8081.
    pub query_api: u16,
    /// The command API's admin port, usually 9080.
    pub command_api_admin: u16,
    /// The query API's admin port, usually 9081.
    pub query_api_admin: u16,
    /// The relay's admin port, usually 9082.
    pub event_relay_admin: u16,
    /// The projector's admin port, usually 9083.
    pub projector_admin: u16,
    /// PostgreSQL, usually 5433.
    pub postgres: u16,
    /// NATS, usually 4223.
    pub nats: u16,
}

impl Ports {
    /// Picks the ports that are free now.
    pub fn pick() -> anyhow::Result<Ports> {
        Self::pick_with(port_is_free)
    }

    fn pick_with(is_free: impl Fn(u16) -> bool) -> anyhow::Result<Ports> {
        let mut taken = Vec::new();
        let mut next = |usual: u16| -> anyhow::Result<u16> {
            let candidates = usual..usual.saturating_add(ATTEMPTS);
            let found = candidates.into_iter().find(|port| !taken.contains(port) && is_free(*port));
            let port = found.with_context(|| format!("no port is free from {usual} to {}", usual + ATTEMPTS - 1))?;
            taken.push(port);
            Ok(port)
        };
        Ok(Ports {
            command_api: next(8080)?,
            query_api: next(8081)?,
            command_api_admin: next(9080)?,
            query_api_admin: next(9081)?,
            event_relay_admin: next(9082)?,
            projector_admin: next(9083)?,
            postgres: next(5433)?,
            nats: next(4223)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::Ports;

    #[test]
    fn a_taken_port_is_passed_over_and_no_port_is_given_twice() {
        let ports = Ports::pick_with(|port| port != 8080 && port != 5433).unwrap();
        assert_eq!((ports.command_api, ports.query_api, ports.postgres, ports.nats), (8081, 8082, 5434, 4223));
        assert_eq!((ports.command_api_admin, ports.projector_admin), (9080, 9083));
    }

    #[test]
    fn a_machine_without_free_ports_is_told_so() {
        let error = Ports::pick_with(|_| false).unwrap_err().to_string();
        assert_eq!(error, "no port is free from 8080 to 8279");
    }
}
