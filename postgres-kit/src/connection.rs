//! A single connection owned by one task, for appends, leases and projections.

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

/// How long closing a connection politely may take. After that the socket is just closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A Postgres connection on which every call has a deadline. If a call misses its deadline, or its
/// caller drops it, the connection is gone. Later calls then fail at once, and
/// [`Connection::is_open`] returns false.
#[derive(Debug)]
pub struct Connection {
    /// `None` while a call is running, and after one failed to finish.
    raw: Option<PgConnection>,
    limit: Duration,
    /// Host, port and database, for error messages.
    place: String,
}

impl Connection {
    /// Connects within `connect_limit`. Each later call has `limit`, unless it passes a limit
    /// itself.
    ///
    /// # Errors
    /// Postgres's error, or [`crate::silent`]'s if Postgres did not answer in time.
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

    /// Whether the connection is usable, as far as this side knows.
    pub const fn is_open(&self) -> bool {
        self.raw.is_some()
    }

    /// The time limit of each call.
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// Changes the time limit of all later calls.
    pub const fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Runs several statements (a transaction, a COPY) on the connection, within its limit in
    /// total.
    ///
    /// # Errors
    /// Those of `work`. [`crate::silent`]'s if it takes too long; the connection is then gone.
    pub async fn run<T, E: From<Error>>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run_within(self.limit, work).await
    }

    /// Like [`Connection::run`], with a limit for this call alone.
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

    /// Checks that the server answers.
    ///
    /// # Errors
    /// See [`Connection::run`].
    pub async fn ping(&mut self) -> Result<()> {
        self.run(async |raw| raw.ping().await).await
    }

    /// Closes the connection politely, within one second.
    pub async fn close(mut self) {
        if let Some(raw) = self.raw.take()
            && let Err(error) = within(CLOSE_LIMIT, raw.close()).await
        {
            tracing::debug!(%error, "could not close a connection cleanly");
        }
    }

    /// Drops the connection at once, without telling the server.
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
        // The limit holds per row: a slow reader is not the server's fault.
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
