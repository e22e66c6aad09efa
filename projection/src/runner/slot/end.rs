//! How an ownership ends in this process: dropped to be acquired again, given up, or handed over.

use std::io;

use super::{ACQUIRE_EVERY, Slot, State, waiting};

impl Slot {
    /// Drops the ownership, so that the partition is acquired and its history proved again.
    pub(crate) fn acquire_again(&mut self) {
        if self.take_owned().is_some() {
            self.wait_no_longer();
        }
    }

    /// Drops an ownership whose lease may have expired: another process may have the partition, and
    /// the connection may be broken.
    pub(crate) fn let_go_if_late(&mut self) {
        if matches!(self.state, State::Owned(_)) && self.held.is_late() {
            // A failure, so that the process is not ready until it has the partition again, or
            // sees that another one has it.
            let late = io::Error::new(io::ErrorKind::TimedOut, "the lease was not renewed in time");
            drop(self.take_owned());
            self.failed(sqlx::Error::Io(late).into());
        }
    }

    /// Gives up the lease if this process has it, so that another one can take over at once.
    pub(crate) async fn give_up(&mut self) {
        let Some(owned) = self.take_owned() else { return };
        match tokio::spawn(owned.give_up(None)).await {
            Ok(Ok(())) => tracing::info!(projection = self.title(), "lease given up"),
            Ok(Err(error)) => {
                tracing::warn!(projection = self.title(), %error, "lease not given up: it will \
                    expire");
            }
            Err(panic) => {
                tracing::error!(projection = self.title(), %panic, "giving up the lease panicked");
            }
        }
    }

    /// Gives the partition up, for another process to take it.
    pub(crate) async fn hand_over(&mut self) {
        self.give_up().await;
        self.is_elsewhere();
    }

    /// Gives the partition up while its projection is paused, and does not take it.
    pub(crate) async fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
        if is_paused && self.mark().is_some() {
            tracing::info!(projection = self.title(), "paused");
            self.hand_over().await;
        }
    }

    /// Records that another process has the partition.
    pub(crate) fn is_elsewhere(&mut self) {
        self.not_ours();
        self.state = waiting(ACQUIRE_EVERY, None);
    }
}
