//! The columns of a row are declared once. A row that does not fit its table is found when the
//! table is made, with what is wrong: so every test that has a read model finds it.

use std::error::Error as _;

use event_store::RecordedEvent;
use local_servers::TestDatabase;
use projection::{AnyProjection, Incoming, Projection, Reason, generation, of, row};
use serde::Serialize;
use std::sync::Arc;

row! {
    /// A row that fits the first table below.
    #[derive(Debug, Clone, Serialize)]
    pub(crate) struct ThingRow in things by (key: String) {
        level: i64,
        note: Option<String>,
        position: i64,
    }
}

/// Tables, and what is said of the row.
const CASES: [(&str, &str); 8] = [
    ("key text PRIMARY KEY, level bigint NOT NULL, note text, position bigint NOT NULL", ""),
    // The order of the columns is no matter, nor is how a text is limited.
    ("position bigint NOT NULL, note varchar(20), level bigint NOT NULL, key text PRIMARY KEY", ""),
    (
        "key text PRIMARY KEY, level bigint NOT NULL, position bigint NOT NULL",
        "things has no column note",
    ),
    (
        "key text PRIMARY KEY, level bigint NOT NULL, position bigint NOT NULL, note text, tag int",
        "the row has no field tag",
    ),
    (
        "key text PRIMARY KEY, level integer NOT NULL, note text, position bigint NOT NULL",
        "things.level is of type integer, but its field of int8",
    ),
    (
        "key text PRIMARY KEY, level bigint NOT NULL, note text NOT NULL, position bigint NOT NULL",
        "things.note is not null, but its field is an Option",
    ),
    (
        "key text PRIMARY KEY, level bigint, note text, position bigint NOT NULL",
        "things.level may be null, but its field is not an Option",
    ),
    (
        "key text NOT NULL, level bigint NOT NULL, note text, position bigint NOT NULL",
        "`INSERT INTO things (key, level, note, position)",
    ),
];

macro_rules! tables {
    ($($number:literal),+) => {
        impl<const CASE: usize> Projection for Things<CASE> {
            const NAME: &'static str = "things";
            const FOLD_VERSION: i32 = 1;
            const TABLES: &'static str = match CASE {
                $($number => postgres_kit::sql!("CREATE TABLE things (", CASES[$number].0, ")"),)+
                _ => "",
            };
            const INDEXES: &'static str = "";
            type Event = ();
            type Key = String;
            type Row = ThingRow;

            fn handles() -> Vec<&'static str> {
                Vec::new()
            }

            fn read(_: &RecordedEvent) -> Option<Result<(), Reason>> {
                None
            }

            fn keys((): &()) -> Vec<String> {
                Vec::new()
            }

            fn fold(_: &String, _: Option<ThingRow>, _: &Incoming<()>) -> Result<ThingRow, Reason> {
                Err("nothing happens".into())
            }
        }

        fn projections() -> Vec<Arc<dyn AnyProjection>> {
            vec![$(of::<Things<$number>>()),+]
        }
    };
}

struct Things<const CASE: usize>;
tables!(0, 1, 2, 3, 4, 5, 6, 7);

#[tokio::test]
async fn a_row_that_does_not_fit_its_table_is_refused_when_the_table_is_made() {
    let projections = projections();
    assert_eq!(projections.len(), CASES.len());
    for (projection, (table, expected)) in projections.into_iter().zip(CASES) {
        let database = TestDatabase::create("columns", "empty", async |_| Ok(())).await;
        let made = generation::migrate(&database.url().parse().unwrap(), &[projection]).await;
        match made {
            Ok(()) => assert_eq!(expected, "", "{table}"),
            Err(refused) => {
                assert!(!expected.is_empty(), "{table}: {refused} {:?}", refused.source());
                let said = refused.to_string();
                assert!(said.contains(expected), "{table}: {said}");
                assert!(said.starts_with("the row of things does not fit its table: "), "{said}");
            }
        }
    }
}
