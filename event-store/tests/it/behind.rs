//! A server that is behind, such as a standby or a former primary, answers no read. Otherwise an
//! open connection that leads there would hide what this process knows to be there.

use event_store::postgres::{begin_epoch, migrate};
use event_store::{
    AppendOutcome, Epoch, EventStore, ExpectedVersion, Filter, Idempotency, NewEvent, Position,
    PostgresStore, Snapshot, SnapshotStore as _, StreamName, Version, WrittenType,
};
use local_servers::{ClusterOptions, PostgresCluster, until};
use serde_json::value::RawValue;

use crate::proxy::Switch;
use crate::support::{
    append_to, appended, connect, key, next, one, plain, query, reservation, stream, tagged, take,
};

const TAG: &str = "thing:seen";
const TYPE: &str = "thing.seen";

/// A primary with one event, and a standby that has it and gets no more.
struct Servers {
    primary: PostgresCluster,
    standby: PostgresCluster,
    epoch: Epoch,
}

impl Servers {
    async fn start() -> Self {
        let primary = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
        migrate(&primary.url()).await.unwrap();
        add(&connect(&primary.url()).await, 0).await;
        let epoch = keep(&primary.url(), 0).await;
        let standby = primary.standby().await.unwrap();
        primary.wait_until_followed_by(&standby).await;
        standby.cut_off().await;
        Self { primary, standby, epoch }
    }
}

/// Each kind of read but that of a stream forward, which `tails.rs` tests.
#[derive(Debug, Clone, Copy)]
enum Kind {
    All,
    Types,
    Category,
    Tags,
    Range,
    Backward,
    Reference,
    Owner,
    Repeat,
    Reservations,
    Head,
    Snapshot,
    Written,
}

const KINDS: [Kind; 13] = [
    Kind::All,
    Kind::Types,
    Kind::Category,
    Kind::Tags,
    Kind::Range,
    Kind::Backward,
    Kind::Reference,
    Kind::Owner,
    Kind::Repeat,
    Kind::Reservations,
    Kind::Head,
    Kind::Snapshot,
    Kind::Written,
];

fn name() -> StreamName {
    stream("seen")
}

fn idempotency(number: u8) -> Idempotency {
    key(number, number, "1")
}

fn types() -> Filter {
    Filter::Types(vec![TYPE.parse().unwrap()])
}

/// The schema version of the event with this number, and the shape of its snapshot.
fn shape(number: u8) -> i32 {
    i32::from(number) + 1
}

/// Appends an event with a reservation and an idempotency key of this number. Returns its position.
async fn add(store: &PostgresStore, number: u8) -> Position {
    let event = NewEvent { schema_version: shape(number), ..tagged(TYPE, &[TAG]) };
    let mut append = append_to(name(), ExpectedVersion::Any, vec![event]);
    append.reservations = vec![take(number, "seen")];
    append.idempotency = Some(idempotency(number));
    appended(store.append(append).await.unwrap()).last.position
}

/// Keeps a snapshot at the event with this number, through another process.
async fn keep(url: &str, number: u8) -> Epoch {
    let store = connect(url).await;
    let last = store.read_stream_backward(&name(), None, 1).await.unwrap().remove(0);
    let epoch = store.head().await.unwrap().epoch;
    let snapshot = Snapshot {
        stream: name(),
        shape: shape(number),
        epoch,
        version: last.version,
        last: last.mark(),
        state: RawValue::from_string("7".to_owned()).unwrap(),
    };
    store.keep_snapshot(snapshot).await.unwrap();
    epoch
}

