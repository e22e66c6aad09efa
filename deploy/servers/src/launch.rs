//! Starts programs that cannot outlive this process: they get a signal however it ends.
//!
//! Where `setpriv` exists (Linux), the kernel sends it: a parent-death signal. Elsewhere, a small
//! shell next to the program waits for the end of a pipe that only this process holds open.
//! PostgreSQL refuses to run as root, so root starts it under another account.

use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

use crate::ServerError;
use crate::finish::{end_of, finish};
use crate::program::program;

/// How often a stopping process is checked.
const POLL: Duration = Duration::from_millis(5);

/// How long the system may take to start, inspect or end a process.
const LIMIT: Duration = Duration::from_secs(30);

/// The account that a server runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// The account of this process.
    Own,
    /// Another account, because this process runs as root and the server refuses root.
    Other {
        /// The user id.
        uid: u32,
        /// The group id.
        gid: u32,
    },
}

impl Account {
    /// Returns this process's account, or as root: `postgres` if it exists, or else nobody.
    pub fn unprivileged() -> Account {
        const NOBODY: u32 = 65534;
        if !geteuid().is_root() {
            return Account::Own;
        }
        match User::from_name("postgres") {
            Ok(Some(user)) if !user.uid.is_root() => {
                Account::Other { uid: user.uid.as_raw(), gid: user.gid.as_raw() }
            }
            _ => Account::Other { uid: NOBODY, gid: NOBODY },
        }
    }

    /// Makes a command run under this account.
    pub fn apply(self, command: &mut Command) {
        use std::os::unix::process::CommandExt;
        if let Account::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives a file or folder to this account.
    pub fn own(self, path: &Path) -> Result<(), ServerError> {
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .map_err(ServerError::file("give away", path)),
        }
    }

    /// Whether this account can enter the folder. Other accounts cannot enter a checkout in root's
    /// home.
    pub fn can_enter(self, folder: &Path) -> bool {
        if self == Account::Own {
            return true;
        }
        let Some(test) = program("test") else { return false };
        let mut command = Command::new(test);
        command.arg("-x").arg(folder);
        self.apply(&mut command);
        finish(&mut command, LIMIT).is_ok_and(|output| output.status.success())
    }
}

/// The signal that a program gets when this process ends.
pub type Guard = Signal;

/// How to start a program.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The program with its arguments and environment.
    pub command: &'a Command,
    /// The account that it runs as.
    pub account: Account,
    /// The signal that it gets when this process ends.
    pub guard: Guard,
}

/// A running program that ends with this process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where the kernel cannot help: the shell that waits for our end, and its pipe.
    watcher: Option<(Child, ChildStdin)>,
}

impl Launch<'_> {
    /// Starts the program in a separate process group, so that Ctrl-C in a terminal reaches only
    /// this process.
    pub fn start(self, stdout: Stdio, stderr: Stdio) -> Result<Process, ServerError> {
        use std::os::unix::process::CommandExt;
        let name = self.command.get_program().to_string_lossy().into_owned();
        let setpriv = program("setpriv").filter(|_| cfg!(target_os = "linux"));
        let mut command = match &setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command
                    .args(["--pdeathsig", signal_name(self.guard), "--"])
                    .arg(self.command.get_program());
                command
            }
            None => Command::new(self.command.get_program()),
        };
        command.args(self.command.get_args());
        for (key, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(folder) = self.command.get_current_dir() {
            command.current_dir(folder);
        }
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
        self.account.apply(&mut command);
        let spawned = spawn(command);
        let child = spawned.map_err(|source| ServerError::Spawn { program: name, source })?;
        let watcher = if setpriv.is_some() { None } else { Some(watch(&child, self.guard)?) };
        Ok(Process { child, watcher })
    }
}

impl Process {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Takes the program's output pipes, if it has any.
    pub fn take_output(
        &mut self,
    ) -> (Option<std::process::ChildStdout>, Option<std::process::ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// The exit status, or `None` while the process runs.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        send(self.pid(), signal)
    }

    /// Sends a signal and waits for the end. Returns false if the process did not end in time.
    pub async fn end(&mut self, signal: Signal, limit: Duration) -> Result<bool, ServerError> {
        if self.ended().is_some() {
            return Ok(true);
        }
        self.signal(signal)?;
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if self.ended().is_some() {
                return Ok(true);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(self.ended().is_some())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some((mut shell, pipe)) = self.watcher.take() {
            // The shell must not see the end of the pipe: the process id may be reused by then.
            if let Err(error) = end(&mut shell) {
                tracing::warn!(%error, "could not end the watcher of a server");
            }
            drop(pipe);
        }
        if self.ended().is_none()
            && let Err(error) = end(&mut self.child)
        {
            tracing::warn!(%error, pid = self.pid(), "could not end a server");
        }
    }
}

/// Kills a child process and reaps it.
fn end(child: &mut Child) -> Result<(), ServerError> {
    let program = format!("process {}", child.id());
    // Its children may hold the pipes, and nothing reads them any more.
    drop((child.stdout.take(), child.stderr.take()));
    child.kill().map_err(|source| ServerError::Spawn { program: program.clone(), source })?;
    end_of(child, &program, LIMIT).map(|_| ())
}

/// Sends a signal to a process by id.
pub(crate) fn send(pid: u32, signal: Signal) -> Result<(), ServerError> {
    let raw = i32::try_from(pid)
        .map_err(|_| ServerError::Signal { pid, source: nix::errno::Errno::ESRCH })?;
    kill(Pid::from_raw(raw), signal).map_err(|source| ServerError::Signal { pid, source })
}

fn signal_name(signal: Signal) -> &'static str {
    signal.as_str().trim_start_matches("SIG")
}

fn watch(child: &Child, guard: Guard) -> Result<(Child, ChildStdin), ServerError> {
    let shell = program("sh").unwrap_or_else(|| "/bin/sh".into());
    let failed = |source| ServerError::Spawn { program: shell.display().to_string(), source };
    let mut command = Command::new(&shell);
    command.args([
        "-c",
        r#"read -r line; kill -s "$1" "$2""#,
        "watcher",
        signal_name(guard),
        &child.id().to_string(),
    ]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut watcher = command.spawn().map_err(failed)?;
    let pipe = watcher.stdin.take().ok_or_else(|| failed(std::io::Error::other("no pipe")))?;
    Ok((watcher, pipe))
}

/// Starts a program on one long-lived thread. A parent-death signal is sent when the *thread* that
/// started the program ends, so that thread must live as long as the process.
fn spawn(command: Command) -> std::io::Result<Child> {
    type Job = (Command, mpsc::SyncSender<std::io::Result<Child>>);
    static LAUNCHER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let launcher = LAUNCHER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                // The caller waits for the answer, so it still exists.
                let _waiting = answer.send(command.spawn());
            }
        });
        jobs
    });
    let (answer, result) = mpsc::sync_channel(1);
    let gone = || std::io::Error::other("the launcher thread is gone");
    launcher.send((command, answer)).map_err(|_| gone())?;
    match result.recv_timeout(LIMIT) {
        Ok(started) => started,
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(gone()),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            Err(std::io::Error::other("the system did not start it in time"))
        }
    }
}
