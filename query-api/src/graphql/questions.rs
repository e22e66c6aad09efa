//! When questions are asked: only when the execution cannot go on without an answer.
//!
//! The execution resolves as many fields as it can, and all of them put their questions here. When
//! it waits for nothing but answers, the questions are asked together: loads of one kind are one
//! statement, however many rows are above them. So the number of statements depends on the document
//! and not on the rows, nor on the clock. (A data loader on its own waits for a moment, and on a
//! busy machine the moment is over before all keys are there.)
//!
//! Nothing is lost by asking level by level, because a snapshot answers one question after the
//! other anyway.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::{BoxFuture, join_all, poll_fn};
use futures::task::AtomicWaker;

/// A question on its way to the snapshot. It hands its answer to who asked.
type Question = BoxFuture<'static, ()>;

/// The questions of one execution that are not asked yet. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Questions(Arc<Mutex<Vec<Question>>>);

impl Questions {
    /// Adds a question, to be asked with the others of its level.
    pub(super) fn add(&self, question: Question) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(question);
    }

    fn take(&self) -> Vec<Question> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Runs an execution to its end, and asks its questions whenever it waits for them.
    pub(super) async fn answer<T>(&self, execution: impl Future<Output = T>) -> T {
        let mut execution = pin!(execution);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            let step = poll_fn(|context| {
                woken.outer.register(context.waker());
                woken.is_woken.store(false, Ordering::SeqCst);
                match execution.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(done) => Poll::Ready(Some(done)),
                    // It only let others have a turn, or it waits for something else.
                    Poll::Pending if woken.is_woken.load(Ordering::SeqCst) => Poll::Pending,
                    Poll::Pending if self.is_empty() => Poll::Pending,
                    Poll::Pending => Poll::Ready(None),
                }
            });
            if let Some(done) = step.await {
                return done;
            }
            join_all(self.take()).await;
        }
    }
}

/// Wakes the task of an execution, and remembers that it did.
#[derive(Default)]
struct Woken {
    is_woken: AtomicBool,
    outer: AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.outer.wake();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures::channel::oneshot;

    use super::*;

    /// Lets others have a turn, as a list of many fields does.
    async fn give_way() {
        let mut gave = false;
        let turn = poll_fn(|context| {
            if std::mem::replace(&mut gave, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        });
        turn.await;
    }

    /// Asks a question, which is noted under this name.
    async fn ask(questions: &Questions, asked: &Arc<Mutex<Vec<usize>>>, name: usize) {
        let (reply, answer) = oneshot::channel();
        let asked = Arc::clone(asked);
        questions.add(Box::pin(async move {
            asked.lock().unwrap().push(name);
            reply.send(()).unwrap();
        }));
        answer.await.unwrap();
    }

    #[tokio::test]
    async fn questions_are_asked_level_by_level_also_when_some_fields_take_turns() {
        let (questions, asked) = (Questions::default(), Arc::default());
        let field = |name: usize| {
            let (questions, asked) = (&questions, &asked);
            async move {
                for _ in 0..name {
                    give_way().await;
                }
                ask(questions, asked, name).await;
                for _ in name..7 {
                    give_way().await;
                }
                ask(questions, asked, 10 + name).await;
            }
        };
        questions.answer(join_all((0..7).map(field))).await;
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 14);
        assert!(asked[..7].iter().all(|name| *name < 10), "{asked:?}");
        assert!(asked[7..].iter().all(|name| *name >= 10), "{asked:?}");
    }

    #[tokio::test]
    async fn an_execution_may_wait_for_something_else() {
        let questions = Questions::default();
        let (reply, answer) = oneshot::channel();
        tokio::spawn(async move { reply.send(7) });
        assert_eq!(questions.answer(async { answer.await.unwrap() }).await, 7);
    }
}
