//! Reads a launched process's readiness, metrics and log, and waits for them.

use std::time::Duration;

use anyhow::{Context, Result};
use local_servers::http_get;

use super::{Launched, Service};
use crate::until;

const READY_LIMIT: Duration = Duration::from_mins(1);
/// How long a process may take to report.
const SAY_LIMIT: Duration = Duration::from_secs(5);

/// A process's readiness report.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// Whether the process can work.
    pub ready: bool,
    /// The state of each component, as text.
    pub says: String,
}

impl Launched {
    /// Reads a process's current readiness. It answers at once in any state.
    pub async fn readiness(&self, service: Service) -> Result<Readiness> {
        let address = format!(
            "http://127.0.0.1:{}/readyz?verbose",
            self.ports.get(&service).context("ports")?.admin
        );
        let asked = async {
            let answer = http_get(&address).await?;
            Ok(Readiness { ready: answer.status().is_success(), says: answer.text().await? })
        };
        tokio::time::timeout(SAY_LIMIT, asked)
            .await
            .with_context(|| format!("{service:?} says nothing of itself"))?
    }

    /// Reads a process's metrics in Prometheus format.
    pub async fn metrics(&self, service: Service) -> Result<String> {
        let address = format!(
            "http://127.0.0.1:{}/metrics",
            self.ports.get(&service).context("ports")?.admin
        );
        let asked = async { Ok(http_get(&address).await?.text().await?) };
        tokio::time::timeout(SAY_LIMIT, asked)
            .await
            .with_context(|| format!("{service:?} does not report metrics"))?
    }

    /// Waits until a process reports that it is ready.
    pub async fn wait_until_ready(&mut self, service: Service) -> Result<()> {
        let what = format!("{service:?} is ready");
        let ready = until(&what, READY_LIMIT, async || {
            let Readiness { ready, says } = self.readiness(service).await?;
            anyhow::ensure!(ready, says);
            Ok(Some(()))
        });
        ready.await.with_context(|| self.log_of(service))
    }

    /// Waits until a process is not ready and its report contains all of these words.
    pub async fn wait_until_it_says(&mut self, service: Service, words: &[&str]) -> Result<()> {
        let what = format!("{service:?} says {words:?}");
        let said = until(&what, READY_LIMIT, async || {
            let Readiness { ready, says } = self.readiness(service).await?;
            anyhow::ensure!(!ready && words.iter().all(|words| says.contains(words)), says);
            Ok(Some(()))
        });
        said.await.with_context(|| self.log_of(service))
    }

    /// The last lines of a process's log.
    pub fn log_of(&self, service: Service) -> String {
        const LAST: usize = 20;
        let text = std::fs::read_to_string(self.logs.path().join(service.program().0))
            .unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = text.lines().collect();
        format!("the end of its log:\n{}", lines[lines.len().saturating_sub(LAST)..].join("\n"))
    }
}
