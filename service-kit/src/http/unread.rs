//! Answers that an HTTP/2 client leaves unread.
//!
//! Over HTTP/1, such a client blocks the writes of its connection, which have a deadline
//! (`stall.rs`). Over HTTP/2, it can give a stream no window, or one byte. Then nothing waits to be
//! written, and hyper or h2 keeps the answer. So each answer knows how many of its bytes wait there
//! (`answer.rs`). If too few of them leave in time, its stream is reset. The other streams of the
//! connection go on, because they may be those of other clients of a proxy.
//!
//! If that does not help, the connection ends: a client may take back the window of an answer that
//! h2 already had room for, and whose stream nobody can reset any more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

/// How often the answers of a connection are looked at within the limit.
const LOOKS: u32 = 4;
/// How many bytes of a waiting answer a client has to read within the limit, unless it reads all of
/// them. One byte now and then does not keep an answer.
const LEAST_BYTES: usize = 1024;

/// The answers of one connection whose bytes wait for the client: at most as many as the connection
/// has streams.
#[derive(Debug, Default)]
pub(super) struct Unread(Mutex<HashMap<u64, Waiting>>);

/// An answer whose bytes wait for the client.
#[derive(Debug)]
struct Waiting {
    /// The number of bytes that wait.
    bytes: usize,
    /// The number of bytes that were read since.
    read: usize,
    since: Instant,
    /// When it is cancelled, the answer's HTTP/2 stream is reset.
    stream: CancellationToken,
}

impl Unread {
    /// Notes that bytes of this answer wait for the client. `stream` ends its stream.
    pub(super) fn wait(&self, answer: u64, bytes: usize, stream: &CancellationToken) {
        let mut waiting = self.waiting();
        let waiting = waiting.entry(answer).or_insert_with(|| Waiting {
            bytes: 0,
            read: 0,
            since: Instant::now(),
            stream: stream.clone(),
        });
        waiting.bytes += bytes;
    }

    /// Notes that bytes of this answer no longer wait.
    pub(super) fn read(&self, answer: u64, bytes: usize) {
        let mut all = self.waiting();
        let Some(waiting) = all.get_mut(&answer) else { return };
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        waiting.read += bytes;
        if waiting.bytes == 0 {
            all.remove(&answer);
        } else if waiting.read >= LEAST_BYTES {
            (waiting.read, waiting.since) = (0, Instant::now());
        }
    }

    /// Resets the stream of each answer that is left unread for this long, or a little longer.
    /// Returns when an answer is still there after that.
    pub(super) async fn left_for(&self, limit: Duration) {
        let mut looks = interval(limit / LOOKS);
        loop {
            looks.tick().await;
            for waiting in self.waiting().values_mut() {
                if waiting.since.elapsed() < limit {
                    continue;
                }
                if waiting.stream.is_cancelled() {
                    return;
                }
                waiting.stream.cancel();
                waiting.since = Instant::now();
                super::streams::reset();
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn only_an_answer_that_is_hardly_read_is_reset_and_the_connection_ends_if_it_stays() {
        let (unread, began) = (Unread::default(), Instant::now());
        let [slow, trickling, idle] = [(); 3].map(|()| CancellationToken::new());
        let bytes = 20 * LEAST_BYTES;
        unread.wait(1, bytes, &slow);
        unread.wait(2, bytes, &trickling);
        let reading = async {
            for _ in 0..6 {
                sleep(LIMIT / 2).await;
                unread.read(1, LEAST_BYTES);
                unread.read(2, 1);
                // All that this one had was read.
                unread.wait(3, 1, &idle);
                unread.read(3, 1);
                if trickling.is_cancelled() {
                    unread.read(2, bytes);
                }
            }
            assert!(trickling.is_cancelled() && !slow.is_cancelled() && !idle.is_cancelled());
        };
        let ((), ()) = tokio::join!(unread.left_for(LIMIT), reading);
        let took = began.elapsed();
        assert!(slow.is_cancelled() && took >= LIMIT * 5 && took <= LIMIT * 6, "{took:?}");
    }
}
