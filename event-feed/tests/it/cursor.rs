//! A target that cannot tell where it ends: the relay's cursor tells. However a relay ends, events
//! may be repeated but stay in order, and none is skipped.

use std::time::Duration;

use event_feed::relay::RelaySettings;
use event_store::postgres::begin_epoch;
use event_store::{Epoch, EventStore as _, PostgresStore};
use local_servers::{TestDatabase, test_run};
use rand::{Rng as _, SeedableRng as _};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::support::{
    RunningRelay, append_to, database, event, eventually, open, quick, start_relay_to,
};
use crate::tape::{Line, NAME, Point, Tape};

/// The position of a cursor, and the term that moved it there.
#[derive(Debug, PartialEq, Eq)]
struct Stand {
    position: i64,
    event_id: Option<Uuid>,
    epoch: Epoch,
    term: i64,
}

/// A separate log, and a tape for it.
struct Taped {
    store: PostgresStore,
    database: TestDatabase,
    tape: Tape,
}

impl Taped {
    async fn new() -> Self {
        let database = database().await;
        Self { store: open(database.url()).await, database, tape: Tape::new() }
    }

    async fn append(&self, count: usize) -> i64 {
        let events = (0..count).map(|n| event(&serde_json::json!({ "n": n }))).collect();
        append_to(&self.store, events).await.0
    }

    /// Starts a relay with the relay's database role.
    async fn relay(&self, settings: RelaySettings) -> RunningRelay {
        let url = self.database.url_in_group("event_store_relay").await;
        start_relay_to(&url, &url, self.tape.clone(), settings)
    }

