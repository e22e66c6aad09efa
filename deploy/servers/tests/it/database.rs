//! Every test gets a separate database.

use local_servers::TestDatabase;
use sqlx::{Connection, PgConnection};

async fn one_table(url: String) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut connection = PgConnection::connect(&url).await?;
    sqlx::query("CREATE TABLE numbers (n int)").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

async fn count(database: &TestDatabase) -> i64 {
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM numbers").fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn two_tests_share_a_template_and_nothing_else() {
    let (one, other) = tokio::join!(
        TestDatabase::create("servers_numbers", "1", one_table),
        TestDatabase::create("servers_numbers", "1", one_table)
    );
    let mut connection = PgConnection::connect(one.url()).await.unwrap();
    sqlx::query("INSERT INTO numbers VALUES (1), (2)").execute(&mut connection).await.unwrap();
    assert_eq!((count(&one).await, count(&other).await), (2, 0));
}

#[tokio::test]
async fn a_dropped_test_database_is_gone_even_while_someone_is_connected() {
    let database = TestDatabase::create("servers_numbers", "1", one_table).await;
    let keeper = TestDatabase::create("servers_numbers", "1", one_table).await;
    let _connected = PgConnection::connect(database.url()).await.unwrap();
    let name = database.name().to_owned();
    drop(database);
    let mut admin = PgConnection::connect(keeper.url()).await.unwrap();
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut admin)
            .await
            .unwrap();
    assert!(!exists);
}
