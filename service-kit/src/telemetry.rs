//! Logs as JSON lines on stderr, and metrics in Prometheus format with its recommended names. A
//! counter `things` appears as `things_total`. Describe every metric with its unit.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// How often the metrics recorder compacts its histograms, which grow until then.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// The bucket bounds of duration histograms, in seconds.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// The bucket bounds of size histograms (batches, pages), in items.
const SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// How a metrics line ends if its value is unknown.
const UNKNOWN: &str = " NaN";

/// Minimum levels that hold whatever the filter says. Below info, the NATS client logs the
/// addresses that it connects to, and they contain the password.
const NEVER_BELOW: [&str; 1] = ["async_nats::connector=info"];

/// The logs and metrics of this process.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
}

/// Renders the metrics of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter cannot be parsed.
    #[error("the log filter is not valid")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A tracing subscriber is already installed.
    #[error("could not start logging")]
    Log(#[from] tracing_subscriber::util::TryInitError),
    /// A metrics recorder is already installed.
    #[error("could not start metrics")]
    Metrics(#[from] BuildError),
}

impl Telemetry {
    /// Starts logging, with a filter as in `LOG`, and metrics. Call it once, inside the runtime.
    ///
    /// # Errors
    /// [`TelemetryError`]: the filter cannot be parsed, or this is the second call.
    pub fn start(process: &'static str, filter: &str) -> Result<Self, TelemetryError> {
        use tracing_subscriber::util::SubscriberInitExt as _;
        let mut filter = EnvFilter::try_new(filter)?;
        for directive in NEVER_BELOW {
            filter = filter.add_directive(directive.parse()?);
        }
        tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(std::io::stderr)
            .with_env_filter(filter)
            .finish()
            .try_init()?;
        let metrics = Metrics(builder()?.install_recorder()?);
        let upkeep = metrics.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(UPKEEP_EVERY);
            loop {
                ticks.tick().await;
                upkeep.0.run_upkeep();
            }
        });
        describe_process(process);
        Ok(Self { metrics })
    }

    /// Returns the metrics for the admin port.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }
}

impl Metrics {
    /// Creates metrics without installing a recorder, for tests of the admin port.
    ///
    /// # Errors
    /// None in practice: the histogram bounds are not empty.
    pub fn detached() -> Result<Self, TelemetryError> {
        Ok(Self(builder()?.build_recorder().handle()))
    }

    /// Renders all metrics in Prometheus text format. It omits gauges set to NaN, whose value is
    /// unknown.
    pub fn render(&self) -> String {
        let mut text = self.0.render();
        if text.contains(UNKNOWN) {
            text = text
                .split_inclusive('\n')
                .filter(|line| !line.trim_end().ends_with(UNKNOWN))
                .collect();
        }
        text
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    use metrics_exporter_prometheus::Matcher;
    PrometheusBuilder::new()
        .with_recommended_naming(true)
        .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &SIZES)
}

/// Shows in the metrics how many connections to databases a part of this process opens at most. All
/// parts of all processes together must fit into the databases' `max_connections`.
pub fn most_connections(of: &'static str, most: u32) {
    metrics::describe_gauge!(
        "db_connections_max",
        "Connections to databases that a part of the process opens at most"
    );
    metrics::gauge!("db_connections_max", "of" => of).set(most);
}

fn describe_process(process: &'static str) {
    metrics::describe_gauge!(
        "build_info",
        "Always 1; the labels say which build of which process this is"
    );
    metrics::gauge!("build_info", "process" => process, "version" => env!("CARGO_PKG_VERSION"))
        .set(1.0);
}
