//! The real program.

use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use local_servers::{finish_async, in_time};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Base64 of 32 bytes.
pub(crate) const MASTER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A running `projector run`; killed when dropped.
pub(crate) struct Process {
    child: Child,
    admin: String,
}

pub(crate) fn command(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_projector"));
    command
        .env_clear()
        .env("EVENT_STORE_URL", url)
        .env("READ_MODEL_URL", url)
        .env("SUBJECT_KEYS_URL", url)
        .env("MASTER_KEY", MASTER_KEY)
        .env("LOG", "info")
        .kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(crate) async fn finished(command: &mut Command) -> Output {
    /// A rebuild of many rows, on a machine that does other work, takes a minute.
    const LIMIT: Duration = Duration::from_mins(5);
    finish_async(command, LIMIT).await.unwrap()
}

impl Process {
    pub(crate) fn start(url: &str) -> Self {
        Self::start_with(url, &[])
    }

    /// With these settings besides.
    pub(crate) fn start_with(url: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_to(url, settings, Stdio::inherit())
    }

    /// With these settings besides, and its log to there.
    pub(crate) fn start_to(url: &str, settings: &[(&str, &str)], log: Stdio) -> Self {
        let admin = format!("127.0.0.1:{}", local_servers::free_port().unwrap());
        Self::start_at(admin, url, settings, log)
    }

    /// Starts the next process with the admin port of this one, which has ended.
    pub(crate) fn start_again(&self, url: &str) -> Self {
        Self::start_at(self.admin.clone(), url, &[], Stdio::inherit())
    }

    fn start_at(admin: String, url: &str, settings: &[(&str, &str)], log: Stdio) -> Self {
        let mut command = command(url);
        command
            .arg("run")
            .env("ADMIN_LISTEN", &admin)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stderr(log);
        let child = command.spawn().unwrap();
        Self { child, admin }
    }

    /// The address of the admin port.
    pub(crate) fn admin(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// What the admin port answers, head and body.
    pub(crate) async fn get(&self, path: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(&self.admin).await else {
            return "not listening".to_owned();
        };
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let asked = async {
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.read_to_string(&mut answer).await.unwrap();
        };
        in_time(&format!("an answer from {path}"), asked).await;
        answer
    }

    /// The figure that a line of its metrics shows; `None` while there is no such line.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.get("/metrics").await;
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// See [`local_servers::peak_memory_kib`].
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        local_servers::peak_memory_kib(self.child.id().unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        in_time("the projector's end", self.child.wait()).await.unwrap()
    }

    pub(crate) async fn kill_9(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ended().await;
    }
}
