//! Hears the warnings of Postgres during a call, which the client library passes to `tracing`
//! alone.
//!
//! One of them changes what an answer means: when somebody cancels a commit that waits for a
//! synchronous standby, Postgres answers as for any commit and adds a warning (01000) that it may
//! not have been replicated. Such an answer is no acknowledgement. A call has no other warning, so
//! every warning counts.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::instrument::WithSubscriber;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, NoSubscriber};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher};

/// Where sqlx writes what Postgres had to say in addition to the answer.
const TARGET: &str = "sqlx::postgres::notice";

/// Listens during calls; whatever is logged meanwhile goes on to where it went before.
pub(crate) struct Notices {
    warned: Arc<AtomicBool>,
    dispatch: Dispatch,
    /// While there is but one dispatcher, `tracing` asks the current default alone whether anybody
    /// wants a log statement, and keeps the answer: in a program without a subscriber, a notice
    /// outside a call would make those in calls unheard. So there are two.
    _second: Dispatch,
}

impl Notices {
    pub(crate) fn new() -> Self {
        let warned = Arc::new(AtomicBool::new(false));
        let outer = dispatcher::get_default(Clone::clone);
        let most = LevelFilter::current().max(LevelFilter::WARN);
        let second = Dispatch::new(NoSubscriber::default());
        Self {
            dispatch: Dispatch::new(Listener { outer, most, warned: Arc::clone(&warned) }),
            warned,
            _second: second,
        }
    }

    /// Runs a call to its end; `true` when Postgres warned of something meanwhile.
    pub(crate) async fn during<F: Future>(&self, call: F) -> (F::Output, bool) {
        self.warned.store(false, Ordering::Release);
        let output = call.with_subscriber(self.dispatch.clone()).await;
        (output, self.warned.load(Ordering::Acquire))
    }
}

struct Listener {
    outer: Dispatch,
    most: LevelFilter,
    warned: Arc<AtomicBool>,
}

fn is_warning(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET && *metadata.level() <= Level::WARN
}

impl Subscriber for Listener {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_warning(metadata) {
            Interest::sometimes()
        } else {
            self.outer.register_callsite(metadata)
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_warning(metadata) || self.outer.enabled(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        let warning = is_warning(event.metadata());
        if warning {
            self.warned.store(true, Ordering::Release);
        }
        if !warning || self.outer.enabled(event.metadata()) {
            self.outer.event(event);
        }
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.outer.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.outer.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.outer.record_follows_from(span, follows);
    }

    fn enter(&self, span: &Id) {
        self.outer.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.outer.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.outer.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.outer.try_close(id)
    }
}
