//! Lends a book and shows its row, with the log, the relay, NATS and the projection in one process.
//!
//! `DATABASE_URL` and `NATS_URL` are the servers' addresses.

use std::sync::Arc;
use std::time::Duration;

use aggregate::{Aggregate as _, DomainEvent as _};
use anyhow::{Context as _, bail};
use event_feed::relay::{JetStream, JetStreamSettings, OpenStore, Relay, RelaySettings};
use event_feed::{Follower, FollowerSettings, NatsHandle};
use event_store::postgres::WAKE_CHANNEL;
use event_store::{
    Append, AppendOutcome, EventStore, ExpectedVersion, Metadata, NewEvent, PostgresOptions,
    PostgresStore, StreamAppend, StreamName, Tag, UpcastingLog, Version,
};
use lending::loans::Loans;
use lending::{Book, BookCommand, BookEvent, registry};
use projection::runner::Watch;
use projection::{Runner, generation};
use service_kit::clock;
use service_kit::health::Health;
use sqlx::postgres::{PgConnectOptions, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long the row may take to show the appended events.
const SHOWN_LIMIT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = std::env::var("DATABASE_URL").context("DATABASE_URL")?;
    let options: PgConnectOptions = database.parse()?;
    let projections = vec![projection::of::<Loans>()];
    event_store::postgres::migrate(&database).await?;
    generation::migrate(&options, &projections).await?;

    let (health, stop) = (Health::new(), CancellationToken::new());
    let nats_url = std::env::var("NATS_URL").context("NATS_URL")?;
    let nats = |name| NatsHandle::connect(&nats_url, name);
    let relay = Relay::new(
        opens(&database),
        options.clone(),
        WAKE_CHANNEL,
        JetStream::new(nats("lending-relay").await?, JetStreamSettings::default()),
        clock::system(),
        &health,
        RelaySettings::default(),
    );
    let relay = tokio::spawn(relay.run(stop.clone()));

    let store: Arc<dyn EventStore> =
        Arc::new(PostgresStore::connect(PostgresOptions::from_url(&database)?).await?);
    let nats = nats("lending-projector").await?;
    let settings = FollowerSettings::default();
    let follower = Follower::new(Arc::clone(&store), Some(nats.clone()), settings);
    let log = UpcastingLog::new(Arc::clone(&store), Arc::new(registry()?));
    let watch = Watch::new(&health, clock::system());
    let mut runner = Runner::new(log, options, projections, Some(nats), watch);
    let stopped = stop.clone();
    let projector = tokio::spawn(async move { runner.run(follower, stopped).await });

    let book_id = Uuid::now_v7();
    handle(store.as_ref(), book_id, BookCommand::Lend { book_id, days: 14 }).await?;
    handle(store.as_ref(), book_id, BookCommand::Return { book_id }).await?;
    handle(store.as_ref(), book_id, BookCommand::Lend { book_id, days: 7 }).await?;
    let (times, days) = shown(&database, book_id).await?;
    println!("the book was lent {times} times, for {days} days");

    stop.cancel();
    relay.await?;
    projector.await?;
    Ok(())
}

/// Opens the log for the relay, again after each lost connection.
fn opens(database: &str) -> OpenStore {
    let database = database.to_owned();
    Arc::new(move || {
        let options = PostgresOptions::from_url(&database);
        Box::pin(async move {
            let options = options?.application_name("lending-relay").read_connections(2);
            Ok(Arc::new(PostgresStore::connect(options).await?) as Arc<dyn EventStore>)
        })
    })
}

/// Loads the book, decides on the command, and appends the events.
async fn handle(store: &dyn EventStore, book_id: Uuid, command: BookCommand) -> anyhow::Result<()> {
    let stream = StreamName::new(BookEvent::CATEGORY, book_id)?;
    let history = store.read_stream(&stream, Version::NONE, 1_000).await?;
    let mut book = Book::default();
    for event in &history {
        let (event_type, version) = (event.event_type.as_str(), event.schema_version);
        let read = BookEvent::from_parts(event_type, version, event.data.get());
        book = book.evolve(read.context("a stranger's event")??);
    }
    let (expected, metadata) = match history.last() {
        None => (ExpectedVersion::NoStream, from(None)),
        Some(last) => (ExpectedVersion::Exact(last.version), from(Some(last.id))),
    };
    let mut events = Vec::new();
    for event in book.decide(command)? {
        let event_type = event.event_type().parse()?;
        let mut new = NewEvent::json(event_type, event.schema_version(), &event, metadata.clone())?;
        for (key, value) in event.tags() {
            new = new.tagged(Tag::new(key, value)?);
        }
        events.push(new);
    }
    let streams = vec![StreamAppend { stream, expected, events }];
    match store.append(Append { streams, ..Append::default() }).await? {
        AppendOutcome::Appended(_) => Ok(()),
        other => bail!("{other:?}"),
    }
}

fn from(causation_id: Option<Uuid>) -> Metadata {
    Metadata { causation_id, ..Metadata::new(Uuid::now_v7()) }
}

/// Waits until the book's row shows both loans.
async fn shown(database: &str, book_id: Uuid) -> anyhow::Result<(i64, i64)> {
    let pool = PgPool::connect(database).await?;
    let row = "SELECT times, days FROM read_model.loans WHERE book_id = $1 AND times = 2";
    let looking = async {
        loop {
            let found = sqlx::query_as(row).bind(book_id).fetch_optional(&pool).await?;
            if let Some(found) = found {
                return anyhow::Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SHOWN_LIMIT, looking).await.context("the row never came")?
}
