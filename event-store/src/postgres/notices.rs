//! Detects Postgres warnings during a call. The client library passes them only to `tracing`.
//!
//! One warning changes the meaning of an answer. If somebody cancels a commit that waits for a
//! synchronous standby, Postgres answers as for any commit. It adds a warning (01000) that the
//! commit may not have been replicated. Such an answer is no acknowledgement. A call causes no
//! other warning, so every warning counts.
//!
//! sqlx has no other way to hand out notices, and a second driver for the append's connection would
//! double the code that judges errors, deadlines and statements. So this module listens to sqlx's
//! log target. Tests fail when an upgrade of sqlx moves it: the one below on any server, and
//! `tests/it/standby.rs` with a real standby.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::instrument::WithSubscriber;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, NoSubscriber};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher};

/// The target under which sqlx logs Postgres notices.
const TARGET: &str = "sqlx::postgres::notice";

/// Listens during calls. All log output still reaches its previous subscriber.
pub(crate) struct Notices {
    warned: Arc<AtomicBool>,
    dispatch: Dispatch,
    /// A second dispatcher. With only one, `tracing` asks just the current default whether a log
    /// statement is wanted, and caches the answer. In a program without a subscriber, a notice
    /// outside a call would then silence the notices in calls.
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

    /// Runs a call to its end; `true` when Postgres sent a warning meanwhile.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use local_servers::TestDatabase;
    use sqlx::{Connection as _, PgConnection};

    use super::*;

    const WARNING: &str = "DO $$ BEGIN RAISE WARNING 'on purpose'; END $$";
    const NOTICE: &str = "DO $$ BEGIN RAISE NOTICE 'on purpose'; END $$";

    /// If this fails after an upgrade of sqlx, commits that no standby has would be acknowledged.
    #[tokio::test]
    async fn a_warning_of_a_real_server_is_heard_and_only_during_the_call() {
        let database = TestDatabase::create("empty", "1", |_| async { Ok(()) }).await;
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        let notices = Notices::new();
        for (raise, is_warning) in [(WARNING, true), (NOTICE, false), (WARNING, true)] {
            let call = sqlx::raw_sql(raise).execute(&mut connection);
            let (done, warned) = notices.during(call).await;
            done.unwrap();
            assert_eq!(warned, is_warning, "{raise}");
        }
        sqlx::raw_sql(WARNING).execute(&mut connection).await.unwrap();
        let ((), warned) = notices.during(async {}).await;
        assert!(!warned, "the call caused no warning");
    }
}
