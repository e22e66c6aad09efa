//! The body of an answer, which knows what of it waits for its client.
//!
//! What a body gives away, h2 keeps until the client has room for it, and by then the body is gone.
//! So the bytes themselves tell when they leave.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Buf, Frame, SizeHint};

use super::connections::{InFlight, Sending};

/// An answer's body. The connection counts as busy until it is sent or dropped.
pub(super) struct Answer {
    body: Body,
    /// What follows the part that was given away last.
    rest: Option<Bytes>,
    kept: Kept,
}

/// What lives as long as an answer.
enum Kept {
    /// Over HTTP/1, only one answer is sent at a time.
    Http1(#[expect(dead_code, reason = "it is only held")] InFlight),
    /// Over HTTP/2, until its bytes have left.
    Http2(Arc<Sending>),
}

/// Bytes of an answer.
pub(super) struct Part {
    bytes: Bytes,
    /// Over HTTP/2, the answer whose bytes they are.
    of: Option<Arc<Sending>>,
}

impl Answer {
    /// The body of an answer over HTTP/1.
    pub(super) const fn of_http1(body: Body, in_flight: InFlight) -> Self {
        Self { body, rest: None, kept: Kept::Http1(in_flight) }
    }

    /// The body of an answer over HTTP/2.
    pub(super) fn of_http2(body: Body, sending: Sending) -> Self {
        Self { body, rest: None, kept: Kept::Http2(Arc::new(sending)) }
    }

    /// Gives bytes away. Over HTTP/2, the last byte of all goes alone: hyper asks for it only once
    /// h2 has room for all before it, and until then the stream can be reset.
    fn give(&mut self, mut bytes: Bytes) -> Part {
        let Kept::Http2(sending) = &self.kept else { return Part { bytes, of: None } };
        if bytes.len() > 1 && self.rest.is_none() && self.body.is_end_stream() {
            self.rest = Some(bytes.split_off(bytes.len() - 1));
        }
        sending.wait(bytes.len());
        Part { bytes, of: Some(Arc::clone(sending)) }
    }
}

impl hyper::body::Body for Answer {
    type Data = Part;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Part>, axum::Error>>> {
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(self.give(rest)))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|bytes| self.give(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        if let Some(rest) = &self.rest {
            let rest = rest.len() as u64;
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(rest));
            }
            hint.set_lower(hint.lower().saturating_add(rest));
        }
        hint
    }
}

impl Part {
    fn left(&self, bytes: usize) {
        if let Some(sending) = &self.of {
            sending.left(bytes);
        }
    }
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.left(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        let copy = self.bytes.copy_to_bytes(length);
        self.left(length);
        copy
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // What was not sent is given up.
        self.left(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use http_body_util::BodyExt as _;

    use super::super::connections::Connections;
    use super::super::limits::Limits;
    use super::*;

    #[tokio::test]
    async fn the_last_byte_goes_alone_and_the_connection_is_busy_until_all_have_left() {
        let connections = Connections::new(Limits::default());
        let slot = connections.admit([192, 0, 2, 1].into()).unwrap();
        let activity = slot.activity();
        let sending = activity.send(activity.begin());
        let mut answer = Answer::of_http2(Body::from("hello"), sending);
        assert_eq!(answer.size_hint().exact(), Some(5));
        let mut first = answer.frame().await.unwrap().unwrap().into_data().ok().unwrap();
        assert_eq!(first.chunk(), b"hell");
        assert_eq!((answer.size_hint().exact(), answer.is_end_stream()), (Some(1), false));
        let last = answer.frame().await.unwrap().unwrap().into_data().ok().unwrap();
        assert!(last.chunk() == b"o" && answer.is_end_stream());
        drop(answer);
        first.advance(4);
        drop(first);
        assert!(activity.is_busy());
        drop(last);
        assert!(!activity.is_busy());
    }
}
