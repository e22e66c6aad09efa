//! What the fields of one request share: the snapshot, what they may see of it, and what it showed.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::{Caller, Permission, Scope};
use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};
use async_graphql::{Context, Error};
use futures::channel::oneshot;
use service_kit::Problem;
use tokio::sync::{OnceCell, OwnedSemaphorePermit};
use uuid::Uuid;

use super::failure::error;
use super::load::Rows;
use super::questions::Questions;
use crate::http::Api;
use crate::live::Live;
use crate::read::table::{ById, FindMany, MAX_IDS};
use crate::read::{Read, ReadError, Seen, Snapshot};

/// The value of a field: null if nothing is there, and null with an error if there is no answer.
/// The values of the other fields stay.
pub(super) type Answer<T> = Option<Result<T, Error>>;

/// The state of one execution, for its fields.
pub(super) struct Asking {
    shared: Arc<Shared>,
    questions: Questions,
    rows: DataLoader<Rows, HashMapCache>,
}

/// The part that loads share with the fields.
pub(super) struct Shared {
    pub(super) api: Api,
    pub(super) caller: Caller,
    pub(super) request_id: String,
    snapshot: Snapshot,
    turn: Option<Turn>,
    outcome: Mutex<Outcome>,
}

/// A turn among the reads for open streams. The first question takes it.
struct Turn {
    live: Live,
    taken: OnceCell<OwnedSemaphorePermit>,
}

/// What became of the questions of one execution.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The position that the answers show, if there are any.
    pub(super) seen: Option<Seen>,
    /// Why a question has no answer.
    pub(super) failure: Option<ReadError>,
}

/// A question has no answer. [`Outcome::failure`] says why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unanswered;

impl Shared {
    /// What the fields of this caller's request share in a snapshot.
    pub(super) fn new(
        api: Api,
        caller: Caller,
        request_id: String,
        snapshot: Snapshot,
    ) -> Arc<Self> {
        let outcome = Mutex::default();
        Arc::new(Self { api, caller, request_id, snapshot, turn: None, outcome })
    }

    /// The same for an event of a subscription, which waits for its turn before it asks anything.
    pub(super) fn of_event(
        api: Api,
        caller: Caller,
        request_id: String,
        snapshot: Snapshot,
    ) -> Arc<Self> {
        let turn = Some(Turn { live: api.live.clone(), taken: OnceCell::new() });
        let outcome = Mutex::default();
        Arc::new(Self { api, caller, request_id, snapshot, turn, outcome })
    }

    /// The rows that the caller may see with this permission.
    pub(super) fn scope(&self, permission: Permission) -> Result<Scope, Problem> {
        self.api.scope(&self.caller, permission)
    }

