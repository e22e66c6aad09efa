//! How the intake hands instances that begin to the driver of its process, in memory.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::sync::mpsc::{self, PermitIterator};
use uuid::Uuid;

use crate::sagas::Begun;

type Begins = (Uuid, Begun);

/// The intake's end of the hand-over. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Handover {
    /// The id of this process's driver.
    pub(crate) driver: Uuid,
    sender: mpsc::Sender<Begins>,
    shared: Arc<Shared>,
}

/// The driver's end of the hand-over.
#[derive(Debug)]
pub(crate) struct Handed {
    receiver: mpsc::Receiver<Begins>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    wake: Notify,
    /// The instances in the channel, so that the driver knows that they are its own.
    waiting: Mutex<HashSet<Uuid>>,
    /// Whether the driver takes instances.
    open: AtomicBool,
}

impl Shared {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashSet<Uuid>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The two ends of a hand-over to `driver`, with room for this many instances. It is closed until
/// the driver opens it.
pub(crate) fn handover(driver: Uuid, room: usize) -> (Handover, Handed) {
    let (sender, receiver) = mpsc::channel(room.max(1));
    let shared = Arc::new(Shared::default());
    (Handover { driver, sender, shared: Arc::clone(&shared) }, Handed { receiver, shared })
}

impl Handover {
    /// Reserves up to `most` places, as many as are free.
    pub(crate) fn reserve(&self, most: usize) -> Option<PermitIterator<'_, Begins>> {
        if !self.shared.open.load(Ordering::Relaxed) {
            return None;
        }
        self.sender.try_reserve_many(most.min(self.sender.capacity())).ok()
    }

    /// Hands these instances over, each in a place that was reserved for it.
    pub(crate) fn fill(&self, places: Option<PermitIterator<'_, Begins>>, begun: Vec<Begins>) {
        for (place, begins) in places.into_iter().flatten().zip(begun) {
            self.shared.waiting().insert(begins.0);
            place.send(begins);
        }
    }

    /// Wakes the driver, because there is other work.
    pub(crate) fn wake(&self) {
        self.shared.wake.notify_one();
    }
}

impl Handed {
    /// Waits for the next instance that begins; `None` once the intake has ended. The future may be
    /// dropped at any time.
    pub(crate) async fn next(&mut self) -> Option<Begins> {
        let begins = self.receiver.recv().await?;
        Some(self.taken(begins))
    }

    /// The next instance, if one is there.
    pub(crate) fn now(&mut self) -> Option<Begins> {
        let begins = self.receiver.try_recv().ok()?;
        Some(self.taken(begins))
    }

    fn taken(&self, begins: Begins) -> Begins {
        self.shared.waiting().remove(&begins.0);
        begins
    }

    /// Completes when there is other work.
    pub(crate) fn woken(&self) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.wake.notified().await }
    }

    /// Says whether the driver takes instances. Those that it does not take wait for any driver.
    pub(crate) fn open(&self, open: bool) {
        self.shared.open.store(open, Ordering::Relaxed);
    }

    /// The instances that wait to be taken.
    pub(crate) fn waiting(&self) -> Vec<Uuid> {
        self.shared.waiting().iter().copied().collect()
    }
}
