//! `endpoints.json`: the addresses of everything, for programs. Only its owner can read it, because
//! the addresses contain passwords.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::identity::Holder;
use crate::layout::{Layout, write_private};

/// The addresses of a running stack. The file exists while everything is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The stack and supervisor that wrote the file. It identifies a copied file, or one that a
    /// killed supervisor left behind.
    #[serde(flatten)]
    pub holder: Holder,
    /// The base URL of both APIs together: the front.
    pub front: String,
    /// The command API's base URL.
    pub command_api: String,
    /// The query API's base URL.
    pub query_api: String,
    /// The base URL of the sandbox, which stands in for the payment provider and the shipper.
    pub sandbox: String,
    /// The database's address for the superuser.
    pub postgres: String,
    /// The address of the subject key database for the superuser.
    pub subject_keys: String,
    /// The folder of the programs.
    pub programs: PathBuf,
    /// The build profile of the programs. `None` if `up` was given a folder of programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// NATS's address for a user with all permissions.
    pub nats: String,
    /// RabbitMQ's address for a user with all permissions, if it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rabbitmq: Option<String>,
    /// The base URLs of the admin ports.
    pub admin: Admin,
    /// The process ids by service name.
    pub pids: BTreeMap<String, u32>,
}

/// The base URL of each process's admin port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admin {
    /// The command API's admin port.
    pub command_api: String,
    /// The query API's admin port.
    pub query_api: String,
    /// The relay's admin port.
    pub event_relay: String,
    /// The projector's admin port.
    pub projector: String,
    /// The front's admin port.
    pub front: String,
    /// The process manager's admin port.
    pub process_manager: String,
    /// The sandbox's admin port.
    pub sandbox: String,
}

impl Endpoints {
    /// Reads the file. Fails if the stack is not running or the file belongs to another stack.
    pub fn read(layout: &Layout) -> anyhow::Result<Endpoints> {
        let path = layout.endpoints();
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                anyhow::bail!(
                    "the stack is not up (there is no {}): run `cargo stack up`",
                    path.display()
                )
            }
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let endpoints: Endpoints = serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `cargo stack up` writes", path.display()))?;
        let Holder { state, supervisor } = &endpoints.holder;
        anyhow::ensure!(
            endpoints.holder.is_of(layout),
            "the stack is not up here ({} was copied from {}): run `cargo stack up`",
            path.display(),
            state.display()
        );
        anyhow::ensure!(
            supervisor.runs(),
            "the stack is not up (its supervisor, process {}, was killed): run `cargo stack up`",
            supervisor.pid
        );
        Ok(endpoints)
    }

    /// Writes the file.
    pub fn write(&self, layout: &Layout) -> anyhow::Result<()> {
        write_private(&layout.endpoints(), &serde_json::to_string_pretty(self)?)
    }

    /// The admin ports by process name.
    pub fn admin_ports(&self) -> [(&'static str, &str); 7] {
        [
            ("command-api", &self.admin.command_api),
            ("query-api", &self.admin.query_api),
            ("event-relay", &self.admin.event_relay),
            ("projector", &self.admin.projector),
            ("front", &self.admin.front),
            ("process-manager", &self.admin.process_manager),
            ("sandbox", &self.admin.sandbox),
        ]
    }
}
