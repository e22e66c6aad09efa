//! The processes that are registered with NATS. If it is away, the front has the last known list.

use std::time::Duration;

use anyhow::Context as _;
use comfy_table::Table;
use local_servers::loopback_client;
use nats_kit::{Found, Listing, NatsHandle, State, discover};

use crate::endpoints::Endpoints;
use crate::output::answer;

/// How long the front may take to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// The client's name to the server.
const NAME: &str = "cargo-stack";

/// Finds the registered processes.
pub(crate) async fn registered(endpoints: &Endpoints) -> Listing {
    let asked = async {
        let nats = NatsHandle::connect_now(&endpoints.nats, NAME).await?;
        anyhow::Ok(discover(&nats).await?)
    };
    match asked.await {
        Ok(processes) => Listing::current(processes),
        Err(error) => {
            let reason = format!("{error:#}");
            match of_front(&endpoints.admin.front).await {
                Ok(listing) => listing.last_known(reason),
                Err(error) => Listing::unknown(format!("{reason}; the front: {error:#}")),
            }
        }
    }
}

/// The list of the front.
async fn of_front(admin: &str) -> anyhow::Result<Listing> {
    let client = loopback_client(LIMIT).context("cannot create an HTTP client")?;
    let asked = client.get(format!("{admin}/processes")).send().await;
    let answer = asked.map_err(reqwest::Error::without_url)?.error_for_status()?;
    Ok(serde_json::from_str(&answer.text().await?)?)
}

/// Prints the list for people.
pub(crate) fn show(listing: &Listing) -> anyhow::Result<()> {
    answer(heading(listing))?;
    if listing.processes.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(["registered", "id", "version", "address", "admin", "since", "state"]);
    for process in &listing.processes {
        let since = process.since.map(|since| since.format("%F %T UTC").to_string());
        table.add_row([
            process.name.clone(),
            process.id.clone(),
            process.version.clone(),
            process.address().unwrap_or_default().to_owned(),
            process.admin().unwrap_or_default().to_owned(),
            since.unwrap_or_default(),
            state(process),
        ]);
    }
    answer(table)?;
    Ok(())
}

/// What the list is worth.
fn heading(listing: &Listing) -> String {
    let Listing { is_current, reason, age_seconds, processes } = listing;
    let count = match processes.len() {
        1 => "1 process".to_owned(),
        count => format!("{count} processes"),
    };
    let reason = reason.as_deref().unwrap_or("unknown");
    match age_seconds {
        Some(_) if *is_current => format!("{count} registered with NATS"),
        Some(age) => format!("last known list, {age} s old ({reason}): {count}"),
        None => format!("the registered processes are not known ({reason})"),
    }
}

fn state(process: &Found) -> String {
    let state = match process.standing.state {
        State::Ready => "ready",
        State::NotReady => "not ready",
        State::Draining => "draining",
        State::Unknown => "unknown",
    };
    match &*process.standing.waiting_for.join(", ") {
        "" => state.to_owned(),
        missing => format!("{state}: {missing}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_not_current_says_so_with_its_age_and_the_reason() {
        let current = Listing::current(Vec::new());
        assert_eq!(heading(&current), "0 processes registered with NATS");
        let last = current.last_known("NATS is away".to_owned());
        assert_eq!(heading(&last), "last known list, 0 s old (NATS is away): 0 processes");
        let unknown = heading(&Listing::unknown("NATS is away".to_owned()));
        assert_eq!(unknown, "the registered processes are not known (NATS is away)");
    }
}
