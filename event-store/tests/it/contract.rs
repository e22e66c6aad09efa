//! The contract of an event store, kept by both of ours through the same door as by anyone else's.

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
