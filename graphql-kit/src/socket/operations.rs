//! The open operations of a socket.

use std::collections::HashMap;

use futures::future::ready;
use futures::stream::{AbortHandle, Abortable, BoxStream, SelectAll, StreamExt as _, once};

use super::Output;

/// The open operations of a socket. Each gets its turn.
#[derive(Default)]
pub(super) struct Operations {
    /// What they say, with their ids. Each says nothing at its end.
    steps: SelectAll<BoxStream<'static, (String, Option<Output>)>>,
    open: HashMap<String, AbortHandle>,
}

impl Operations {
    /// Whether an operation has this id.
    pub(super) fn has(&self, id: &str) -> bool {
        self.open.contains_key(id)
    }

    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// Begins an operation with an id that none has.
    pub(super) fn begin(&mut self, id: &str, outputs: BoxStream<'static, Output>) {
        let (handle, registration) = AbortHandle::new_pair();
        let name = id.to_owned();
        let steps = outputs.map(Some).chain(once(ready(None)));
        let steps = steps.map(move |step| (name.clone(), step));
        self.steps.push(Abortable::new(steps, registration).boxed());
        self.open.insert(id.to_owned(), handle);
    }

    /// Ends an operation, if there is one. It says nothing more.
    pub(super) fn stop(&mut self, id: &str) {
        if let Some(handle) = self.open.remove(id) {
            handle.abort();
        }
    }

    /// What one of them says next; nothing if it is complete. `None` while there are none.
    pub(super) async fn next(&mut self) -> Option<(String, Option<Output>)> {
        self.steps.next().await
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::Response;
    use futures::stream::{iter, repeat_with};

    use super::*;

    fn answer() -> Output {
        Output::Next(Response::default())
    }

    #[tokio::test]
    async fn each_operation_has_its_turn_and_one_that_was_stopped_says_nothing_more() {
        let mut operations = Operations::default();
        operations.begin("endless", repeat_with(answer).boxed());
        operations.begin("short", iter([answer()]).boxed());
        let mut steps = Vec::new();
        while !matches!(steps.last(), Some((id, None)) if id == "short") {
            steps.extend(operations.next().await);
        }
        assert!(steps.len() < 10, "{steps:?}");
        operations.stop("short");
        assert!(operations.has("endless") && operations.count() == 1);
        operations.stop("endless");
        operations.begin("endless", iter([]).boxed());
        let next = operations.next().await;
        assert!(matches!(next, Some((_, None))), "{next:?}");
        assert!(operations.next().await.is_none());
    }
}
