//! `endpoints.json`: where everything is, for programs. Only its owner reads it, since addresses
//! carry passwords.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::identity::Holder;
use crate::layout::{Layout, write_private};

/// Where everything is; the file is there while everything is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Whose they are: a copied file tells of another stack, and one that a killed supervisor left
    /// of none.
    #[serde(flatten)]
    pub holder: Holder,
    /// The command API.
    pub command_api: String,
    /// The query API.
    pub query_api: String,
    /// The database, for the superuser.
    pub postgres: String,
    /// The database of the keys of personal data, for the superuser.
    pub subject_keys: String,
    /// The folder of the programs.
    pub programs: PathBuf,
    /// The build profile of the programs. None when `up` was given a folder of programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// NATS, for a user who may do anything.
    pub nats: String,
    /// The admin ports.
    pub admin: Admin,
    /// The process ids, by name.
    pub pids: BTreeMap<String, u32>,
}

/// The admin port of each process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admin {
    /// Of the command API.
    pub command_api: String,
    /// Of the query API.
    pub query_api: String,
    /// Of the relay.
    pub event_relay: String,
    /// Of the projector.
    pub projector: String,
}

impl Endpoints {
    /// Reads the file; an error says that nothing runs, or what runs is another folder's stack.
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
    pub fn admin_ports(&self) -> [(&'static str, &str); 4] {
        [
            ("command-api", &self.admin.command_api),
            ("query-api", &self.admin.query_api),
            ("event-relay", &self.admin.event_relay),
            ("projector", &self.admin.projector),
        ]
    }
}
