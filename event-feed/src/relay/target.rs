//! The port to a relay target. The relay's loop, lease and error handling know nothing else of a
//! target.
//!
//! A target may tell where it ends ([`Resumed::After`]). If it also refuses what does not follow,
//! it gets every event exactly once. A target that cannot tell ([`Resumed::ByCursor`]) gets events
//! at least once: the relay keeps a cursor next to its lease, and repeats the current batch after a
//! fault. If it lost everything ([`Resumed::Emptied`]), the cursor begins again. In any case, events
//! first arrive in log order, and none is skipped.
//!
//! Every call to a target must end by itself within a few seconds. The relay waits without a
//! separate limit; a call that hangs shows in the relay's pulse.

use event_store::{Epoch, EventRef, Head, RecordedEvent};
use postgres_kit::Term;

use super::resume::{ResumeError, Resumed, Resuming};

/// A target to which the relay publishes the log.
pub trait RelayTarget: Send + Sync + 'static {
    /// The events of one publish, in the target's encoding of
    /// [`CloudEvent`](crate::cloud_event::CloudEvent).
    type Batch: Send;

    /// The name of the target's lease, cursor and health component. It is unique among the targets
    /// of one log, and never changes.
    fn name(&self) -> &'static str;

    /// Whether the connection is up, as far as is known without asking.
    fn is_connected(&self) -> bool {
        true
    }

    /// Checks that the target could take events.
    fn look(&self) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Whether `last`, the last published event, is still the target's last event. The relay asks
    /// while it has nothing to publish. A target that cannot tell only checks that it is alive.
    fn ends_with(&self, last: EventRef) -> impl Future<Output = Result<bool, TargetError>> + Send {
        let _ = last;
        async { self.look().await.map(|()| true) }
    }

    /// Prepares for publishing in this term, and returns where to continue. It is called first, and
    /// again after every fault: earlier publishes count only as far as the target itself shows
    /// them.
    ///
    /// A target detects with [`Resuming::is_over`] and [`Resuming::prove`] that it belongs to
    /// another log.
    fn resume(
        &self,
        resuming: &Resuming<'_>,
    ) -> impl Future<Output = Result<Resumed, ResumeError>> + Send;

    /// Prepares a target that [`Resumed::Emptied`] described, after its cursor began again. Only now
    /// may the target look as if it had what the cursor says.
    fn begin(&self) -> impl Future<Output = Result<(), TargetError>> + Send {
        async { Ok(()) }
    }

    /// Encodes the first of these events: at least one, and as many as one publish may hold.
    fn encode(&self, events: &[RecordedEvent], epoch: Epoch) -> EncodedBatch<Self::Batch>;

    /// Publishes a batch whose first event follows `after`, and waits until the target has stored
    /// all of it. If the target can refuse leaders with an older term, it must.
    fn publish(
        &self,
        batch: Self::Batch,
        after: EventRef,
        term: Term,
    ) -> impl Future<Output = Result<(), NotPublished>> + Send;

    /// Releases what only a leader may hold. The relay does not lead any more.
    fn leave(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Announces the log's head to the target's readers, apart from the events. A target without a
    /// way to do so does nothing.
    fn tell_head(&self, head: Head) -> impl Future<Output = Result<(), TargetError>> + Send {
        let _ = head;
        async { Ok(()) }
    }
}

/// The content of one publish.
#[derive(Debug)]
pub struct EncodedBatch<B> {
    /// The events in the target's encoding.
    pub batch: B,
    /// The number of events that it contains, counted from the first.
    pub count: usize,
    /// The number of stubs: events that are too large and only tell readers to use the store.
    pub stubs: usize,
}

/// The target does not answer or cannot be used; the text says why and names the target.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(pub String);

/// It is not known whether a batch was stored. The next resume shows what is.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct NotPublished {
    /// The kind of fault: a short fixed word, used as the label `result` of
    /// `relay_published_total`.
    pub kind: &'static str,
    /// A description for people.
    pub why: String,
}