    async fn admin(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    /// Runs statements that only tests may run.
    async fn tamper(&self, statements: &'static str) {
        sqlx::raw_sql(statements).execute(&mut self.admin().await).await.unwrap();
    }

    async fn cursor(&self) -> Option<Stand> {
        let ask = "SELECT position, event_id, epoch, term FROM event_store.relay_cursors WHERE \
            target = $1";
        let row: Option<(i64, Option<Uuid>, Uuid, i64)> =
            sqlx::query_as(ask).bind(NAME).fetch_optional(&mut self.admin().await).await.unwrap();
        row.map(|(position, event_id, epoch, term)| Stand {
            position,
            event_id,
            epoch: Epoch(epoch),
            term,
        })
    }

    /// Waits until the cursor has reached a position.
    async fn reaches(&self, position: i64) {
        eventually("the cursor moves", async || {
            self.cursor().await.is_some_and(|cursor| cursor.position == position)
        })
        .await;
    }

    /// The expected cursor of this term at the head.
    async fn head(&self, term: i64) -> Stand {
        let head = self.store.head().await.unwrap();
        let (position, event_id) = (head.mark.position.0, head.mark.event_id);
        Stand { position, event_id, epoch: head.epoch, term }
    }
}

/// A long lease, which is not renewed while the test takes it away.
fn lasting() -> RelaySettings {
    RelaySettings { lease_duration: Duration::from_mins(1), ..quick().relay }
}

fn range(first: i64, last: i64) -> Vec<i64> {
    (first..=last).collect()
}

#[tokio::test]
async fn without_a_fault_each_event_comes_once_also_over_a_restart() {
    let world = Taped::new().await;
    world.append(100).await;
    let relay = world.relay(quick().relay).await;
    world.reaches(100).await;
    relay.stop().await;
    assert_eq!(world.cursor().await, Some(world.head(1).await));
    world.append(70).await;
    let relay = world.relay(quick().relay).await;
    world.reaches(170).await;
    relay.stop().await;
    assert_eq!(world.cursor().await, Some(world.head(2).await));
    assert_eq!(world.tape.has_all_in_order(&world.store, 1).await, 0);
}

#[tokio::test]
async fn a_batch_whose_relay_is_killed_before_the_cursor_moves_comes_again() {
    let world = Taped::new().await;
    world.append(20).await;
    let relay = world.relay(quick().relay).await;
    world.reaches(20).await;
    let mut held = world.tape.hold_next(Point::Written);
    world.append(30).await;
    held.reached().await;
    assert_eq!(world.cursor().await.unwrap().position, 20);
    relay.kill().await;
    let relay = world.relay(quick().relay).await;
    world.reaches(50).await;
    relay.stop().await;
    assert_eq!(world.tape.positions_from(20), [range(21, 50), range(21, 50)].concat());
    assert_eq!(world.tape.has_all_in_order(&world.store, 1).await, 30);
}

#[tokio::test]
async fn a_batch_whose_relay_is_killed_before_it_is_stored_is_not_lost() {
    let world = Taped::new().await;
    world.append(20).await;
    let relay = world.relay(quick().relay).await;
    world.reaches(20).await;
    let mut held = world.tape.hold_next(Point::BeforeWriting);
    world.append(30).await;
    held.reached().await;
    relay.kill().await;
    let relay = world.relay(quick().relay).await;
    world.reaches(50).await;
    relay.stop().await;
    assert_eq!(world.tape.has_all_in_order(&world.store, 1).await, 0);
}

#[tokio::test]
async fn a_relay_killed_anywhere_to_a_target_that_fails_leaves_out_nothing() {
    let world = Taped::new().await;
    let run = test_run();
    let mut random = rand::rngs::StdRng::seed_from_u64(run.seed);
    let settings = RelaySettings { lease_duration: Duration::from_millis(300), ..quick().relay };
    for _ in 0..run.count(6, 60) {
        let seed = random.random();
        world.tape.set_faults(Some(rand::rngs::StdRng::seed_from_u64(seed)));
        world.append(random.random_range(1..400)).await;
        let written = world.tape.lines().len();
        let relay = world.relay(settings.clone()).await;
        eventually("publishing goes on", async || world.tape.lines().len() > written).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
        relay.kill().await;
    }
    world.tape.set_faults(None);
    let head = world.append(1).await;
    let relay = world.relay(settings).await;
    world.reaches(head).await;
    relay.stop().await;
    let repeats = world.tape.has_all_in_order(&world.store, 1).await;
    eprintln!("{head} events, {repeats} of them again");
}

#[tokio::test]
async fn a_leader_that_lost_its_lease_does_not_move_the_cursor() {
    let world = Taped::new().await;
    world.append(20).await;
    let first = world.relay(lasting()).await;
    world.reaches(20).await;
    let mut held = world.tape.hold_next(Point::Written);
    world.append(10).await;
    held.reached().await;
    // It does not notice, because its next renewal is far away. Another relay has led since, and
    // stopped.
    world
        .tamper(
            "UPDATE event_store.leases SET owner = NULL, backend_pid = NULL, expires_at = \
                '-infinity', term = term + 1",
        )
        .await;
    let second = world.relay(lasting()).await;
    world.reaches(30).await;
    world.append(10).await;
    world.reaches(40).await;
    held.release();
    // It finishes the batch that it had begun.
    first.stop().await;
    assert_eq!(world.cursor().await, Some(world.head(3).await));
    second.stop().await;
    let lines = world.tape.lines();
    let of_term = |term: i64| lines.iter().filter(move |line| line.term.0 == term);
    assert_eq!(of_term(1).map(Line::position).collect::<Vec<_>>(), range(1, 30));
    assert_eq!(of_term(3).map(Line::position).collect::<Vec<_>>(), range(21, 40));
    assert_eq!(world.tape.has_all_in_order(&world.store, 1).await, 10);
}

#[tokio::test]
async fn the_relay_of_an_epoch_that_is_over_goes_on_after_its_cursor_in_the_new_one() {
    let world = Taped::new().await;
    world.append(20).await;
    let relay = world.relay(quick().relay).await;
    world.reaches(20).await;
    relay.stop().await;
    let old = world.store.head().await.unwrap().epoch;
    let new = begin_epoch(&mut world.admin().await, "a test", &[]).await.unwrap();
    world.append(5).await;
    let relay = world.relay(quick().relay).await;
    world.reaches(25).await;
    // The same holds while a relay runs and has nothing to publish.
    let newest = begin_epoch(&mut world.admin().await, "a test", &[]).await.unwrap();
    eventually("the cursor follows", async || world.cursor().await.unwrap().epoch == newest).await;
    world.append(5).await;
    world.reaches(30).await;
    relay.stop().await;
    assert_eq!(world.tape.has_all_in_order(&world.store, 1).await, 0);
    let epochs: Vec<Epoch> = world.tape.lines().iter().map(|line| line.epoch).collect();
    assert_eq!(epochs, [vec![old; 20], vec![new; 5], vec![newest; 5]].concat());
}

#[tokio::test]
async fn a_log_that_lost_what_its_cursor_names_waits_for_a_person_and_begins_again() {
    let world = Taped::new().await;
    world.append(60).await;
    let settings = || RelaySettings { refill_window: 100, ..quick().relay };
    let relay = world.relay(settings()).await;
    world.reaches(60).await;
    relay.stop().await;
    world
        .tamper(
            "DELETE FROM event_store.tags WHERE position > 40; DELETE FROM event_store.events \
                WHERE position > 40",
        )
        .await;
    let settings = RelaySettings { refill_window: 10, ..settings() };
    let relay = world.relay(settings).await;
    eventually("the relay says what to run", async || {
        let reasons = relay.reasons();
        let place = "no event at position 60, where the cursor of the target tape has event";
        reasons.contains(place) && reasons.contains("run `event-store epoch begin`")
    })
    .await;
    assert!(!relay.health.report().ready);
    assert_eq!(world.tape.lines().len(), 60, "nothing is published meanwhile");
    begin_epoch(&mut world.admin().await, "a test", &[]).await.unwrap();
    world.reaches(40).await;
    let restored = open(world.database.url()).await;
    append_to(&restored, vec![event(&serde_json::json!({ "n": "another" }))]).await;
    world.reaches(41).await;
    eventually("the relay is ready", async || relay.health.report().ready).await;
    relay.stop().await;
    assert_eq!(world.tape.positions_from(60), range(31, 41));
}

#[tokio::test]
async fn a_target_keeps_the_place_where_it_began_though_its_first_relay_is_killed_at_once() {
    let world = Taped::new().await;
    world.append(50).await;
    let settings = || RelaySettings { refill_window: 10, ..quick().relay };
    let mut held = world.tape.hold_next(Point::BeforeWriting);
    let relay = world.relay(settings()).await;
    held.reached().await;
    assert_eq!(world.cursor().await.unwrap().position, 40);
    relay.kill().await;
    // The window before this head begins later.
    world.append(20).await;
    let relay = world.relay(settings()).await;
    world.reaches(70).await;
    relay.stop().await;
    assert_eq!(world.tape.positions_from(0), range(41, 70));
}

#[tokio::test]
async fn a_target_that_is_away_makes_leader_and_standby_not_ready() {
    let world = Taped::new().await;
    world.append(5).await;
    let leader = world.relay(quick().relay).await;
    world.reaches(5).await;
    let standby = world.relay(quick().relay).await;
    let ready = || (leader.health.report().ready, standby.health.report().ready);
    eventually("both are ready", async || ready() == (true, true)).await;
    world.tape.set_away(true);
    // The leader notices although it has nothing to publish.
    eventually("neither is ready", async || ready() == (false, false)).await;
    assert!(leader.reasons().contains("the tape is away"), "{}", leader.reasons());
    world.append(5).await;
    world.tape.set_away(false);
    world.reaches(10).await;
    eventually("both are ready", async || ready() == (true, true)).await;
    leader.stop().await;
    standby.stop().await;
    assert_eq!(world.tape.has_all_in_order(&world.store, 1).await, 0);
}
