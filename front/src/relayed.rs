//! The body of an API's answer on its way to the client. It is passed on as it comes: the API is
//! read only as fast as the client reads.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long an API may send nothing of an answer that it has begun. A stream that has no news sends
/// a comment more often than that.
pub(crate) const STALL_DEADLINE: Duration = Duration::from_mins(1);

/// The body of an answer. It holds its place among the requests of its API until it ends.
#[derive(Debug)]
pub(crate) struct Relayed<B = Incoming> {
    body: B,
    /// Runs while the API sends nothing.
    stalled: Pin<Box<Sleep>>,
    waiting: bool,
    end: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    _place: OwnedSemaphorePermit,
}

/// Why an answer broke off. The connection to the client is then closed without an end of the
/// answer, so that the client sees that a part is missing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    /// The connection to the API ended.
    #[error("the API ended its answer early")]
    Broken(#[source] hyper::Error),
    /// The API sent nothing for too long.
    #[error("the API sent nothing for {} s", STALL_DEADLINE.as_secs())]
    Stalled,
}

impl<B> Relayed<B> {
    pub(crate) fn new(body: B, place: OwnedSemaphorePermit) -> Self {
        let stalled = Box::pin(tokio::time::sleep(STALL_DEADLINE));
        Self { body, stalled, waiting: false, end: None, _place: place }
    }

    /// Ends the body when `drain` is cancelled. The client then connects again, to another process.
    #[must_use]
    pub(crate) fn until(self, drain: CancellationToken) -> Self {
        Self { end: Some(Box::pin(drain.cancelled_owned())), ..self }
    }
}

impl<B> Body for Relayed<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(end) = &mut self.end
            && end.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Cut::Broken)));
        }
        // The time in which the client did not read does not count.
        if !self.waiting {
            self.waiting = true;
            self.stalled.as_mut().reset(Instant::now() + STALL_DEADLINE);
        }
        ready!(self.stalled.as_mut().poll(context));
        Poll::Ready(Some(Err(Cut::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use http_body_util::BodyExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    /// A body that sends one frame, and then nothing.
    struct Silent(Option<Bytes>);

    impl Body for Silent {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            match self.0.take() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => Poll::Pending,
            }
        }
    }

    fn relayed() -> (Relayed<Silent>, Arc<Semaphore>) {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        (Relayed::new(Silent(Some(Bytes::from_static(b"a"))), place), places)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_stalls_is_cut_and_its_place_is_free_again() {
        let (mut body, places) = relayed();
        // A client that is slow to begin costs the API nothing.
        tokio::time::advance(STALL_DEADLINE * 2).await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        let since = Instant::now();
        assert!(matches!(body.frame().await, Some(Err(Cut::Stalled))));
        assert_eq!(since.elapsed(), STALL_DEADLINE);
        assert_eq!(places.available_permits(), 0);
        drop(body);
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_the_process_drains() {
        let drain = CancellationToken::new();
        let (body, _places) = relayed();
        let mut body = body.until(drain.clone());
        assert!(body.frame().await.unwrap().is_ok());
        drain.cancel();
        assert!(body.frame().await.is_none());
    }
}
