//! Group commit: the appends of a process form batches. Each batch is one call and one commit.
//!
//! States of a request: queued → sent → answered. A caller that gives up removes it from the queue
//! (queued → given up); after sending this is no longer possible. Guarantees:
//! - One batch is in flight at a time. Appends that arrive meanwhile form the next one; no append
//!   waits for a timer.
//! - Members of a batch do not affect each other, except for chains in which each names its
//!   predecessor. An append that would affect another one waits for the next batch, in order
//!   (`conflict.rs`).
//! - A batch whose answer was lost is sent again unchanged. Members that were appended before are
//!   recognised by their ids.
//! - A batch that fails because of its data is halved until the faulty append is alone.
//! - The task owns the connection, so a dropped future leaves nothing behind.
//! - Every wait is bounded: the queue in appends and bytes, each request by a deadline.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use self::conflict::ConflictSet;
use self::sender::{Sender, TOGETHER};
use super::PostgresOptions;
use super::continuity::Continuity;
use super::wake::Waker;
use crate::append::AppendOutcome;
use crate::append::prepared::{MAX_APPEND_BYTES, Prepared};
use crate::error::StoreError;
use crate::pulse::Pulse;

mod conflict;
mod metrics;
mod sender;

/// The maximum number of appends in one batch. With more writers, two groups take turns: while one
/// is appended, the other one gathers.
pub(crate) const MAX_BATCH: usize = 512;
/// The maximum size of one batch in bytes. A single append always fits.
pub(crate) const MAX_BATCH_BYTES: usize = 2 * MAX_APPEND_BYTES;
/// The maximum size of the queue, in kibibytes.
const MAX_QUEUED_KIB: usize = 64 * 1_024;

const QUEUED: u8 = 0;
const SENT: u8 = 1;
const GIVEN_UP: u8 = 2;

type Reply = Result<AppendOutcome, StoreError>;

/// The queue to which callers submit their appends.
pub(crate) struct Batcher {
    queue: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    deadline: std::time::Duration,
    state: BatcherState,
    waiting: metrics::Queue,
}

/// The state of the task that sends the batches. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct BatcherState {
    /// The pulse, which beats while there are batches.
    pub(crate) pulse: Pulse,
    /// Whether the last batch got no answer. Then it is unknown whether appends get through.
    in_doubt: Arc<AtomicBool>,
}

impl BatcherState {
    /// Whether the last batch leaves it unknown if appends get through.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }

    fn doubt(&self, in_doubt: bool) {
        self.in_doubt.store(in_doubt, Ordering::Relaxed);
    }
}

/// An append in the queue or in flight.
pub(crate) struct Request {
    prepared: Prepared,
    conflict_set: ConflictSet,
    state: Arc<AtomicU8>,
    deadline: Instant,
    reply: oneshot::Sender<Reply>,
    _room: OwnedSemaphorePermit,
}

impl Batcher {
    /// Starts the task that sends the batches. It ends when the batcher is dropped and its queue is
    /// empty.
    pub(crate) fn start(
        options: Arc<PostgresOptions>,
        continuity: Arc<Continuity>,
        waker: Waker,
    ) -> Self {
        let (queue, requests) = mpsc::channel(options.max_queued);
        let deadline = options.append_deadline;
        let state = BatcherState::default();
        tokio::spawn(run(
            requests,
            Sender::new(options, continuity, waker, state.clone()),
            state.pulse.clone(),
        ));
        let room = Arc::new(Semaphore::new(MAX_QUEUED_KIB));
        Self { queue, room, deadline, state, waiting: metrics::Queue::new() }
    }

    /// The state of the sending task.
    pub(crate) const fn state(&self) -> &BatcherState {
        &self.state
    }

