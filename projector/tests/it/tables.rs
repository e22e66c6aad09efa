//! A projection with a table next to its main one: each has a view, and both are switched together.

use std::sync::Arc;

use event_store::RecordedEvent;
use local_servers::TestDatabase;
use projection::{AnyProjection, Incoming, Projection, Reason, generation, of, row};
use serde::Serialize;

use crate::support::{ask, tell};

row! {
    /// A row of the main table.
    #[derive(Debug, Clone, Serialize)]
    pub(crate) struct PairRow in pairs by (key: String) {
        position: i64,
    }
}

/// A projection whose second table has a name of its own, or one that it may not have.
struct Pairs<const WRONG: bool>;

impl<const WRONG: bool> Projection for Pairs<WRONG> {
    const NAME: &'static str = "pairs";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = if WRONG {
        "CREATE TABLE pairs (key text PRIMARY KEY, position bigint NOT NULL);
         CREATE TABLE sums (total bigint NOT NULL)"
    } else {
        "CREATE TABLE pairs (key text PRIMARY KEY, position bigint NOT NULL);
         CREATE TABLE pairs_sums (total bigint NOT NULL)"
    };
    const TRIGGERS: &'static str = "
        CREATE FUNCTION pairs_count() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
        AS $$ BEGIN
            UPDATE pairs_sums SET total = total + 1;
            RETURN NULL;
        END $$;
        CREATE TRIGGER pairs_added AFTER INSERT ON pairs
            FOR EACH ROW EXECUTE FUNCTION pairs_count()";
    const INDEXES: &'static str = "";
    type Event = ();
    type Key = String;
    type Row = PairRow;

    fn handles() -> Vec<&'static str> {
        Vec::new()
    }

    fn read(_: &RecordedEvent) -> Option<Result<(), Reason>> {
        None
    }

    fn keys((): &()) -> Vec<String> {
        Vec::new()
    }

    fn fold(_: &String, _: Option<PairRow>, _: &Incoming<()>) -> Result<PairRow, Reason> {
        Err("nothing happens".into())
    }
}

async fn empty() -> TestDatabase {
    TestDatabase::create("tables", "empty", async |_| Ok(())).await
}

#[tokio::test]
async fn each_table_of_a_projection_has_a_view_and_all_are_switched_together() {
    let (database, projection): (_, Arc<dyn AnyProjection>) = (empty().await, of::<Pairs<false>>());
    let (url, options) = (database.url(), database.url().parse().unwrap());
    let shown = "SELECT array_agg(viewname || ' ' || definition ORDER BY viewname) FROM pg_views \
        WHERE schemaname = 'read_model' AND viewname LIKE 'pairs%'";
    let shows = async |generation: &str| {
        let views: Vec<String> = ask(url, shown).await;
        assert_eq!(views.len(), 2, "{views:?}");
        for (view, table) in views.iter().zip(["pairs", "pairs_sums"]) {
            let is_shown = view.starts_with(&format!("{table} "))
                && view.contains(&format!("FROM {generation}.{table}"));
            assert!(is_shown, "{generation}.{table}: {view}");
        }
    };
    generation::migrate(&options, std::slice::from_ref(&projection)).await.unwrap();
    shows("pairs_g1").await;
    generation::start_over(&options, projection.as_ref(), None).await.unwrap();
    shows("pairs_g2").await;
    // Wherever a row is written, its trigger finds the other table.
    tell(url, "INSERT INTO pairs_g2.pairs_sums VALUES (0)").await;
    tell(url, "INSERT INTO pairs_g2.pairs VALUES ('one', 1), ('two', 2)").await;
    assert_eq!(ask::<i64>(url, "SELECT total FROM read_model.pairs_sums").await, 2);
}

#[tokio::test]
async fn a_table_that_would_take_the_view_of_something_else_is_refused() {
    let (database, projection): (_, Arc<dyn AnyProjection>) = (empty().await, of::<Pairs<true>>());
    let options = database.url().parse().unwrap();
    let refused = generation::migrate(&options, &[projection]).await.unwrap_err();
    let said = format!("{refused:?}");
    assert!(said.contains("the table sums of projection pairs would take the view"), "{said}");
}
