//! Shared databases and connections for the tests. Appends and assertions come from the test kit.

use event_store::postgres::{migrate, schema_fingerprint};
pub(crate) use event_store::test_kit::{
    append_to, appended, behind, check_dense, event, key, metadata, one, query, refused, release,
    repeated, reservation, stream, tagged, take,
};
use event_store::{PostgresOptions, PostgresStore};
use futures::{Stream, StreamExt as _};
use local_servers::{TestDatabase, in_time};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

/// Makes two tests of each function, `in_postgres` and `in_memory`. The functions take the store in
/// an `Arc`, or by reference after `&`.
macro_rules! on_both {
    (& $($name:ident)*) => {
        on_both! { @make |store| &store; $($name)* }
    };
    (@make |$store:ident| $given:expr; $($name:ident)*) => {
        mod in_postgres {
            $(#[tokio::test]
            async fn $name() {
                let database = crate::support::database().await;
                let $store = crate::support::connect(database.url()).await;
                super::$name($given).await;
            })*
        }
        mod in_memory {
            $(#[tokio::test]
            async fn $name() {
                let $store = event_store::MemoryStore::new();
                super::$name($given).await;
            })*
        }
    };
    ($($name:ident)*) => {
        on_both! { @make |store| std::sync::Arc::new(store); $($name)* }
    };
}
pub(crate) use on_both;

/// Makes a fresh, migrated database.
pub(crate) async fn database() -> TestDatabase {
    TestDatabase::create("event_store", &schema_fingerprint(), |url| async move {
        Ok(migrate(&url).await?)
    })
    .await
}

pub(crate) fn options(url: &str) -> PostgresOptions {
    PostgresOptions::from_url(url).unwrap().application_name("event-store test").read_connections(4)
}

pub(crate) async fn connect(url: &str) -> PostgresStore {
    PostgresStore::connect(options(url)).await.unwrap()
}

/// Opens a plain connection as the role in the URL.
pub(crate) async fn plain(url: &str) -> PgConnection {
    let connect = url.parse::<PgConnectOptions>().unwrap();
    connect.options([("search_path", "pg_catalog, pg_temp")]).connect().await.unwrap()
}

/// Returns the SQLSTATE of an error.
pub(crate) fn sqlstate(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.unwrap_or_else(|| panic!("not an error of the database: {error:?}")).into_owned()
}

/// Returns a random generator with the run's seed.
pub(crate) fn random() -> rand::rngs::StdRng {
    rand::SeedableRng::seed_from_u64(local_servers::test_run().seed)
}

/// Returns the next item of a subscription.
pub(crate) async fn next<T>(events: &mut (impl Stream<Item = T> + Unpin)) -> T {
    in_time("an event of the subscription", events.next()).await.unwrap()
}

/// A value that passes validation but that Postgres rejects.
pub(crate) const POISON: &str = "
    CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'poison' USING ERRCODE = '22023'; END $$;
    CREATE TRIGGER poison BEFORE INSERT ON event_store.events FOR EACH ROW WHEN (new.event_type = \
    'thing.poison') EXECUTE FUNCTION poison();";
