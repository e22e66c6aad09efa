//! The contract tests, run on both of our stores as on any other store.

mod in_postgres {
    use crate::support::{connect, database};

    event_store::store_contract!(async {
        let database = database().await;
        (connect(database.url()).await, database)
    });
}

mod in_memory {
    event_store::store_contract!(async { (event_store::MemoryStore::new(), ()) });
}
