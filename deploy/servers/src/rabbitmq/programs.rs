//! RabbitMQ's programs and the Erlang that runs them: those of the system, or Debian's packages
//! unpacked into a private folder.
//!
//! The scripts of the packages know only the folders that packages are installed to. So Erlang is
//! started directly, with what the scripts would give it. It is then one process, with the id of the
//! program that was started. Without `epmd`, Erlang's directory of nodes, nothing outlives it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::ServerError;
use crate::find::package_manager_hint;
use crate::finish::finish;
use crate::program::program;

/// How long downloading and unpacking the packages may take.
const LIMIT: Duration = Duration::from_mins(10);
/// The folder that the packages are unpacked to.
const FOLDER: &str = "rabbitmq-debian";
/// Debian's packages. apt checks their signatures. The list is what RabbitMQ depends on, without
/// what only starts it as a service.
const PACKAGES: [&str; 15] = [
    "rabbitmq-server",
    "erlang-asn1",
    "erlang-base",
    "erlang-crypto",
    "erlang-eldap",
    "erlang-inets",
    "erlang-mnesia",
    "erlang-os-mon",
    "erlang-parsetools",
    "erlang-public-key",
    "erlang-runtime-tools",
    "erlang-ssl",
    "erlang-syntax-tools",
    "erlang-tools",
    "erlang-xmerl",
];
const ERLANG: &str = "usr/lib/erlang";
const RABBITMQ: &str = "usr/lib/rabbitmq/lib";

/// An installation of RabbitMQ, and of the Erlang that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RabbitMqPrograms {
    /// The folder with `plugins`.
    server: PathBuf,
    /// Erlang's root folder.
    erlang: PathBuf,
}

/// Where a server keeps its data and listens.
#[derive(Debug, Clone, Copy)]
pub struct RabbitMqNode<'a> {
    /// The folder of its data and settings.
    pub home: &'a Path,
    /// A name that no other server of this machine has.
    pub name: &'a str,
    /// The port for clients.
    pub port: u16,
    /// The port for its own tools.
    pub tools_port: u16,
    /// The user that it creates with its data, who may do everything.
    pub user: &'a str,
    /// The password of this user.
    pub password: &'a str,
}

impl RabbitMqPrograms {
    /// Finds an installation in the folders of Debian's packages.
    pub fn installed() -> Option<Self> {
        Self::below(Path::new("/"))
    }

    /// Downloads Debian's packages with apt and unpacks them, unless they are there already.
    ///
    /// # Errors
    /// There is no apt, or the packages cannot be downloaded.
    pub fn fetched(into: &Path) -> Result<Self, ServerError> {
        let home = into.join(FOLDER);
        if let Some(found) = Self::below(&home) {
            return Ok(found);
        }
        let (Some(apt), Some(dpkg)) = (program("apt-get"), program("dpkg")) else {
            return Err(no_packages());
        };
        std::fs::create_dir_all(into).map_err(ServerError::file("create", into))?;
        let work = tempfile::Builder::new()
            .prefix("fetch-")
            .tempdir_in(into)
            .map_err(ServerError::file("create a folder in", into))?;
        let mut download = Command::new(apt);
        run(download.current_dir(work.path()).arg("download").args(PACKAGES))?;
        let unpacked = work.path().join("unpacked");
        for package in packages_in(work.path())? {
            run(Command::new(&dpkg).arg("-x").arg(package).arg(&unpacked))?;
        }
        match std::fs::rename(&unpacked, &home) {
            // Another run was faster.
            Err(source) if !home.exists() => {
                return Err(ServerError::File { action: "create", path: home, source });
            }
            _ => {}
        }
        Self::below(&home).ok_or_else(no_packages)
    }

    /// The installation in these two folders, as [`Self::folders`] returns them.
    pub fn at(server: impl Into<PathBuf>, erlang: impl Into<PathBuf>) -> Self {
        Self { server: server.into(), erlang: erlang.into() }
    }

    /// The folder of RabbitMQ, and that of Erlang.
    pub fn folders(&self) -> (&Path, &Path) {
        (&self.server, &self.erlang)
    }

