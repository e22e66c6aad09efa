//! Verification in the background: it raises an alarm when a row is wrong, never when none is, and
//! leaves the machine to live projecting.

use std::process::Stdio;

use local_servers::test_run;
use sqlx::{Connection, PgConnection};

use crate::support::life::Life;
use crate::support::process::Process;
use crate::support::{
    append, postgres_store, projections, tell, until, until_all_at, whole_database,
};

/// Again and again, fast.
const BUSY: [(&str, &str); 2] = [("VERIFY_EVERY", "1"), ("VERIFY_RATE", "100000")];

fn verifications(projection: &str, result: &str) -> String {
    format!("projection_verifications_total{{projection=\"{projection}\",result=\"{result}\"}}")
}

fn differing(projection: &str) -> String {
    format!("projection_differing_rows{{projection=\"{projection}\"}}")
}

#[tokio::test]
async fn a_row_that_is_not_what_the_log_makes_raises_the_alarm_until_it_is_right_again() {
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    append(store.as_ref(), Life::new(501).goes_on(300)).await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let process = Process::start_to(url, &BUSY, Stdio::from(log.reopen().unwrap()));
    until_all_at(url, 300).await;
    until("a first verification", || async {
        process.metric(&differing("daily_sales")).await == Some(0.0)
    })
    .await;
    assert_eq!(process.metric(&differing("orders")).await, Some(0.0));

    tell(
        url,
        "UPDATE orders_g1.orders SET total_minor = total_minor + 1 WHERE id = (SELECT \
            min(id::text)::uuid FROM orders_g1.orders)",
    )
    .await;
    until("the alarm", || async { process.metric(&differing("orders")).await == Some(1.0) }).await;
    let key: String = crate::support::ask(url, "SELECT min(id::text) FROM orders_g1.orders").await;
    let said = std::fs::read_to_string(log.path()).unwrap();
    let line = said
        .lines()
        .find(|line| line.contains("differs from the log"))
        .unwrap_or_else(|| panic!("{said}"));
    assert!(
        line.contains("ERROR")
            && line.contains("orders")
            && line.contains(&key)
            && line.contains("300"),
        "{line}"
    );
    assert_eq!(process.metric(&differing("users")).await, Some(0.0));

    tell(
        url,
        "UPDATE orders_g1.orders SET total_minor = total_minor - 1 WHERE id = (SELECT \
            min(id::text)::uuid FROM orders_g1.orders)",
    )
    .await;
    until("the alarm to end", || async { process.metric(&differing("orders")).await == Some(0.0) })
        .await;
}

#[tokio::test]
async fn p7_an_untampered_model_under_load_raises_no_alarm() {
    let run = test_run();
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let mut life = Life::new(run.seed);
    // So few rows that each time some are chosen.
    let process = Process::start_with(url, &[BUSY[0], BUSY[1], ("VERIFY_ROWS", "50")]);
    let wanted = f64::from(u32::try_from(run.count(3, 100)).unwrap());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let living = tokio::spawn(async move {
        while !*stopped.borrow() {
            append(store.as_ref(), life.goes_on(20)).await;
        }
        store
    });
    for projection in projections() {
        let equal = verifications(projection, "equal");
        let mut seen = 0.0;
        while seen < wanted {
            let before = seen;
            until("another verification", || async {
                process.metric(&equal).await.unwrap_or(0.0) > before
            })
            .await;
            seen = process.metric(&equal).await.unwrap();
        }
    }
    stop.send(true).unwrap();
    living.await.unwrap();
    for projection in projections() {
        for result in ["different", "failed"] {
            assert_eq!(
                process.metric(&verifications(projection, result)).await,
                None,
                "{projection}; seed {}",
                run.seed
            );
        }
    }
}

#[tokio::test]
async fn verification_stands_still_while_live_projecting_is_behind() {
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let mut life = Life::new(502);
    append(store.as_ref(), life.goes_on(200)).await;
    let process = Process::start_with(url, &[BUSY[0], BUSY[1], ("VERIFY_MOST_LAG", "50")]);
    until_all_at(url, 200).await;
    let mut other = PgConnection::connect(url).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("SELECT FROM users_g1.users FOR UPDATE").execute(&mut *lock).await.unwrap();
    append(store.as_ref(), life.goes_on(100)).await;
    let paused = async || {
        let mut sum = 0.0;
        for projection in projections() {
            sum += process
                .metric(&format!("projection_verification_paused{{projection=\"{projection}\"}}"))
                .await
                .unwrap_or(0.0);
        }
        sum
    };
    until("the verification to stand still", || async { paused().await > 0.0 }).await;
    lock.rollback().await.unwrap();
    until("it to go on", || async { paused().await == 0.0 }).await;
    let equal = verifications("users", "equal");
    let before = process.metric(&equal).await.unwrap_or(0.0);
    until("another verification", || async {
        process.metric(&equal).await.unwrap_or(0.0) > before
    })
    .await;
}

#[tokio::test]
async fn verification_in_the_background_is_off_when_told_so() {
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    append(store.as_ref(), Life::new(503).goes_on(50)).await;
    let process = Process::start_with(url, &[("VERIFY_EVERY", "0")]);
    until_all_at(url, 50).await;
    let metrics = process.get("/metrics").await;
    assert!(
        metrics.contains("projection_position")
            && !metrics.contains("# HELP projection_verifications_total"),
        "{metrics}"
    );
}
