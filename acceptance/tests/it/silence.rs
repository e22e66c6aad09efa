//! The silence matrix: for each process and each kind of its connections, only that kind falls
//! silent under load.
//!
//! Within 10 s, the process reports not ready if it cannot work, and stays ready if it can. Work
//! that does not need the connection continues, and other work is refused in time. A standby takes
//! over if there is one. Within 5 s of the end of the silence, everything works again without
//! intervention.
//!
//! Each line below is a cell, and a separate test. A proxy silences connections. Where rows are
//! held, the server's backend that holds them is stopped with SIGSTOP. Nobody can take over such
//! rows: work that needs them is refused in time until the backend continues. With `--long`, a cell
//! with a proxy also runs without load, and with the server's backends of the connections stopped.

mod cell;
mod freeze;
mod work;

use acceptance::{Kind, Server, Service};

use cell::{Cell, Then};
use freeze::Holder;
use work::Work;

macro_rules! matrix {
    ($($name:ident: $cell:expr;)+) => {
        $(
            #[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                cell::run(&$cell).await
            }
        )+

        /// All cells.
        const MATRIX: &[Cell] = &[$($cell),+];
    };
}

const fn kind(says: &'static [&'static str], never_says: &'static [&'static str]) -> Kind {
    Kind { says, never_says }
}

/// A connection for appends, which alone waits for the lock on the log.
const APPENDS: Kind = kind(&["lock_timeout"], &[]);
/// A connection that only reads the log.
const READS: Kind = kind(&["default_transaction_read_only"], &["query-api"]);
const LEASE: Kind = kind(&["event-relay lease"], &[]);
const WAKE: Kind = kind(&["event-relay wake"], &[]);
/// The connections for single rows, and those for lists.
const ROWS: Kind = kind(&["force_generic_plan"], &[]);
const LISTS: Kind = kind(&["force_custom_plan"], &[]);

/// The lock under which all appends are made.
const APPEND_LOCK: Holder = Holder {
    table: "event_store.events",
    lock: "LOCK TABLE event_store.events IN EXCLUSIVE MODE",
    is_held: "SELECT NOT EXISTS (SELECT FROM event_store.log FOR UPDATE SKIP LOCKED)",
};
/// The checkpoint of the users, and the rows of a batch.
const USERS: Holder = Holder {
    table: "users_g1.users",
    lock: "LOCK TABLE users_g1.users IN EXCLUSIVE MODE",
    is_held: "SELECT NOT EXISTS (SELECT FROM read_model.checkpoints WHERE projection = 'users' \
        FOR UPDATE SKIP LOCKED)",
};
/// New keys of subjects. Nothing else waits for these rows.
const NEW_KEYS: Holder = Holder {
    table: "subject_keys.keys",
    lock: "LOCK TABLE subject_keys.keys IN EXCLUSIVE MODE",
    is_held: "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'subject_keys.keys'::regclass \
        AND NOT granted)",
};

matrix! {
    projector_read_model: Cell::of(Service::Projector, Server::ReadModel,
        Kind::EVERY).then(Then::NotReady)
        .goes_on(&[Work::Register, Work::AddProduct, Work::Query]);
    projector_read_model_with_a_stand_by: Cell::of(Service::Projector, Server::ReadModel,
        Kind::EVERY).then(Then::NotReady)
        .goes_on(&[Work::Register, Work::Query]).stand_by(Work::Show);
    projector_event_store: Cell::of(Service::Projector, Server::EventStore,
        Kind::EVERY).then(Then::Ready)
        .goes_on(&[Work::Register, Work::Query, Work::Show]);
    projector_keys: Cell::of(Service::Projector, Server::SubjectKeys,
        Kind::EVERY).then(Then::NotReady)
        .goes_on(&[Work::Register, Work::AddProduct, Work::Query]);
    projector_nats: Cell::of(Service::Projector, Server::Nats, Kind::EVERY).then(Then::Ready)
        .goes_on(&[Work::Register, Work::Query, Work::Show]);
    query_api_rows: Cell::of(Service::QueryApi, Server::ReadModel, ROWS).then(Then::NotReady)
        .goes_on(&[Work::Register, Work::List]).refused(Work::Query);
    query_api_lists: Cell::of(Service::QueryApi, Server::ReadModel, LISTS).then(Then::NotReady)
        .goes_on(&[Work::Register, Work::Query]).refused(Work::List);
    query_api_nats: Cell::of(Service::QueryApi, Server::Nats, Kind::EVERY).then(Then::Ready)
        .goes_on(&[Work::Register, Work::Query, Work::Show]);
    command_api_appends: Cell::of(Service::CommandApi, Server::EventStore,
        APPENDS).then(Then::NotReady)
        .goes_on(&[Work::Query, Work::List]).refused(Work::Register);
    command_api_reads: Cell::of(Service::CommandApi, Server::EventStore, READS).then(Then::NotReady)
        .goes_on(&[Work::Query, Work::List]);
    // It keeps accepting commands without personal data, so it stays ready. `/readyz?verbose` names
    // the keys.
    command_api_keys: Cell::of(Service::CommandApi, Server::SubjectKeys,
        Kind::EVERY).then(Then::Ready)
        .goes_on(&[Work::AddProduct, Work::Query]).refused(Work::Register);
    command_api_append_lock_held: Cell::holding(Service::CommandApi, Server::EventStore,
        APPEND_LOCK).then(Then::NotReady)
        .goes_on(&[Work::Query, Work::List]).refused(Work::Register);
    command_api_new_keys_held: Cell::holding(Service::CommandApi, Server::SubjectKeys,
        NEW_KEYS).then(Then::Ready)
        .goes_on(&[Work::AddProduct, Work::Query]);
    projector_rows_held: Cell::holding(Service::Projector, Server::ReadModel,
        USERS).then(Then::NotReady)
        .goes_on(&[Work::Register, Work::Query, Work::Show]);
    event_relay_reads: Cell::of(Service::EventRelay, Server::EventStore, READS).then(Then::NotReady)
        .goes_on(&[Work::Register, Work::Query, Work::Show]);
    event_relay_event_store_with_a_stand_by: Cell::of(Service::EventRelay, Server::EventStore,
        Kind::EVERY).then(Then::NotReady)
        .goes_on(&[Work::Register, Work::Query, Work::Show]).stand_by(Work::Publish);
    event_relay_lease: Cell::of(Service::EventRelay, Server::EventStore, LEASE).then(Then::NotReady)
        .goes_on(&[Work::Register, Work::Query, Work::Show]);
    event_relay_wake: Cell::of(Service::EventRelay, Server::EventStore, WAKE).then(Then::Ready)
        .goes_on(&[Work::Register, Work::Query, Work::Show, Work::Publish]);
    event_relay_nats: Cell::of(Service::EventRelay, Server::Nats, Kind::EVERY).then(Then::NotReady)
        .goes_on(&[Work::Register, Work::Query, Work::Show]);
}

#[test]
fn every_process_has_a_cell_for_each_server_that_it_uses() {
    for service in Service::ALL {
        for server in Server::ALL.into_iter().filter(|server| server.is_used_by(service)) {
            let has_cell =
                MATRIX.iter().any(|cell| (cell.service, cell.server) == (service, server));
            assert!(has_cell, "what does {service:?} do when {server:?} falls silent?");
        }
    }
}
