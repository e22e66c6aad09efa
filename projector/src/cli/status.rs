//! `projector status`. With `--watch` it repeats until Ctrl-C, also while a database is away.

use std::time::Duration;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use event_store::{EventStore, PostgresOptions, PostgresStore};
use postgres_kit::Connection;
use serde_json::json;
use service_kit::clock;
use service_kit::shutdown::Shutdown;
use sqlx::postgres::PgConnectOptions;
use tokio::time::MissedTickBehavior;

use super::StatusArgs;
use super::error::CommandError;
use super::reach::{connect_options, store_options};
use projection::chain;
use projection::ops;
use projection::ops::status::{STORE_LIMIT, Status};

/// The limits of the interval of `--watch`, in seconds.
const LEAST_INTERVAL: f64 = 0.1;
const MOST_INTERVAL: f64 = 3_600.0;

/// Parses the interval of `--watch`, in seconds.
pub(crate) fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (LEAST_INTERVAL..=MOST_INTERVAL).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("between {LEAST_INTERVAL} and {MOST_INTERVAL} seconds"))
    }
}

/// Prints the progress of every projection.
pub(crate) async fn status(args: &StatusArgs) -> Result<(), CommandError> {
    let options = connect_options(&args.read_model.get()?)?;
    let store_options = args.event_store.optional()?.map(|url| store_options(&url)).transpose()?;
    let mut sight = Sight { options, store_options, connection: None, store: None };
    if args.watch {
        return watch(&mut sight, args).await;
    }
    let status = sight.look().await?;
    let text =
        if args.json { serde_json::to_string_pretty(&status)? + "\n" } else { table(&status) };
    Ok(cli_kit::print(text)?)
}

