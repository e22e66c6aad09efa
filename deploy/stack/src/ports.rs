//! The ports of the stack: the usual ones, or the next free one if a port is taken.
//!
//! Each port is locked while the stack runs, so that two stacks that start at once do not pick the
//! same.

use anyhow::Context as _;
use local_servers::PortLock;

/// How many ports to try, starting at the usual one.
const ATTEMPTS: u16 = 200;

/// The ports of one stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The command API, usually 8080.
    pub command_api: u16,
    /// The query API, usually 8081.
    pub query_api: u16,
    /// The front, usually 8000.
    pub front: u16,
    /// The command API's admin port, usually 9080.
    pub command_api_admin: u16,
    /// The query API's admin port, usually 9081.
    pub query_api_admin: u16,
    /// The relay's admin port, usually 9082.
    pub event_relay_admin: u16,
    /// The projector's admin port, usually 9083.
    pub projector_admin: u16,
    /// The front's admin port, usually 9084.
    pub front_admin: u16,
    /// The process manager's port for events of the payment provider and the shipper, usually 8082.
    pub webhooks: u16,
    /// The process manager's admin port, usually 9085.
    pub process_manager_admin: u16,
    /// The sandbox, usually 4010.
    pub sandbox: u16,
    /// The sandbox's admin port, usually 9086.
    pub sandbox_admin: u16,
    /// PostgreSQL, usually 5433.
    pub postgres: u16,
    /// NATS, usually 4223.
    pub nats: u16,
    /// RabbitMQ, usually 5673.
    pub rabbitmq: u16,
    /// RabbitMQ's port for its own tools, usually 25673.
    pub rabbitmq_tools: u16,
}

/// Locks on the picked ports against the user's other stacks and tests.
#[derive(Debug)]
pub struct PortLocks(
    /// Held until the stack ends.
    #[allow(dead_code, reason = "they only need to be held")]
    Vec<PortLock>,
);

impl Ports {
    /// Picks free ports and locks them.
    pub fn pick() -> anyhow::Result<(Ports, PortLocks)> {
        let mut locks = Vec::new();
        let ports = Self::pick_with(|port| {
            let lock = PortLock::of(port).with_context(|| format!("cannot lock port {port}"))?;
            let locked = lock.is_some();
            locks.extend(lock);
            Ok(locked)
        })?;
        Ok((ports, PortLocks(locks)))
    }

    fn pick_with(mut lock: impl FnMut(u16) -> anyhow::Result<bool>) -> anyhow::Result<Ports> {
        let mut next = |usual: u16| -> anyhow::Result<u16> {
            for port in usual..usual.saturating_add(ATTEMPTS) {
                if lock(port)? {
                    return Ok(port);
                }
            }
            anyhow::bail!("no port is free from {usual} to {}", usual + ATTEMPTS - 1)
        };
        Ok(Ports {
            command_api: next(8080)?,
            query_api: next(8081)?,
            front: next(8000)?,
            command_api_admin: next(9080)?,
            query_api_admin: next(9081)?,
            event_relay_admin: next(9082)?,
            projector_admin: next(9083)?,
            front_admin: next(9084)?,
            webhooks: next(8082)?,
            process_manager_admin: next(9085)?,
            sandbox: next(4010)?,
            sandbox_admin: next(9086)?,
            postgres: next(5433)?,
            nats: next(4223)?,
            rabbitmq: next(5673)?,
            rabbitmq_tools: next(25_673)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use super::Ports;

    impl Ports {
        fn all(&self) -> [u16; 16] {
            let Ports {
                command_api,
                query_api,
                front,
                command_api_admin,
                query_api_admin,
                event_relay_admin,
                projector_admin,
                front_admin,
                webhooks,
                process_manager_admin,
                sandbox,
                sandbox_admin,
                postgres,
                nats,
                rabbitmq,
                rabbitmq_tools,
            } = *self;
            [
                command_api,
                query_api,
                front,
                command_api_admin,
                query_api_admin,
                event_relay_admin,
                projector_admin,
                front_admin,
                webhooks,
                process_manager_admin,
                sandbox,
                sandbox_admin,
                postgres,
                nats,
                rabbitmq,
                rabbitmq_tools,
            ]
        }
    }

    #[test]
    fn a_taken_port_is_passed_over_and_no_port_is_given_twice() {
        let mut taken = BTreeSet::from([8080, 5433]);
        let ports = Ports::pick_with(|port| Ok(taken.insert(port))).unwrap();
        assert_eq!(
            (ports.command_api, ports.query_api, ports.postgres, ports.nats),
            (8081, 8082, 5434, 4223)
        );
        assert_eq!((ports.command_api_admin, ports.projector_admin), (9080, 9083));
    }

    #[test]
    fn stacks_that_start_at_once_get_ports_of_their_own() {
        let picked: Vec<_> = (0..4).map(|_| Ports::pick().unwrap()).collect();
        let ports: BTreeSet<u16> = picked.iter().flat_map(|(ports, _)| ports.all()).collect();
        let each = picked.first().map_or(0, |(ports, _)| ports.all().len());
        assert_eq!(ports.len(), picked.len() * each);
    }

    #[test]
    fn a_machine_without_free_ports_is_told_so() {
        let error = Ports::pick_with(|_| Ok(false)).unwrap_err().to_string();
        assert_eq!(error, "no port is free from 8080 to 8279");
    }
}
