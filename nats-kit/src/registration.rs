//! What a process says about itself in the registry.

use std::collections::HashMap;
use std::fmt::Display;

use service_kit::config::LoopbackAddr;

/// The key of the name of the machine.
pub(crate) const HOST: &str = "host";
/// The key of the process id.
pub(crate) const PID: &str = "pid";
/// The key of the address of the admin port.
pub(crate) const ADMIN: &str = "admin";
/// The key of the address of the public port.
pub(crate) const ADDRESS: &str = "address";

/// A process as it registers: name, version and metadata. The metadata has the machine (`host`),
/// the process id (`pid`) and the addresses (`admin`, `address`). An address on loopback means
/// something only on that machine.
#[derive(Debug, Clone)]
pub struct Registration {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) metadata: HashMap<String, String>,
}

impl Registration {
    /// A process with this name and version. The name has letters, digits, `-` and `_`; the version
    /// is that of its crate.
    pub fn new(name: &'static str, version: &'static str) -> Self {
        let host = nix::unistd::gethostname();
        let host = host.map_or_else(|_| "unknown".into(), |host| host.to_string_lossy().into());
        let pid = std::process::id().to_string();
        let metadata = HashMap::from([(HOST.to_owned(), host), (PID.to_owned(), pid)]);
        Self { name, version, metadata }
    }

    /// Adds the address of the admin port.
    #[must_use]
    pub fn admin(mut self, address: LoopbackAddr) -> Self {
        self.metadata.insert(ADMIN.to_owned(), format!("http://{address}"));
        self
    }

    /// Adds the address that the public port listens on.
    #[must_use]
    pub fn address(mut self, address: impl Display) -> Self {
        self.metadata.insert(ADDRESS.to_owned(), address.to_string());
        self
    }
}