    /// Asks a question in the snapshot.
    pub(super) async fn ask<R: Read>(&self, question: R) -> Result<R::Answer, Unanswered> {
        if let Some(Turn { live, taken }) = &self.turn {
            taken.get_or_try_init(|| live.turn()).await.map_err(|problem| {
                tracing::error!(%problem, "there are no more turns to read");
                Unanswered
            })?;
        }
        let answer = self.snapshot.ask(question).await;
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(view) => {
                outcome.saw(view.seen);
                Ok(view.data)
            }
            Err(failure) => {
                outcome.failed(failure);
                Err(Unanswered)
            }
        }
    }

    /// Finds rows by their ids. Those that are not there, or not for the caller, are left out.
    pub(super) async fn find_many<R: ById>(
        &self,
        ids: Vec<Uuid>,
        permission: Permission,
    ) -> Result<Vec<R>, Unanswered> {
        // Who may not read them sees none.
        let Ok(scope) = self.scope(permission) else { return Ok(Vec::new()) };
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MAX_IDS) {
            let question = FindMany::new(ids.to_vec(), scope).map_err(|error| {
                tracing::error!(%error, "too many rows are loaded at once");
                Unanswered
            })?;
            found.extend(self.ask(question).await?.into_iter().flatten());
        }
        Ok(found)
    }

    /// What became of the questions so far.
    pub(super) fn outcome(&self) -> Outcome {
        std::mem::take(&mut *self.outcome.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Outcome {
    /// Notes the position of an answer. All answers are of one snapshot, but some projections may
    /// be behind others: the whole is complete up to the lowest position, and as old as the oldest.
    fn saw(&mut self, seen: Seen) {
        let Some(before) = self.seen.take() else {
            self.seen = Some(seen);
            return;
        };
        let stale = before.stale || seen.stale;
        let lag = before.lag.zip(seen.lag).map(|(one, other)| one.max(other));
        let lowest = if seen.position < before.position { seen } else { before };
        self.seen = Some(Seen { stale, lag, ..lowest });
    }

    /// Notes a failure. A lost snapshot only follows from another one.
    fn failed(&mut self, failure: ReadError) {
        if matches!(self.failure, None | Some(ReadError::SnapshotLost)) {
            self.failure = Some(failure);
        }
    }
}

impl Asking {
    pub(super) fn new(shared: Arc<Shared>, questions: Questions) -> Self {
        let spawner = {
            let questions = questions.clone();
            move |load| questions.add(load)
        };
        let rows =
            DataLoader::with_cache(Rows(Arc::clone(&shared)), spawner, HashMapCache::default())
                // The questions are asked when all are there.
                .delay(Duration::ZERO)
                .max_batch_size(MAX_IDS);
        Self { shared, questions, rows }
    }

    /// The API that is asked.
    pub(super) fn api(&self) -> &Api {
        &self.shared.api
    }

    /// The rows that the caller may see with this permission.
    ///
    /// # Errors
    /// The caller may see none.
    pub(super) fn scope(&self, permission: Permission) -> Result<Scope, Error> {
        self.shared.scope(permission).map_err(|problem| self.failure(&problem))
    }

    /// The same for rows that belong to nobody.
    ///
    /// # Errors
    /// The caller may not see all of them.
    pub(super) fn everything(&self, permission: Permission) -> Result<Scope, Error> {
        let Shared { api, caller, .. } = self.shared.as_ref();
        api.everything(caller, permission).map_err(|problem| self.failure(&problem))
    }

    /// Asks a question, together with the others of its level.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) async fn ask<R: Read>(&self, question: R) -> Result<R::Answer, Error> {
        let (reply, answer) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        self.questions.add(Box::pin(async move {
            // If the field is gone, nobody needs the answer.
            drop(reply.send(shared.ask(question).await));
        }));
        answer.await.unwrap_or(Err(Unanswered)).map_err(|Unanswered| self.internal())
    }

    /// Loads what belongs to a key, together with the others of its kind and level. `None` if it is
    /// not there, or not for the caller.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) async fn load<K>(&self, key: K) -> Result<Option<<Rows as Loader<K>>::Value>, Error>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Rows: Loader<K, Error = Unanswered>,
    {
        self.rows.load_one(key).await.map_err(|Unanswered| self.internal())
    }

    /// Resolves one of the entities that a gateway asks for. One that the caller may not see is
    /// null with an error, so that the others are answered.
    pub(super) async fn entity<T>(
        &self,
        ctx: &Context<'_>,
        allowed: Result<Scope, Error>,
        found: impl Future<Output = Result<Option<T>, Error>>,
    ) -> Result<Option<T>, Error> {
        match allowed {
            Ok(_) => found.await,
            Err(refused) => {
                ctx.add_error(ctx.set_error_path(refused.into_server_error(ctx.item.pos)));
                Ok(None)
            }
        }
    }

    /// The error of a field for the problem that the REST API would answer with.
    pub(super) fn failure(&self, problem: &Problem) -> Error {
        error(problem, &self.shared.request_id)
    }

    /// The error of a field that cannot be resolved. It is not shown if the snapshot failed.
    pub(super) fn internal(&self) -> Error {
        self.failure(&Problem::internal())
    }
}
