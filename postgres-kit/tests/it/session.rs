//! [`ended_when_lost`](postgres_kit::ended_when_lost): a lost client holds up nobody for long.

use std::time::Duration;

use local_servers::in_time;
use postgres_kit::{Connection, ended_when_lost};
use sqlx::{Connection as _, PgConnection};

use crate::support::{SLACK, database, options};

/// How long the transaction of a lost client may live.
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_server_ends_a_transaction_in_which_nothing_happens() {
    let database = database().await;
    let lost = ended_when_lost(options(&database));
    let mut lost = Connection::open(&lost, SLACK, SLACK).await.unwrap();
    let begun = async |raw: &mut PgConnection| {
        sqlx::raw_sql("CREATE TABLE things (id int); INSERT INTO things VALUES (1)")
            .execute(&mut *raw)
            .await?;
        sqlx::raw_sql("BEGIN; UPDATE things SET id = 2").execute(raw).await.map(drop)
    };
    lost.run(begun).await.unwrap();
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    let update = sqlx::query("UPDATE things SET id = 3 WHERE id = 1").execute(&mut other);
    let updated = in_time("the end of the lost transaction", update);
    let updated = tokio::time::timeout(LIMIT, updated).await.expect("the server ended it in time");
    assert_eq!(updated.unwrap().rows_affected(), 1);
}
