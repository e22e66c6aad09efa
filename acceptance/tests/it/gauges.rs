//! The gauges of every process while its servers are silent: they show nothing, or a value that is
//! still true.
//!
//! The gauges are read from the processes. A gauge that is missing in the table fails the test, so
//! a new gauge needs an entry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use acceptance::{Kind, Launched, Server, Service, Traffic, until};
use anyhow::{Result, ensure};
use chrono::Utc;
use reqwest::StatusCode;
use serde_json::json;

/// How long the system may take to be busy, or idle again.
const LIMIT: Duration = Duration::from_mins(1);
/// How long an outdated value may still be shown: a lease expires, a deadline passes, the next
/// check fails.
const SAYS_SO: Duration = Duration::from_secs(20);
/// How long a process may still take in data that was already on its way when the silence began.
const ON_ITS_WAY: Duration = Duration::from_secs(3);
/// How soon after the silence every value is known again.
const RECOVERY: Duration = Duration::from_secs(10);

/// What a gauge shows while every server is silent.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Says {
    /// Nothing, because the value is unknown.
    Nothing,
    /// This value, which is true at that time.
    Exactly(f64),
    /// A value about the process itself or its past. It needs no server and stays true.
    Own,
    /// A time before the silence began.
    Past,
}
use Says::{Exactly, Nothing, Own, Past};

const GAUGES: [(&str, Says); 25] = [
    ("build_info", Exactly(1.0)),
    ("http_server_active_requests", Own),
    ("http_server_connections", Own),
    ("http_server_request_body_bytes", Own),
    ("eventstore_append_queue", Exactly(0.0)),
    ("eventstore_cache_states", Own),
    ("eventstore_cache_bytes", Own),
    ("eventstore_head_position", Nothing),
    ("relay_leader", Exactly(0.0)),
    // The term in which the process led last.
    ("relay_term", Own),
    ("relay_position", Nothing),
    ("relay_lag_events", Nothing),
    ("relay_lag_seconds", Nothing),
    ("projection_position", Nothing),
    ("projection_lag_events", Nothing),
    ("projection_lag_seconds", Nothing),
    ("projection_parked_events", Nothing),
    ("projection_heartbeat_timestamp_seconds", Past),
    ("db_connections_max", Own),
    ("db_pool_connections", Own),
    ("query_waiters", Exactly(0.0)),
    ("exports_active", Exactly(0.0)),
    ("live_streams", Exactly(0.0)),
    // Verification pauses only while it knows that projection is behind.
    ("projection_verification_paused", Exactly(0.0)),
    // From a file that was read before.
    ("tls_certificate_expires_at_seconds", Own),
];
/// Gauges that appear only after minutes, or with settings that this system does not have.
/// `projection_differing_rows` shows the result of a past check.
const SELDOM: [&str; 5] = [
    "projection_verification_paused",
    "projection_differing_rows",
    "tls_certificate_expires_at_seconds",
    "read_replica_in_use",
    "read_replica_lag_seconds",
];

/// The gauges that a process shows, each with one value per set of labels.
fn gauges(metrics: &str) -> BTreeMap<String, Vec<f64>> {
    let names =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" gauge"));
    let mut gauges: BTreeMap<String, Vec<f64>> =
        names.map(|name| (name.to_owned(), Vec::new())).collect();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        if let (Some(figures), Some((_, figure))) = (gauges.get_mut(name), line.rsplit_once(' ')) {
            figures.extend(figure.parse::<f64>().ok().filter(|figure| !figure.is_nan()));
        }
    }
    gauges
}

