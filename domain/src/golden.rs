//! The golden files of the shop's events. See [`aggregate::golden`].

use aggregate::golden::Goldens;

use crate::history;

/// The golden files of this crate, with the former versions of its events.
pub(crate) const GOLDEN: Goldens = Goldens::new(env!("CARGO_MANIFEST_DIR"), history::PAST);

#[test]
fn every_event_has_its_golden_entry_and_the_shape_that_it_was_first_written_in() {
    crate::check_golden_files(&GOLDEN);
}

#[test]
fn every_version_ever_written_can_still_be_read() {
    GOLDEN.check_all(crate::EVENTS);
}
