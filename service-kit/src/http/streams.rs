//! Answers that last (server-sent events, say) have a limit of their own: each keeps its
//! connection busy for as long as it likes, so that without one they would starve the rest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::problem::Problem;

/// How many long-lived answers a process gives at once unless it is told otherwise: a quarter of
/// its connections.
pub const MAX_LONG_ANSWERS: usize = 256;
/// When another try is worth it once all are taken, in seconds.
const RETRY_AFTER: u64 = 5;

/// The long-lived answers of a process.
///
/// ```
/// # use axum::body::Body;
/// # use service_kit::{Problem, http::LongAnswers, shutdown::Shutdown};
/// fn events(answers: &LongAnswers, updates: Body) -> Result<Body, Problem> {
///     Ok(answers.begin()?.with(updates))
/// }
/// let answers = LongAnswers::new(1, Shutdown::manual().drain());
/// let first = events(&answers, Body::empty()).unwrap();
/// assert_eq!(events(&answers, Body::empty()).unwrap_err().status(), 503);
/// ```
#[derive(Debug, Clone)]
pub struct LongAnswers {
    free: Arc<Semaphore>,
    drain: CancellationToken,
}

/// The place of one long-lived answer. Begun before the work that its answer needs.
#[derive(Debug)]
pub struct LongAnswer {
    place: OwnedSemaphorePermit,
    drain: CancellationToken,
}

impl LongAnswers {
    /// At most so many at once; all of them end with the drain.
    pub fn new(limit: usize, drain: CancellationToken) -> Self {
        Self { free: Arc::new(Semaphore::new(limit)), drain }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// 503: all are taken.
    pub fn begin(&self) -> Result<LongAnswer, Problem> {
        let full = |_| Problem::shed("too-many-streams", "Too many clients follow along", RETRY_AFTER);
        let place = Arc::clone(&self.free).try_acquire_owned().map_err(full)?;
        Ok(LongAnswer { place, drain: self.drain.clone() })
    }
}

impl LongAnswer {
    /// The body, which keeps the place until it ends or the drain begins.
    pub fn with(self, body: Body) -> Body {
        Body::new(Long { body, _place: self.place, drained: Box::pin(self.drain.cancelled_owned()) })
    }
}

struct Long {
    body: Body,
    _place: OwnedSemaphorePermit,
    drained: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl hyper::body::Body for Long {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.drained.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_long_answer_keeps_its_place_until_it_ends_and_the_drain_ends_it() {
        let drain = CancellationToken::new();
        let answers = LongAnswers::new(1, drain.clone());
        let endless = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let body = answers.begin().unwrap().with(endless());
        let refused = answers.begin().unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code(), refused.is_shed()), (503, "too-many-streams", true));
        drop(body);
        let body = answers.begin().unwrap().with(endless());
        drain.cancel();
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
        assert!(answers.begin().is_ok());
    }
}
