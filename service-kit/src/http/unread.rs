//! Answers that an HTTP/2 client leaves unread.
//!
//! Over HTTP/1, such a client blocks the writes of its connection, which have a deadline
//! (`stall.rs`). Over HTTP/2, it can give a stream no window. Then nothing waits to be written, and
//! hyper keeps the answer and all that it holds. So each answer notes when a part of it was taken,
//! and the connection looks how long the next part was not asked for.
//!
//! A last part of which h2 may send a byte is no longer watched: h2 has taken it then.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval};

/// How often the answers of a connection are looked at within the limit.
const LOOKS: u32 = 4;

/// The answers of one connection of which a part was taken, and the next part not asked for. The
/// number of its streams limits them.
#[derive(Debug, Default)]
pub(super) struct Unread(Mutex<HashMap<u64, Instant>>);

impl Unread {
    /// Notes that a part of this answer was taken.
    pub(super) fn took(&self, answer: u64) {
        self.since().insert(answer, Instant::now());
    }

    /// Notes that the next part of this answer was asked for, or that the answer is gone.
    pub(super) fn asked(&self, answer: u64) {
        self.since().remove(&answer);
    }

    /// Waits until an answer is left unread for this long, or a little longer.
    pub(super) async fn left_for(&self, limit: Duration) {
        let mut looks = interval(limit / LOOKS);
        loop {
            looks.tick().await;
            let oldest = self.since().values().min().copied();
            if oldest.is_some_and(|oldest| oldest.elapsed() >= limit) {
                return;
            }
        }
    }

    fn since(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn only_an_answer_that_nobody_goes_on_reading_counts() {
        let (unread, began) = (Unread::default(), Instant::now());
        unread.took(1);
        let reading = async {
            for _ in 0..6 {
                tokio::time::sleep(LIMIT / 2).await;
                // It is read slowly, and another one has nothing to send.
                unread.asked(1);
                unread.took(1);
                unread.asked(2);
            }
            unread.took(2);
            unread.asked(1);
        };
        let ((), ()) = tokio::join!(unread.left_for(LIMIT), reading);
        let took = began.elapsed();
        assert!(took >= LIMIT * 4 && took <= LIMIT * 5, "{took:?}");
    }
}
