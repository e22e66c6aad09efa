//! Where each saga begins. The log says so itself, in one stream per saga, so that no table is
//! needed to know it.

use std::collections::BTreeMap;

use aggregate::DomainEvent as _;
use event_feed::consumer::Checkpoint;
use event_store::{
    Append, AppendOutcome, EventRef, EventStore, ExpectedVersion, Metadata, NewEvent, Position,
    Refusal, StoreError, StreamAppend, StreamName, Version,
};
use uuid::Uuid;

use crate::driver::DriveError;
use crate::event::{Deployed, DeploymentEvent};
use crate::id;
use crate::sagas::{Begin, Saga, Sagas};

/// Where the sagas of a program begin.
#[derive(Debug, Clone)]
pub(crate) struct Deployments {
    /// Only events after this position count for the saga.
    pub(crate) begins: BTreeMap<&'static str, Position>,
    /// Where the fold begins if there is no checkpoint.
    pub(crate) first: Checkpoint,
}

/// Reads where the sagas begin. A saga that runs for the first time begins now.
pub(crate) async fn deploy(
    store: &dyn EventStore,
    sagas: &Sagas,
) -> Result<Deployments, DriveError> {
    let mut begins = BTreeMap::new();
    for saga in sagas.all() {
        begins.insert(saga.name, begin(store, saga).await?);
    }
    let earliest = begins.values().min().copied().unwrap_or(Position::START);
    let epoch = Some(store.head().await?.epoch);
    let first = match store.event_ref_at(earliest).await? {
        Some(at) => Checkpoint { epoch, at },
        // Before the first event, or the log has lost its end: the consumer proves which.
        None => Checkpoint { epoch: None, at: EventRef::START },
    };
    Ok(Deployments { begins, first })
}

async fn begin(store: &dyn EventStore, saga: &Saga) -> Result<Position, DriveError> {
    let stream = stream(saga.name);
    if let Some(known) = known(store, &stream).await? {
        return Ok(known);
    }
    let begins_after = match saga.begin {
        Begin::AtDeployment => store.head().await?.mark.position,
        Begin::After(position) => position,
    };
    let (saga, position) = (saga.name.to_owned(), begins_after.0);
    tracing::info!(saga, position, "the saga runs for the first time, and begins here");
    let event = DeploymentEvent::Deployed(Deployed { saga, begins_after: position });
    #[expect(clippy::expect_used, reason = "the macro checks the names when it compiles")]
    let name = event.event_type().parse().expect("an event type");
    let metadata = Metadata::new(Uuid::now_v7());
    let event = NewEvent::json(name, event.schema_version(), &event, metadata)?;
    let first = StreamAppend {
        stream: stream.clone(),
        expected: ExpectedVersion::NoStream,
        events: vec![event],
    };
    match store.append(Append { streams: vec![first], ..Append::default() }).await? {
        AppendOutcome::Appended(_) | AppendOutcome::Repeated { .. } => Ok(begins_after),
        // Another process was faster.
        AppendOutcome::Refused(Refusal::Version { .. }) => known(store, &stream)
            .await?
            .ok_or_else(|| StoreError::Unusable("a stream without its event".into()).into()),
        AppendOutcome::Refused(refusal) => Err(DriveError::Refused(refusal)),
    }
}

async fn known(
    store: &dyn EventStore,
    stream: &StreamName,
) -> Result<Option<Position>, DriveError> {
    let events = store.read_stream(stream, Version::NONE, 1).await?;
    let Some(event) = events.first() else { return Ok(None) };
    let (name, version) = (event.event_type.as_str(), event.schema_version);
    let read = DeploymentEvent::from_parts(name, version, event.data.get()).transpose()?;
    Ok(read.map(|DeploymentEvent::Deployed(deployed)| Position(deployed.begins_after)))
}

#[expect(clippy::expect_used, reason = "a category and a UUID make a name")]
fn stream(saga: &str) -> StreamName {
    let id = id::of_deployment(saga);
    StreamName::new(DeploymentEvent::CATEGORY, id).expect("a stream's name")
}