    /// Queues an append and waits for its outcome.
    pub(crate) async fn append(&self, prepared: Prepared) -> Reply {
        let kib = u32::try_from(prepared.bytes / 1_024 + 1)
            .map_err(|_| StoreError::Invalid("it is too large".into()))?;
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(kib)
            .map_err(|_| StoreError::Unavailable(None))?;
        let (reply, answer) = oneshot::channel();
        let state = Arc::new(AtomicU8::new(QUEUED));
        let deadline = Instant::now() + self.deadline;
        let conflict_set = ConflictSet::of(&prepared);
        let request = Request {
            prepared,
            conflict_set,
            state: Arc::clone(&state),
            deadline,
            reply,
            _room: room,
        };
        self.queue.try_send(request).map_err(|_| StoreError::Unavailable(None))?;
        let _waiting = self.waiting.wait();
        let answered = timeout_at(deadline, answer).await;
        if answered.is_err() {
            // Set this before the caller gets its answer: a readiness check that follows must not
            // see the old state.
            self.state.doubt(true);
        }
        match answered {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) | Err(_) if give_up(&state) => Err(StoreError::Unavailable(None)),
            Ok(Err(_)) | Err(_) => Err(StoreError::OutcomeUnknown(None)),
        }
    }
}

/// Withdraws a request that was not sent yet.
fn give_up(state: &AtomicU8) -> bool {
    state.compare_exchange(QUEUED, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

impl Request {
    /// Marks the request as sent; false when its caller has given up.
    fn mark_sent(&self) -> bool {
        let marked = self.state.compare_exchange(QUEUED, SENT, Ordering::AcqRel, Ordering::Acquire);
        !matches!(marked, Err(GIVEN_UP))
    }

    /// Marks the request as queued again: the attempt certainly had no effect.
    fn mark_queued(&self) {
        // The caller cannot have given up meanwhile, since the state was SENT.
        self.state.store(QUEUED, Ordering::Release);
    }

    fn is_wanted(&self) -> bool {
        !self.reply.is_closed() && self.state.load(Ordering::Acquire) != GIVEN_UP
    }

    fn answer(self, reply: Reply) {
        // A caller that dropped its future needs no answer.
        drop(self.reply.send(reply));
    }
}

async fn run(mut requests: mpsc::Receiver<Request>, mut sender: Sender, pulse: Pulse) {
    let mut pending = VecDeque::new();
    while let Some(first) = next(&mut pending, &mut requests).await {
        pulse.beat();
        pending.push_front(first);
        // Callers that were just answered are ready to run and may submit their next append.
        // Letting them run first fills the batch. If enough others wait, skip this: Postgres would
        // be idle until all of them had run.
        if pending.len() + requests.len() < TOGETHER {
            tokio::task::yield_now().await;
        }
        while pending.len() < requests.max_capacity()
            && let Ok(request) = requests.try_recv()
        {
            pending.push_back(request);
        }
        let batch = pick(&mut pending);
        if AssertUnwindSafe(sender.send(batch, || pending.len() + requests.len()))
            .catch_unwind()
            .await
            .is_err()
        {
            tracing::error!("the sender of batches panicked; it continues with a new connection");
            sender.disconnect();
        }
        pulse.rest();
    }
}

async fn next(
    pending: &mut VecDeque<Request>,
    requests: &mut mpsc::Receiver<Request>,
) -> Option<Request> {
    match pending.pop_front() {
        Some(request) => Some(request),
        None => requests.recv().await,
    }
}

/// Takes the next batch from the queue, in order. It leaves out appends that conflict with an
/// earlier one.
fn pick(pending: &mut VecDeque<Request>) -> Vec<Request> {
    let members = pending.len().min(MAX_BATCH);
    let mut before = conflict::ConflictSets::with_capacity(members);
    let mut batch = Vec::with_capacity(members);
    let mut bytes = 0;
    let mut rest = VecDeque::new();
    let mut full = false;
    for request in pending.drain(..) {
        if !request.is_wanted() {
            continue;
        }
        full = full || batch.len() == MAX_BATCH || bytes + request.prepared.bytes > MAX_BATCH_BYTES;
        if full {
            rest.push_back(request);
            continue;
        }
        if before.affects(&request.conflict_set) {
            // Appends left out count too: a later append that conflicts with one stays behind it.
            before.pass_over(&request.conflict_set);
            rest.push_back(request);
        } else {
            before.join(&request.conflict_set);
            bytes += request.prepared.bytes;
            batch.push(request);
        }
    }
    *pending = rest;
    batch
}
