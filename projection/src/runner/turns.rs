//! Which events the runner reads next.
//!
//! All partitions read together, from where the one that is furthest behind is. Those that blank
//! the past of an erased subject (`erasing.rs`) are the exception, because that may take long. They
//! need no events meanwhile. Afterwards they are behind, and take turns with the others until they
//! have caught up. So nobody waits for them for longer than a batch takes.

use std::pin::pin;
use std::time::Duration;

use event_feed::Follower;
use event_feed::consumer::Next;
use event_store::EventRef;
use tokio::time::sleep;

use super::slot::Slot;
use super::{MAX_BATCH, Runner, dispatch, keep_leases};

/// How long the runner waits for the next events before a partition that is erasing goes on.
const ERASING_PATIENCE: Duration = Duration::from_millis(20);

impl Runner {
    /// The next events. Until they come, the partitions that are erasing go on. `None` once one of
    /// them is done: the events that it needs next are others.
    pub(super) async fn next(&mut self, follower: &mut Follower, from: EventRef) -> Option<Next> {
        let erasing = |slots: &[Slot]| slots.iter().filter(|slot| slot.is_erasing()).count();
        let before = erasing(&self.slots);
        let mut next = pin!(self.consumer.next(follower, from, MAX_BATCH));
        while erasing(&self.slots) == before {
            tokio::select! {
                biased;
                next = &mut next => return Some(next),
                () = sleep(ERASING_PATIENCE), if before > 0 => {
                    dispatch::erase(&mut self.slots, self.nats.as_ref()).await;
                    keep_leases(&mut self.slots).await;
                    self.watch.partitions(&self.slots);
                }
            }
        }
        None
    }

    /// The checkpoint after which the reader continues; `None` if this process owns nothing.
    pub(super) fn furthest_back(&mut self) -> Option<EventRef> {
        let front = furthest(&self.slots, |slot| !slot.is_erasing() && !slot.is_behind());
        for slot in &mut self.slots {
            slot.catches_up_with(front);
        }
        let front = furthest(&self.slots, |slot| !slot.is_erasing() && !slot.is_behind());
        let behind = furthest(&self.slots, |slot| !slot.is_erasing() && slot.is_behind());
        let (Some(front), Some(behind)) = (front, behind) else {
            // One that erases needs no events, but somebody has to be read for.
            return front.or(behind).or_else(|| furthest(&self.slots, |_| true));
        };
        let has_news = |slot: &Slot| slot.progress.head > front.position;
        self.behind_had_turn = !self.behind_had_turn || !self.slots.iter().any(has_news);
        Some(if self.behind_had_turn { behind } else { front })
    }
}

/// The checkpoint of the one of these partitions that is furthest behind.
fn furthest(slots: &[Slot], among: impl Fn(&Slot) -> bool) -> Option<EventRef> {
    let marks = slots.iter().filter(|slot| among(slot)).filter_map(Slot::mark);
    marks.min_by_key(|mark| mark.position)
}
