//! A lending library: books are lent and returned, and a projection counts the loans.

mod book;
pub mod loans;

use event_store::Registry;
use event_store::registry::InvalidRegistry;

pub use book::{Book, BookCommand, BookError, BookEvent, BookLent, BookReturned};

aggregate::events_of_all_aggregates! {
    BookEvent,
}

/// The registry of every event version that was ever written.
///
/// # Errors
/// [`InvalidRegistry`] if a past version has no upcaster.
pub fn registry() -> Result<Registry, InvalidRegistry> {
    Registry::new(EVENTS.iter().copied().flatten().copied(), [])
}

#[test]
fn what_was_written_once_can_be_read_for_ever() {
    let goldens = aggregate::golden::Goldens::new(env!("CARGO_MANIFEST_DIR"), &[]);
    check_golden_files(&goldens);
    goldens.check_all(EVENTS);
}

#[test]
fn no_change_of_an_event_breaks_its_readers() {
    aggregate::schema::kept::check(env!("CARGO_MANIFEST_DIR"), &written_schemas(), &[]);
}
