//! Resolves the events of subscriptions.
//!
//! What an event asks for beyond its row is loaded as for a query: level by level, in a snapshot
//! that is opened by the first question. A read that fails is an error of its event, and the
//! subscription goes on.
//!
//! The library resolves an event once. If the tables are switched under it, its reader would ask
//! again in a new snapshot: then the same event is handed to the library once more instead, and
//! what was resolved is dropped.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute};
use async_graphql::{Data, Response};
use service_kit::Problem;

use super::Subscriber;
use crate::graphql::asking::{Asking, Outcome, Shared};
use crate::graphql::execute::meta;
use crate::graphql::failure::server_error;
use crate::graphql::questions::Questions;

/// How often an event is resolved at most.
const MAX_TRIES: usize = 3;

/// Whether an event is resolved again.
#[derive(Debug, Default)]
pub(in crate::graphql) struct Again {
    is_wanted: AtomicBool,
    tries: AtomicUsize,
}

impl Again {
    /// Whether what was resolved last is dropped, because its event comes again.
    pub(in crate::graphql) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Acquire)
    }

    /// Whether the last event comes again, which it then does.
    pub(super) fn takes(&self) -> bool {
        self.is_wanted.swap(false, Ordering::AcqRel)
    }

    /// Asks for the event once more, unless it was resolved often enough. Returns whether it comes.
    fn asks(&self) -> bool {
        let is_wanted = self.tries.fetch_add(1, Ordering::AcqRel) + 1 < MAX_TRIES;
        if is_wanted {
            self.is_wanted.store(true, Ordering::Release);
        } else {
            self.is_done();
        }
        is_wanted
    }

    /// The event is resolved.
    fn is_done(&self) {
        self.tries.store(0, Ordering::Release);
    }
}

/// Gives the fields of each event of a subscription what they ask.
#[derive(Debug, Clone, Copy)]
pub(in crate::graphql) struct Events;

impl ExtensionFactory for Events {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(*self)
    }
}

#[async_trait]
impl Extension for Events {
    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        match ctx.data_opt::<Subscriber>() {
            Some(subscriber) => resolve(subscriber, ctx, operation_name, next).await,
            None => next.run(ctx, operation_name).await,
        }
    }
}

/// Resolves one event.
async fn resolve(
    subscriber: &Subscriber,
    ctx: &ExtensionContext<'_>,
    operation_name: Option<&str>,
    next: NextExecute<'_>,
) -> Response {
    let Subscriber { api, caller, request_id, again, .. } = subscriber;
    let (next, resolved) = (Mutex::new(Some(next)), Mutex::new(None));
    let is_asked_again = AtomicBool::new(false);
    let done = api.reader.snapshot(None, |snapshot| {
        let next = next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (api, caller) = (api.clone(), caller.clone());
        let shared = Shared::of_event(api, caller, request_id.clone(), snapshot);
        let (resolved, is_asked_again) = (&resolved, &is_asked_again);
        async move {
            let Some(next) = next else {
                is_asked_again.store(true, Ordering::Release);
                return;
            };
            let (questions, mut data) = (Questions::default(), Data::default());
            data.insert(Asking::new(Arc::clone(&shared), questions.clone()));
            let response = questions.answer(next.run_with_data(ctx, operation_name, data)).await;
            let outcome = shared.outcome();
            *resolved.lock().unwrap_or_else(PoisonError::into_inner) = Some((response, outcome));
        }
    });
    let failed = done.await.err();
    let resolved = resolved.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (response, Outcome { seen, failure }) = resolved.unwrap_or_default();
    if is_asked_again.into_inner() && again.asks() {
        return response;
    }
    again.is_done();
    let failure: Option<Problem> = failure.or(failed).map(Problem::from);
    match failure {
        Some(problem) => refused(response, &problem, request_id),
        None if seen.is_some() => response.extension("meta", meta(api, request_id, seen.as_ref())),
        None => response,
    }
}

/// Says why fields have no value, in the place of errors that say nothing.
fn refused(mut response: Response, problem: &Problem, request_id: &str) -> Response {
    let (internal, why) = (Problem::internal(), server_error(problem, request_id));
    for error in &mut response.errors {
        let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
        if code == Some(&internal.code().into()) {
            error.message.clone_from(&why.message);
            error.extensions.clone_from(&why.extensions);
        }
    }
    if response.errors.is_empty() {
        response.errors.push(why);
    }
    response
}
