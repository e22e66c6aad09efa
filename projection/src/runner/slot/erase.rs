//! A partition that blanks the past of an erased subject, or fell behind while it did.

use std::sync::Arc;

use event_store::EventRef;

use super::{Slot, State};
use crate::runner::Job;

/// How a partition reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Together with the others.
    Common,
    /// Behind the others, which went ahead while it erased.
    Behind,
}

impl Slot {
    /// The batch that the partition goes on with, if it is erasing.
    pub(crate) fn unfinished(&self) -> Option<Arc<Job>> {
        if let State::Owned(owned) = &self.state { owned.unfinished.clone() } else { None }
    }

    /// Whether the partition is blanking the past of an erased subject.
    pub(crate) fn is_erasing(&self) -> bool {
        matches!(&self.state, State::Owned(owned) if owned.unfinished.is_some())
    }

    /// Whether the partition erased while others went ahead, and has not caught up yet.
    pub(crate) fn is_behind(&self) -> bool {
        self.pace == Pace::Behind
    }

    /// Records where the others are; `None` if there are none.
    pub(crate) fn catches_up_with(&mut self, front: Option<EventRef>) {
        let is_there = |mark: EventRef| front.is_none_or(|front| mark.position >= front.position);
        if !self.is_erasing() && self.mark().is_some_and(is_there) {
            self.pace = Pace::Common;
        }
    }

    /// Whether the batch is for others: the partition needs earlier events first, or has all of it.
    pub(crate) fn is_passed_by(&self, job: &Job) -> bool {
        let (Some(mark), Some(first), Some(last)) =
            (self.mark(), job.events.first(), job.events.last())
        else {
            return false;
        };
        let is_too_late = self.is_behind() && first.position > mark.position.next();
        is_too_late || last.position < mark.position
    }
}
