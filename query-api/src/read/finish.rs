//! Reads that go on to their end, whether or not somebody still waits for them.
//!
//! A read that stops in the middle of a statement would leave its connection in the middle of an
//! answer, and cost it. So a read whose caller hangs up goes on in a task of its own. Other reads
//! need no task, which costs a wake-up and a change of threads.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use tokio::runtime::Handle;

use super::failure::ReadError;

/// Runs a read to its end.
///
/// # Errors
/// Those of the read, and [`ReadError::Panicked`].
pub(super) async fn finish<T: Send + 'static>(
    read: impl Future<Output = Result<T, ReadError>> + Send + 'static,
) -> Result<T, ReadError> {
    let read = AssertUnwindSafe(read).catch_unwind();
    Finishing(Some(Box::pin(read))).await.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> ReadError {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    ReadError::Panicked(message.unwrap_or("without a message").to_owned().into())
}

/// A read that has not finished.
struct Finishing<F: Future<Output: Send + 'static> + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output: Send + 'static> + Send + 'static> Future for Finishing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // A future is not polled after its end.
        let Some(read) = &mut self.0 else { return Poll::Pending };
        let done = read.as_mut().poll(context);
        if done.is_ready() {
            self.0 = None;
        }
        done
    }
}

impl<F: Future<Output: Send + 'static> + Send + 'static> Drop for Finishing<F> {
    fn drop(&mut self) {
        // Without a runtime, the process is at its end.
        if let (Some(rest), Ok(_)) = (self.0.take(), Handle::try_current()) {
            tokio::spawn(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_read_ends_although_its_caller_hung_up() {
        let (go_on, gone_on) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let read = finish(async {
            gone_on.await.unwrap();
            end.send(()).unwrap();
            Ok(())
        });
        assert!(tokio::time::timeout(Duration::from_secs(1), read).await.is_err());
        go_on.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(1), ended).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_read_that_panics_is_an_error() {
        let panics = async || -> Result<(), ReadError> { panic!("of a test") };
        let error = finish(panics()).await.unwrap_err();
        assert!(matches!(&error, ReadError::Panicked(why) if why.to_string() == "of a test"));
        assert_eq!(finish(async { Ok(7) }).await.unwrap(), 7);
    }
}