/// Formats the status as a table.
fn table(status: &Status) -> String {
    let mut table = Table::new();
    let header =
        ["projection", "mode", "position", "head", "lag (events)", "lag (s)", "heartbeat (s)"];
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    let seconds = |value: Option<f64>, none: &str| {
        value.map_or_else(|| none.to_owned(), |value| format!("{value:.1}"))
    };
    for partition in &status.projections {
        table.add_row([
            if partition.partitions == 1 {
                format!("{} g{}", partition.projection, partition.generation)
            } else {
                format!(
                    "{} g{}/{}",
                    partition.projection, partition.generation, partition.partition
                )
            },
            partition.mode.clone(),
            partition.position.to_string(),
            status.head.to_string(),
            partition.lag_events.to_string(),
            seconds(partition.lag_seconds, "?"),
            seconds(partition.heartbeat_seconds, "-"),
        ]);
    }
    for number in 2..=6 {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!("{table}\n");
    if !status.head_is_current {
        text += "The event store does not answer: the head is the one last seen.\n";
    }
    let lines = status.projections.iter().flat_map(|of| {
        let (name, parked) = (&of.projection, of.parked);
        let lacks = (parked > 0).then(|| {
            format!("{name} has {parked} events parked: see `projector parked list {name}`\n")
        });
        let stopped = of.stopped_by.as_ref().map(|why| format!("{name} is stopped: {why}\n"));
        let paused = of.paused.as_ref().map(|pause| {
            let since = pause.since.format("%Y-%m-%d %H:%M:%S");
            let by = cli_kit::visible(&pause.paused_by);
            let why = cli_kit::visible(&pause.reason);
            format!(
                "{name} is paused by {by} since {since} UTC ({why}): `projector resume {name}` \
                    goes on\n"
            )
        });
        // Partitions of one projection are paused together.
        let paused = paused.filter(|_| of.partition == 0);
        lacks.into_iter().chain(stopped).chain(paused)
    });
    text.extend(lines);
    text
}

/// Repeats the status until the first signal.
async fn watch(sight: &mut Sight, args: &StatusArgs) -> Result<(), CommandError> {
    let ended = Shutdown::listen()?.drain();
    let mut ticks = tokio::time::interval(args.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looks = async {
        loop {
            ticks.tick().await;
            cli_kit::print(shown(sight.look().await, args)?)?;
        }
    };
    tokio::select! {
        result = looks => result,
        () = ended.cancelled() => Ok(()),
    }
}

/// Formats one status, or its error: the next one may succeed.
fn shown(looked: Result<Status, CommandError>, args: &StatusArgs) -> Result<String, CommandError> {
    let at = clock::system().now();
    if args.json {
        let document = match looked {
            Ok(status) => serde_json::to_string(&status)?,
            Err(error) => json!({"at": at, "error": chain(&error)}).to_string(),
        };
        return Ok(document + "\n");
    }
    let text = looked.map_or_else(|error| format!("{}\n", chain(&error)), |status| table(&status));
    let at = at.format("%Y-%m-%d %H:%M:%S");
    let text = format!("{at} UTC, every {} s; Ctrl-C ends\n{text}", args.interval.as_secs_f64());
    Ok(if cli_kit::stdout().is_terminal() { redrawn(&text) } else { text + "\n" })
}

/// Draws over the previous table line by line, so that a terminal does not flicker.
fn redrawn(text: &str) -> String {
    const HOME: &str = "\x1b[H";
    const TO_END_OF_LINE: &str = "\x1b[K";
    const TO_END_OF_SCREEN: &str = "\x1b[J";
    let lines: String = text.lines().flat_map(|line| [line, TO_END_OF_LINE, "\n"]).collect();
    format!("{HOME}{lines}{TO_END_OF_SCREEN}")
}

/// The connections to both databases. A failed one is opened again for the next status.
struct Sight {
    options: PgConnectOptions,
    store_options: Option<PostgresOptions>,
    connection: Option<Connection>,
    store: Option<PostgresStore>,
}

impl Sight {
    async fn look(&mut self) -> Result<Status, CommandError> {
        // Taken out, so that a failed connection is not used again.
        let mut connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            ops::read_model(&self.options).await?
        };
        if let (None, Some(options)) = (&self.store, &self.store_options) {
            let connecting = PostgresStore::connect(options.clone());
            self.store =
                tokio::time::timeout(STORE_LIMIT, connecting).await.ok().and_then(Result::ok);
        }
        let store = self.store.as_ref().map(|store| store as &dyn EventStore);
        let status = Status::read(&mut connection, store, clock::system().now()).await?;
        self.connection = Some(connection);
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use projection::ops::status::PartitionStatus;
    use projection::pause::Pause;

    #[test]
    fn an_interval_is_bounded() {
        assert_eq!(parse_interval("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "3601", "soon", "NaN", "inf"] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_person_reads_why_a_partition_stands_still_and_what_to_look_at() {
        let at = clock::system().now();
        let users = PartitionStatus {
            projection: "users".to_owned(),
            generation: 1,
            partition: 0,
            partitions: 1,
            fold_version: 1,
            mode: "stopped".to_owned(),
            stopped_by: Some("event 2 cannot be read".to_owned()),
            paused: Some(Pause {
                projection: "users".to_owned(),
                paused_by: "clerk-7".to_owned(),
                reason: "a look at the rows".to_owned(),
                since: at,
            }),
            epoch: None,
            position: 1,
            event_id: None,
            lag_events: 2,
            lag_seconds: None,
            parked: 1,
            updated_at: at,
            heartbeat_seconds: None,
        };
        let status = Status { at, head: 3, head_is_current: false, projections: vec![users] };
        let text = table(&status);
        for words in [
            "users is stopped: event 2 cannot be read\n",
            "users is paused by clerk-7 since ",
            "(a look at the rows): `projector resume users` goes on\n",
            "users has 1 events parked: see `projector parked list users`\n",
            "The event store does not answer: the head is the one last seen.\n",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_table_is_drawn_over_the_last_one() {
        assert_eq!(redrawn("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }
}
