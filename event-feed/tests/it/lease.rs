//! Tests the lease of `postgres-kit` on the tables that the relay and the projector use.

use std::time::Duration;

use postgres_kit::{Lease, LeaseTable, Term};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::support::{database, eventually};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_mins(1);

fn lease(duration: Duration) -> Lease {
    Lease::new(LeaseTable::EventStore, "test", Uuid::now_v7(), duration)
}

#[tokio::test]
async fn one_of_many_who_try_at_once_gets_the_lease() {
    let database = database().await;
    let tries = (0..8).map(|_| async {
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        lease(LONG).take(&mut connection).await.unwrap()
    });
    let taken: Vec<Term> = futures::future::join_all(tries).await.into_iter().flatten().collect();
    assert_eq!(taken, [Term(1)]);
}

#[tokio::test]
async fn whoever_takes_over_ends_the_old_owners_connection_and_its_locks() {
    let database = database().await;
    let mut frozen = PgConnection::connect(database.url()).await.unwrap();
    let old = lease(SHORT);
    let old_term = old.take(&mut frozen).await.unwrap().unwrap();
    // Frozen in the middle of a transaction that locks the lease's own row.
    sqlx::raw_sql("BEGIN; SELECT * FROM event_store.leases FOR UPDATE")
        .execute(&mut frozen)
        .await
        .unwrap();

    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let new = lease(LONG);
    let mut taken = None;
    while taken.is_none() {
        taken = new.take(&mut connection).await.unwrap();
    }
    assert_eq!(taken, Some(Term(old_term.0 + 1)));
    assert!(old.holds(&mut frozen, old_term).await.is_err(), "its connection is gone");
    let mut woken = PgConnection::connect(database.url()).await.unwrap();
    assert!(!old.holds(&mut woken, old_term).await.unwrap());
    assert!(!old.renew(&mut woken, old_term).await.unwrap());
    old.give_up(&mut woken, old_term).await.unwrap();
    assert!(
        new.holds(&mut connection, Term(old_term.0 + 1)).await.unwrap(),
        "the old owner cannot give up a lease that it does not hold"
    );
}

#[tokio::test]
async fn a_lease_that_ran_out_is_not_held_but_can_be_renewed_until_somebody_takes_it() {
    let database = database().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let lease = lease(SHORT);
    let term = lease.take(&mut connection).await.unwrap().unwrap();
    assert!(lease.holds(&mut connection, term).await.unwrap());
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    eventually("the lease runs out", || async {
        !lease.holds(&mut pool.acquire().await.unwrap(), term).await.unwrap()
    })
    .await;
    assert!(lease.renew(&mut connection, term).await.unwrap());
    assert!(lease.holds(&mut connection, term).await.unwrap());
}

#[tokio::test]
async fn an_owner_that_lost_its_connection_need_not_wait_for_its_own_lease() {
    let database = database().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let lease = lease(LONG);
    let term = lease.take(&mut connection).await.unwrap().unwrap();
    let mut anew = PgConnection::connect(database.url()).await.unwrap();
    let new_term = lease.take(&mut anew).await.unwrap().unwrap();
    assert!(new_term > term);
    assert!(!lease.holds(&mut anew, term).await.unwrap());
    assert!(
        sqlx::query("SELECT 1").execute(&mut connection).await.is_err(),
        "the rest of the old connection is ended"
    );
}

#[tokio::test]
async fn a_lease_that_was_given_up_is_free_at_once() {
    let database = database().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let first = lease(LONG);
    let term = first.take(&mut connection).await.unwrap().unwrap();
    let second = lease(LONG);
    assert_eq!(second.take(&mut connection).await.unwrap(), None);
    first.give_up(&mut connection, term).await.unwrap();
    assert_eq!(second.take(&mut connection).await.unwrap(), Some(Term(2)));
}

#[tokio::test]
async fn the_relays_own_role_can_keep_the_lease_and_end_its_predecessor() {
    let database = database().await;
    let url = database.url_in_group("event_store_relay").await;
    let mut first = PgConnection::connect(&url).await.unwrap();
    let old = lease(SHORT);
    old.take(&mut first).await.unwrap().unwrap();
    let mut second = PgConnection::connect(&url).await.unwrap();
    let new = lease(LONG);
    let mut taken = None;
    while taken.is_none() {
        taken = new.take(&mut second).await.unwrap();
    }
    assert!(sqlx::query("SELECT 1").execute(&mut first).await.is_err());
    assert!(new.renew(&mut second, Term(2)).await.unwrap());
}
