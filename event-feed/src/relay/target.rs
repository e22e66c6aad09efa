//! The port to what the relay publishes to. The relay's loop, its lease and its faults know no more
//! of a target than this.
//!
//! A target either tells where it ends ([`Resumed::After`]), and then gets every event once if it
//! also refuses what does not follow, or cannot tell ([`Resumed::ByCursor`]). For one that cannot,
//! the relay keeps a cursor next to its lease and publishes at least once: after a fault, the
//! events of the batch under way come again. Whatever happens, the first time that each event comes
//! is in the order of the log, and none is left out.
//!
//! Every call to a target ends by itself within a few seconds. The relay waits for it without a
//! limit of its own; a call that hangs all the same shows in the relay's pulse.

use event_store::{Epoch, EventRef, Head, RecordedEvent};

use super::resume::{ResumeError, Resumed, Resuming};
use crate::lease::Term;

/// Where the relay publishes the log to.
pub trait RelayTarget: Send + Sync + 'static {
    /// The events of one publish, in the target's own encoding of
    /// [`CloudEvent`](crate::cloud_event::CloudEvent).
    type Batch: Send;

    /// Names the target's lease, its cursor and its component of the health report: unique among
    /// the targets of one log, and never changed.
    fn name(&self) -> &'static str;

    /// Whether a connection stands now, as far as is known without asking.
    fn is_connected(&self) -> bool {
        true
    }

    /// Asks for a sign that the target could take events.
    fn look(&self) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Whether `last`, which the relay published last, is still the target's last event. The relay
    /// asks while it has nothing to publish. A target that cannot tell only gives a sign of life.
    fn ends_with(&self, last: EventRef) -> impl Future<Output = Result<bool, TargetError>> + Send {
        let _ = last;
        async { self.look().await.map(|()| true) }
    }

    /// Gets ready for what this term publishes, and says after which event to go on. Called first,
    /// and again after every fault: what was published before counts only as far as the target
    /// itself shows it.
    ///
    /// A target that finds itself to be of another log says so, by [`Resuming::is_over`] and
    /// [`Resuming::prove`].
    fn resume(
        &self,
        resuming: &Resuming<'_>,
    ) -> impl Future<Output = Result<Resumed, ResumeError>> + Send;

    /// Encodes the first of these events, at least one and as many as one publish may hold.
    fn encode(&self, events: &[RecordedEvent], epoch: Epoch) -> EncodedBatch<Self::Batch>;

    /// Publishes a batch, of which the first event follows `after`, and waits until the target has
    /// stored all of it. A target that can refuse a leader of an older term does.
    fn publish(
        &self,
        batch: Self::Batch,
        after: EventRef,
        term: Term,
    ) -> impl Future<Output = Result<(), NotPublished>> + Send;

    /// Tells those who read from the target how far the log goes, apart from the events. A target
    /// without a way to do so does nothing.
    fn tell_head(&self, head: Head) -> impl Future<Output = Result<(), TargetError>> + Send {
        let _ = head;
        async { Ok(()) }
    }
}

/// What one publish takes.
#[derive(Debug)]
pub struct EncodedBatch<B> {
    /// The events as the target takes them.
    pub batch: B,
    /// How many of the events it holds, from the first on.
    pub count: usize,
    /// How many of them are too large for the target and only say where to read.
    pub stubs: usize,
}

/// The target does not answer, or cannot be used as it is: why, in words that name it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(pub String);

/// A batch is not known to be stored. What is stored shows when the relay resumes.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct NotPublished {
    /// The kind of fault: one of a few words, the label `result` of `relay_published_total`.
    pub kind: &'static str,
    /// What happened, in words for people.
    pub why: String,
}
