//! How many events the next read asks for: many when they are small, few when they are large, so that a page fits in memory.

use event_store::RecordedEvent;
use event_store::store::MAX_PAGE;

/// What a page may take in memory, about.
const TARGET_BYTES: usize = 4 * 1024 * 1024;
/// The first page, before any size is known: 16 events of the largest allowed size are twice [`TARGET_BYTES`].
const FIRST: u32 = 16;
/// What an event takes beside its payload, about.
const FIXED_BYTES: usize = 512;

/// The size of the next page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageSize {
    next: u32,
    most: u32,
}

impl PageSize {
    /// Starts small and never asks for more than `most`.
    pub(crate) fn up_to(most: u32) -> Self {
        let most = most.clamp(1, MAX_PAGE);
        Self { next: FIRST.min(most), most }
    }

    /// How many events to ask for.
    pub(crate) fn next(self) -> u32 {
        self.next
    }

    /// Learns from what came: grows by at most four times, and shrinks at once when events are large.
    pub(crate) fn learn(&mut self, page: &[RecordedEvent]) {
        let Some(largest) = page.iter().map(event_bytes).max() else { return };
        let fits = u32::try_from(TARGET_BYTES / largest).unwrap_or(u32::MAX);
        self.next = fits.min(self.next.saturating_mul(4)).clamp(1, self.most);
    }
}

/// What an event takes in memory, about.
pub(crate) fn event_bytes(event: &RecordedEvent) -> usize {
    FIXED_BYTES + event.data.get().len() + event.tags.iter().map(|t| t.as_str().len()).sum::<usize>()
}
