//! A process-wide budget, in bytes, for request bodies in memory. A request beyond it is answered
//! with 503. Without it, endless bodies would fill the memory.
//!
//! It counts the bytes that a body's reader has received. Unread bytes stay in the connection: at
//! most one HTTP/1 read buffer or one HTTP/2 window, each 64 KiB.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};

const BODY_BYTES: &str = "http_server_request_body_bytes";

/// The budget for request bodies held at once, in bytes. Clones share one budget.
#[derive(Debug, Clone)]
pub struct BodyBudget(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    limit: usize,
    held: AtomicUsize,
}

/// The error when a body's bytes would exceed the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process holds as many bytes of request bodies as it may")]
pub struct OverBudget;

/// The bytes that one request has taken from the budget. Dropping it returns them.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: BodyBudget,
    bytes: AtomicUsize,
}

impl BodyBudget {
    /// Creates a budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Budget { limit, held: AtomicUsize::new(0) }))
    }

    /// The number of bytes held now.
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    pub(super) fn reservation(&self) -> Arc<Reservation> {
        Arc::new(Reservation { budget: self.clone(), bytes: AtomicUsize::new(0) })
    }
}

impl Reservation {
    fn take(&self, bytes: usize) -> Result<(), OverBudget> {
        let Budget { limit, held } = &*self.budget.0;
        let with = |held: usize| held.checked_add(bytes).filter(|held| held <= limit);
        held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with).map_err(|_| OverBudget)?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        #[allow(clippy::cast_precision_loss, reason = "a body has at most 64 KiB")]
        metrics::gauge!(BODY_BYTES).increment(bytes as f64);
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        if bytes > 0 {
            self.budget.0.held.fetch_sub(bytes, Ordering::Relaxed);
            #[allow(clippy::cast_precision_loss, reason = "a body has at most 64 KiB")]
            metrics::gauge!(BODY_BYTES).decrement(bytes as f64);
        }
    }
}

/// A request body whose bytes count against the budget.
pub(super) struct Budgeted<B> {
    body: B,
    reservation: Arc<Reservation>,
}

impl<B> Budgeted<B> {
    pub(super) fn new(body: B, reservation: Arc<Reservation>) -> Self {
        Self { body, reservation }
    }
}

impl<B> Body for Budgeted<B>
where
    B: Body<Data = Bytes, Error: Into<axum::BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(Into::into)?;
            self.reservation.take(frame.data_ref().map_or(0, Bytes::len))?;
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Describes the budget's metric.
pub(super) fn describe() {
    metrics::describe_gauge!(BODY_BYTES, metrics::Unit::Bytes, "Request body bytes held in memory");
}
