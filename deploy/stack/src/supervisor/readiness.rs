//! Readiness checks: they ask the service itself, and accept an answer only from the expected
//! process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use local_servers::{PostmasterState, loopback_client, postmaster_state};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cli::PROGRAMS;

/// How long one answer may take.
const CHECK_LIMIT: Duration = Duration::from_secs(2);

/// How to check that a service is ready.
#[derive(Debug, Clone)]
pub enum Readiness {
    /// The cluster's state file must report it.
    Postmaster(PathBuf),
    /// The server on this port must report this name. Another stack's server might have taken the
    /// port first.
    Nats(u16, String),
    /// The server on this port must report a node with this name.
    RabbitMq(u16, String),
    /// The admin port must report it with the expected process id. Another process might have taken
    /// the port first.
    Http(String),
}

/// Why a service is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NotReady {
    /// A description of what is missing.
    pub why: String,
    /// Whether the service stays not ready until a person acts on `why`.
    pub needs_action: bool,
}

impl NotReady {
    /// A temporary reason; the service may become ready by itself.
    pub fn now(why: impl Into<String>) -> NotReady {
        NotReady { why: why.into(), needs_action: false }
    }
}

/// Checks the readiness of any number of services.
#[derive(Debug, Clone)]
pub struct Probe {
    http: reqwest::Client,
}

impl Probe {
    /// Creates a probe with one HTTP client, which reuses its connections.
    pub fn new() -> anyhow::Result<Probe> {
        Ok(Probe { http: loopback_client(CHECK_LIMIT).context("cannot create an HTTP client")? })
    }

    /// Checks the service that runs as process `pid`. The error says what is missing.
    pub async fn check(&self, readiness: &Readiness, pid: u32) -> Result<(), NotReady> {
        match readiness {
            Readiness::Postmaster(data) => match postmaster_state(data, pid) {
                PostmasterState::Ready => Ok(()),
                PostmasterState::NotReady => Err(NotReady::now("it does not accept connections")),
            },
            Readiness::Nats(port, name) => nats(*port, name).await.map_err(NotReady::now),
            Readiness::RabbitMq(port, name) => {
                rabbitmq(*port, name).await.map_err(NotReady::now)
            }
            Readiness::Http(url) => self.http(url, pid).await,
        }
    }

    async fn http(&self, url: &str, pid: u32) -> Result<(), NotReady> {
        let unreachable = |error: reqwest::Error| NotReady::now(error.without_url().to_string());
        let asked = self.http.get(format!("{url}/readyz?verbose")).send().await;
        let asked = asked.map_err(unreachable)?;
        let status = asked.status();
        let text = asked.text().await.map_err(unreachable)?;
        let report: Report = serde_json::from_str(&text)
            .map_err(|error| NotReady::now(format!("{status}, not a report: {error}")))?;
        if report.pid != pid {
            return Err(NotReady::now(format!("another process answers on {url}")));
        }
        if status.is_success() { Ok(()) } else { Err(report.not_ready()) }
    }
}

/// The part of a process's readiness report that is used here.
#[derive(Debug, Deserialize)]
struct Report {
    pid: u32,
    #[serde(default)]
    components: BTreeMap<String, Component>,
}

#[derive(Debug, Deserialize)]
struct Component {
    ready: bool,
    required: bool,
    reason: Option<String>,
    #[serde(default)]
    needs_action: bool,
}

impl Report {
    fn not_ready(&self) -> NotReady {
        let missing = || self.components.iter().filter(|(_, one)| one.required && !one.ready);
        let reasons: Vec<String> = missing()
            .map(|(name, one)| format!("{name}: {}", one.reason.as_deref().unwrap_or("not ready")))
            .collect();
        // All components are ready, so the process is about to end.
        let why = if reasons.is_empty() { "it is stopping".to_owned() } else { reasons.join("; ") };
        NotReady {
            why: for_this_stack(&why),
            needs_action: missing().any(|(_, one)| one.needs_action),
        }
    }
}

/// Rewrites the commands in a program's message to the form used with this tool.
fn for_this_stack(text: &str) -> String {
    PROGRAMS.iter().fold(text.to_owned(), |text, program| {
        text.replace(&format!("`{program} "), &format!("`cargo stack run {program} "))
    })
}

/// Begins a conversation in AMQP. The server's first frame has its name.
async fn rabbitmq(port: u16, name: &str) -> Result<(), String> {
    const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";
    /// The type, channel and length of a frame.
    const HEAD: usize = 7;
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(GREETING).await?;
        let mut head = [0; HEAD];
        stream.read_exact(&mut head).await?;
        let length = u16::from_be_bytes([head[5], head[6]]);
        let mut frame = vec![0; length.into()];
        stream.read_exact(&mut frame).await?;
        std::io::Result::Ok(frame)
    };
    let answered = tokio::time::timeout(CHECK_LIMIT, asked).await;
    let frame = answered.map_err(|_| "no answer in time".to_owned())?;
    let frame = frame.map_err(|error| error.to_string())?;
    if frame.windows(name.len()).any(|part| part == name.as_bytes()) {
        Ok(())
    } else {
        Err(format!("another server answers on port {port}"))
    }
}

async fn nats(port: u16, name: &str) -> Result<(), String> {
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        let mut greeting = [0; 512];
        let length = stream.read(&mut greeting).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&greeting[..length]).into_owned())
    };
    match tokio::time::timeout(CHECK_LIMIT, asked).await {
        Ok(Ok(greeting)) if greeting.contains(&format!("\"server_name\":\"{name}\"")) => Ok(()),
        Ok(Ok(_)) => Err(format!("another server answers on port {port}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::{NotReady, Probe, Readiness, Report};

    /// Answers every request on a connection with a report that process 7 is ready.
    async fn answer(mut stream: TcpStream) {
        let body = r#"{"pid":7}"#;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let mut request = Vec::new();
        while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
            if request.ends_with(b"\r\n\r\n") {
                request.clear();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn all_questions_of_one_probe_go_over_one_connection_of_one_client() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let readiness = Readiness::Http(format!("http://{}", listener.local_addr().unwrap()));
        let connections = Arc::new(AtomicU32::new(0));
        let accepting = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(answer(stream));
                }
            }
        });
        let probe = Probe::new().unwrap();
        for _ in 0..5 {
            probe.check(&readiness, 7).await.unwrap();
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        let other = probe.check(&readiness, 8).await.unwrap_err();
        assert!(other.why.starts_with("another process answers"), "{other}");
        accepting.abort();
    }

    #[test]
    fn a_reason_names_what_is_required_and_the_command_as_it_is_given_here() {
        let report = r#"{"pid": 7, "ready": false, "components": {
            "nats": {"ready": false, "required": false, "reason": "not connected"},
            "event_store": {"ready": true, "required": true},
            "projections": {"ready": false, "required": true, "needs_action": true,
                "reason": "users is stopped: run `projector rebuild users`"}}}"#;
        let why = serde_json::from_str::<Report>(report).unwrap().not_ready();
        let said = "projections: users is stopped: run `cargo stack run projector rebuild users`";
        assert_eq!(why, NotReady { why: said.to_owned(), needs_action: true });
    }
}