/// What is wrong with a gauge's values, if anything.
fn lie(name: &str, figures: &[f64], silent_since: f64) -> Option<String> {
    let Some((_, says)) = GAUGES.iter().find(|(known, _)| *known == name) else {
        return (!SELDOM.contains(&name))
            .then(|| format!("{name}: what does it say while its source is away?"));
    };
    let is_true = |figure: &f64| match says {
        Nothing => false,
        Exactly(value) => (figure - value).abs() < f64::EPSILON,
        Own => true,
        Past => *figure < silent_since + ON_ITS_WAY.as_secs_f64(),
    };
    (!figures.iter().all(is_true))
        .then(|| format!("{name} says {figures:?}, and is to say {says:?}"))
}

async fn all(system: &Launched) -> Result<Vec<(Service, String, Vec<f64>)>> {
    let mut all = Vec::new();
    for service in Service::ALL {
        all.extend(
            gauges(&system.metrics(service).await?)
                .into_iter()
                .map(|(name, figures)| (service, name, figures)),
        );
    }
    Ok(all)
}

/// Whether all values are shown that are known only while the servers answer.
async fn are_known(system: &Launched) -> Result<Option<()>> {
    for (service, name, figures) in all(system).await? {
        let is_asked_for = GAUGES.contains(&(&name, Nothing)) || name == "relay_leader";
        ensure!(!is_asked_for || !figures.is_empty(), "{service:?}: {name} is unknown");
        ensure!(name != "relay_leader" || figures == [1.0], "{service:?} does not lead");
    }
    Ok(Some(()))
}

#[tokio::test]
async fn no_gauge_of_any_process_says_what_is_not_so_while_its_source_is_silent() -> Result<()> {
    let system = Launched::start_behind_ways().await?;
    let client = system.client()?;
    let traffic = Traffic::start(&client, 2);
    until("commands are answered", LIMIT, async || Ok((traffic.answered() > 20).then_some(())))
        .await?;
    traffic.stop().await?;
    system.log()?.wait_until_caught_up(LIMIT).await?;
    until("every figure is known", LIMIT, async || {
        // A state is loaded, and a query waits for the latest command.
        let product = json!({"name": "Gauge", "unit_price": "1.00", "currency": "USD", "stock": 1});
        let added = client.post("/api/v1/products", &product).await?.expect(StatusCode::CREATED)?;
        let path = format!("/api/v1/products/{}", added.id()?);
        client
            .post(&format!("{path}/stock"), &json!({"delta": 1}))
            .await?
            .expect(StatusCode::OK)?;
        client.get_after(&path, &added).await?.expect(StatusCode::OK)?;
        let shown: BTreeSet<String> =
            all(&system).await?.into_iter().map(|(_, name, _)| name).collect();
        let expected = GAUGES.iter().map(|(name, _)| *name).filter(|name| !SELDOM.contains(name));
        let never: Vec<_> = expected.filter(|name| !shown.contains(*name)).collect();
        ensure!(never.is_empty(), "no process shows {never:?}");
        are_known(&system).await
    })
    .await?;

    let ways = || {
        let pairs = Service::ALL
            .into_iter()
            .flat_map(|service| Server::ALL.map(|server| (service, server)));
        pairs.filter(|(service, server)| server.is_used_by(*service))
    };
    for (service, server) in ways() {
        system.way(service, server)?.falls_silent(Kind::EVERY);
    }
    let silent_since =
        Duration::from_millis(u64::try_from(Utc::now().timestamp_millis())?).as_secs_f64();
    until("no gauge lies", SAYS_SO, async || {
        let lies = all(&system).await?.into_iter().filter_map(|(service, name, figures)| {
            lie(&name, &figures, silent_since).map(|lie| format!("{service:?}: {lie}"))
        });
        let lies: Vec<String> = lies.collect();
        ensure!(lies.is_empty(), "{}", lies.join("\n"));
        Ok(Some(()))
    })
    .await?;
    for (service, server) in ways() {
        system.way(service, server)?.speaks_again();
    }
    until("every figure is known again", RECOVERY, async || are_known(&system).await).await?;
    client.get("/api/v1/products").await?.expect(StatusCode::OK)?;
    Ok(())
}
