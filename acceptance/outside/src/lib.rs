//! A lending library: books that are lent and returned, and how often each was.

mod book;
pub mod loans;

use event_store::Registry;
use event_store::registry::InvalidRegistry;

pub use book::{Book, BookCommand, BookError, BookEvent, BookLent, BookReturned};

aggregate::events_of_all_aggregates! {
    BookEvent,
}

/// Every shape in which an event was ever written.
///
/// # Errors
/// [`InvalidRegistry`]: a former version has no upcaster.
pub fn registry() -> Result<Registry, InvalidRegistry> {
    Registry::new(EVENTS.iter().copied().flatten().copied(), [])
}

#[test]
fn what_was_written_once_can_be_read_for_ever() {
    let goldens = aggregate::golden::Goldens::new(env!("CARGO_MANIFEST_DIR"), &[]);
    check_golden_files(&goldens);
    goldens.check_all(EVENTS);
}