impl Kind {
    /// Whether this read shows the event with this number, at this position.
    async fn shows(
        self,
        store: &PostgresStore,
        (number, epoch): (u8, Epoch),
        position: Position,
    ) -> bool {
        let before = Position(position.0 - 1);
        let read = match self {
            Self::All => store.read(&Filter::All, before, 10).await,
            Self::Types => store.read(&types(), before, 10).await,
            Self::Category => store.read(&Filter::Category("thing".to_owned()), before, 10).await,
            Self::Tags => store.read(&Filter::Query(query(&[], &[TAG])), before, 10).await,
            Self::Range => store.read_range(&[TYPE.parse().unwrap()], before, position).await,
            Self::Backward => store.read_stream_backward(&name(), None, 1).await,
            Self::Reference => return store.event_ref_at(position).await.unwrap().is_some(),
            Self::Owner => {
                let owners = store.reservation_owners(&[reservation(number)]).await.unwrap();
                return owners == [Some(name())];
            }
            Self::Repeat => return store.repeated(&idempotency(number)).await.unwrap().is_some(),
            Self::Head => return store.head().await.unwrap().mark.position >= position,
            Self::Snapshot => {
                let kept = store.snapshot(&name(), shape(number), epoch).await.unwrap();
                return kept.is_some();
            }
            Self::Written => {
                let (event_type, schema_version) = (TYPE.parse().unwrap(), shape(number));
                let written = WrittenType { event_type, schema_version };
                return store.written_types().await.unwrap().contains(&written);
            }
            Self::Reservations => {
                let held = store.reservations_of("seen", 100).await.unwrap();
                return held.contains(&(reservation(number), name()));
            }
        };
        read.unwrap().iter().any(|event| event.position == position)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lacks_what_this_process_knows_answers_no_read() {
    let Servers { primary, standby, epoch } = Servers::start().await;
    for (number, kind) in (1..).zip(KINDS) {
        let switch = Switch::start(&primary.url()).await;
        let store = connect(switch.url()).await;
        // The connection for reads stays open when the name leads to the primary again.
        switch.lead_to(standby.port());
        // A repeat that is there goes on to a connection for appends, which a standby refuses.
        let (asked, is_there) = if matches!(kind, Kind::Repeat) { (200, false) } else { (0, true) };
        let asked = (asked, epoch);
        assert_eq!(kind.shows(&store, asked, Position(1)).await, is_there, "{kind:?}");
        switch.lead_to(primary.port());
        let position = add(&store, number).await;
        keep(&primary.url(), number).await;
        assert!(kind.shows(&store, (number, epoch), position).await, "{kind:?}");
        let version = store.read_stream_backward(&name(), None, 1).await.unwrap()[0].version;
        assert_eq!(version, Version(i64::from(number) + 1), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_skips_nothing_while_one_of_its_connections_leads_elsewhere() {
    let Servers { primary, standby, .. } = Servers::start().await;
    let switch = Switch::start(&primary.url()).await;
    let store = connect(switch.url()).await;
    switch.lead_to(standby.port());
    // The pages come through this connection, and the head through another one.
    assert_eq!(store.read(&types(), Position::START, 10).await.unwrap().len(), 1);
    switch.lead_to(primary.port());
    let position = add(&store, 1).await;
    let mut events = store.subscribe(types(), Position(1));
    assert_eq!(next(&mut events).await.unwrap().position, position);

    let store = connect(switch.url()).await;
    switch.lead_to(standby.port());
    // The other way round.
    assert_eq!(store.head().await.unwrap().mark.position, Position(1));
    switch.lead_to(primary.port());
    let position = add(&store, 2).await;
    let mut events = store.subscribe(types(), Position(position.0 - 1));
    assert_eq!(next(&mut events).await.unwrap().position, position);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lacks_an_epoch_does_not_deny_it() {
    let Servers { primary, standby, epoch } = Servers::start().await;
    let switch = Switch::start(&primary.url()).await;
    let store = connect(switch.url()).await;
    switch.lead_to(standby.port());
    assert!(store.descends_from(epoch).await.unwrap());
    switch.lead_to(primary.port());
    let mut admin = plain(&primary.url()).await;
    let next = begin_epoch(&mut admin, "a test", &[]).await.unwrap();
    // The process learns of the new epoch by what it writes there.
    let goes_on = async || matches!(store.append(one("on")).await, Ok(AppendOutcome::Appended(_)));
    until("an append goes on", goes_on).await;
    assert!(store.descends_from(next).await.unwrap());
}
