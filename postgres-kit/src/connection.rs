//! One connection that its owner keeps: for appends, leases, projecting.

use std::time::Duration;

use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres,
};
use sqlx::{
    ConnectOptions as _, Connection as _, Describe, Either, Error, Execute, Executor, Result,
    SqlStr,
};
use tokio::time::timeout;

use crate::deadline::{gone, silent, within};
use crate::place::{named, place};

/// How long a goodbye may take. After it the socket is closed without one.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A connection whose every call has a deadline. A call that passes it, or that its caller drops,
/// ends the connection: later calls fail at once, and [`Connection::is_open`] says so.
#[derive(Debug)]
pub struct Connection {
    /// Taken out while a call is under way.
    raw: Option<PgConnection>,
    limit: Duration,
    /// Where it leads, for errors.
    place: String,
}

impl Connection {
    /// Connects within `connect_limit`. Each later call has `limit`, unless it names its own.
    ///
    /// # Errors
    /// What Postgres said; [`crate::silent`]'s error when it said nothing.
    pub async fn open(
        options: &PgConnectOptions,
        connect_limit: Duration,
        limit: Duration,
    ) -> Result<Self> {
        let place = place(options);
        let raw =
            within(connect_limit, options.connect()).await.map_err(|error| named(&place, error))?;
        Ok(Self { raw: Some(raw), limit, place })
    }

    /// Whether it can still be used, as far as this side knows.
    pub const fn is_open(&self) -> bool {
        self.raw.is_some()
    }

    /// How long each call may take.
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// Another limit for each call from now on.
    pub const fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Does several statements (a transaction, a COPY) within the connection's limit as a whole.
    ///
    /// # Errors
    /// Those of `work`; [`crate::silent`]'s when it takes too long, after which the connection is
    /// gone.
    pub async fn run<T, E: From<Error>>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run_within(self.limit, work).await
    }

    /// The same within `limit`.
    ///
    /// # Errors
    /// See [`Connection::run`].
    pub async fn run_within<T, E: From<Error>>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut raw = self.raw.take().ok_or_else(gone)?;
        let done =
            timeout(limit, work(&mut raw)).await.map_err(|_| named(&self.place, silent(limit)))?;
        self.raw = Some(raw);
        done
    }

    /// Asks whether the server answers.
    ///
    /// # Errors
    /// See [`Connection::run`].
    pub async fn ping(&mut self) -> Result<()> {
        self.run(async |raw| raw.ping().await).await
    }

    /// Says goodbye and closes, within a second.
    pub async fn close(mut self) {
        if let Some(raw) = self.raw.take()
            && let Err(error) = within(CLOSE_LIMIT, raw.close()).await
        {
            tracing::debug!(%error, "a connection was closed without a goodbye");
        }
    }

    /// Drops the connection at once, without a goodbye.
    pub fn abandon(&mut self) {
        self.raw = None;
    }
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(self.run(async move |raw: &mut PgConnection| raw.execute(query).await))
    }

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        // Each row has the limit: who reads slowly is not the server's fault.
        Box::pin(async_stream::try_stream! {
            let limit = self.limit;
            let mut raw = self.raw.take().ok_or_else(gone)?;
            {
                let mut rows = raw.fetch_many(query);
                while let Some(row) = within(limit, rows.try_next()).await? {
                    yield row;
                }
            }
            self.raw = Some(raw);
        })
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(self.run(async move |raw: &mut PgConnection| raw.fetch_all(query).await))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(self.run(async move |raw: &mut PgConnection| raw.fetch_optional(query).await))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement>>
    where
        'c: 'e,
    {
        Box::pin(
            self.run(async move |raw: &mut PgConnection| raw.prepare_with(sql, parameters).await),
        )
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        Box::pin(self.run(async move |raw: &mut PgConnection| raw.describe(sql).await))
    }
}