    fn below(root: &Path) -> Option<Self> {
        let erlang = root.join(ERLANG);
        let mut versions = children(&root.join(RABBITMQ));
        versions.retain(|folder| folder.join("plugins").is_dir());
        let server = versions.pop()?;
        erts(&erlang).map(|_| Self { server, erlang })
    }

    /// Writes the settings of a server, and returns the command that starts it.
    ///
    /// # Errors
    /// The settings cannot be written, or there is no Erlang.
    pub fn server(&self, node: &RabbitMqNode<'_>) -> Result<Command, ServerError> {
        let settings = write_settings(node)?;
        let runtime = erts(&self.erlang).ok_or_else(no_packages)?.join("bin");
        let plugins = self.server.join("plugins");
        let mut command = Command::new(runtime.join("erlexec"));
        command.env("ROOTDIR", &self.erlang).env("BINDIR", &runtime);
        command.env("EMU", "beam").env("PROGNAME", "erl").env("HOME", node.home);
        command.env("ERL_LIBS", &plugins).env("ERL_CRASH_DUMP_BYTES", "0");
        command.env("RABBITMQ_HOME", &self.server).env("RABBITMQ_PLUGINS_DIR", &plugins);
        command.env("RABBITMQ_NODENAME", node_name(node));
        command.env("RABBITMQ_BASE", node.home).env("RABBITMQ_MNESIA_BASE", node.home.join("data"));
        command.env("RABBITMQ_LOG_BASE", node.home.join("log"));
        command.env("RABBITMQ_CONFIG_FILE", &settings.config);
        command.env("RABBITMQ_ADVANCED_CONFIG_FILE", node.home.join("advanced.config"));
        command.env("RABBITMQ_ENABLED_PLUGINS_FILE", &settings.plugins);
        command.env("RABBITMQ_PID_FILE", node.home.join("pid"));
        command.env("RABBITMQ_DIST_PORT", node.tools_port.to_string());
        command.args(["-noinput", "-boot", "start_sasl", "-s", "rabbit", "boot"]);
        // It does not wait busily, as several servers share the machine.
        command.args(["+W", "w", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]);
        command.args(["-sname", &node_name(node), "-start_epmd", "false"]);
        command.args(["-erl_epmd_port", &node.tools_port.to_string()]);
        command.args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]);
        command.args(["-syslog", "logger", "[]", "-syslog", "syslog_error_logger", "false"]);
        command.current_dir(node.home);
        Ok(command)
    }
}

/// The files of a server's settings.
struct Settings {
    config: PathBuf,
    plugins: PathBuf,
}

fn write_settings(node: &RabbitMqNode<'_>) -> Result<Settings, ServerError> {
    use std::os::unix::fs::PermissionsExt as _;
    let RabbitMqNode { home, port, user, password, .. } = *node;
    let config = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\ndefault_user = {user}\ndefault_pass = {password}\n\
         log.console = true\nlog.console.level = info\nlog.file = false\n\
         disk_free_limit.absolute = 64MB\n"
    );
    let files = Settings { config: home.join("rabbitmq.conf"), plugins: home.join("plugins") };
    for (path, text) in [(&files.config, config.as_str()), (&files.plugins, "[].\n")] {
        std::fs::write(path, text).map_err(ServerError::file("write", path))?;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, private).map_err(ServerError::file("restrict", path))?;
    }
    Ok(files)
}

fn node_name(node: &RabbitMqNode<'_>) -> String {
    format!("{}@localhost", node.name)
}

/// The folder of Erlang's runtime.
fn erts(erlang: &Path) -> Option<PathBuf> {
    let mut versions = children(erlang);
    versions.retain(|folder| folder.join("bin/erlexec").is_file());
    versions.pop()
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn packages_in(folder: &Path) -> Result<Vec<PathBuf>, ServerError> {
    let packages: Vec<PathBuf> = children(folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "deb"))
        .collect();
    if packages.len() < PACKAGES.len() { Err(no_packages()) } else { Ok(packages) }
}

fn run(command: &mut Command) -> Result<(), ServerError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = finish(command, LIMIT)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(ServerError::Failed { program, status: output.status.to_string(), output: said })
}

fn no_packages() -> ServerError {
    ServerError::NoPackages {
        server: "RabbitMQ",
        hint: package_manager_hint("rabbitmq-server", "rabbitmq"),
    }
}
