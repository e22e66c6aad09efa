//! Leases: a name that one owner at a time may hold, kept as a row with the owner, its term, its
//! backend, and the time at which it expires by the database's clock. The relay keeps its lease in
//! `event_store.leases`, the projector in `read_model.leases`, a runner of sagas in `saga.leases`,
//! the sender of webhooks in `webhooks.leases`.
//!
//! The owner that takes over an expired lease ends the old owner's backend and raises the term. The
//! term is the fence: what the old owner tries after it wakes up can be refused, because its term
//! is old. Each call is a single statement, so it may run inside a transaction.
//!
//! A [`Keeper`] renews a lease in the background.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

mod keeper;
#[cfg(test)]
mod statements;

pub use keeper::{Keeper, LeaseLost};

/// How long to wait for the end of an old owner's backend.
const END_OWNER_LIMIT_MS: i64 = 1_000;

/// The table that keeps a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseTable {
    /// `event_store.leases`.
    EventStore,
    /// `read_model.leases`. Here a lease is also free once its owner's connection is gone. For
    /// that, the `application_name` of each owner's connections must end with the owner's id.
    ReadModel,
    /// `saga.leases`, with the same rule.
    Saga,
    /// `webhooks.leases`, with the same rule.
    Webhooks,
}

/// The number of an ownership. It rises by one each time a lease is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(pub i64);

/// A name that one owner at a time may hold, as one owner sees it.
#[derive(Debug, Clone)]
pub struct Lease {
    table: LeaseTable,
    name: String,
    owner: Uuid,
    duration: Duration,
}

impl Lease {
    /// Describes the lease `name` for `owner`, which is a fresh id per process. The lease lasts for
    /// `duration` after each renewal.
    pub fn new(
        table: LeaseTable,
        name: impl Into<String>,
        owner: Uuid,
        duration: Duration,
    ) -> Self {
        Self { table, name: name.into(), owner, duration }
    }

    /// The name of the lease.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the owner that this value acts for.
    pub const fn owner(&self) -> Uuid {
        self.owner
    }

    /// How long the lease lasts without a renewal.
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// Takes the lease if nobody else holds it, and ends the backend of an owner whose lease has
    /// expired. Returns `None` if somebody holds it.
    ///
    /// An owner that lost its connection takes its own lease again at once, in a new term.
    ///
    /// Do not call it inside a transaction. The connection should have a `lock_timeout`.
    ///
    /// # Errors
    /// Any error of Postgres.
    pub async fn take(&self, connection: &mut PgConnection) -> Result<Option<Term>, sqlx::Error> {
        match self.is_free(connection).await? {
            Some(false) => return Ok(None),
            Some(true) => self.end_owner(connection).await,
            None => self.begin(connection).await?,
        }
        let term = match self.table {
            LeaseTable::EventStore => {
                sqlx::query_file_scalar!(
                    "sql/event_store/lease_take.sql",
                    self.name,
                    self.owner,
                    self.duration.as_secs_f64()
                )
                .fetch_optional(connection)
                .await?
            }
            LeaseTable::ReadModel => {
                sqlx::query_file_scalar!(
                    "sql/read_model/lease_take.sql",
                    self.name,
                    self.owner,
                    self.duration.as_secs_f64()
                )
                .fetch_optional(connection)
                .await?
            }
            LeaseTable::Saga => {
                sqlx::query_file_scalar!(
                    "sql/saga/lease_take.sql",
                    self.name,
                    self.owner,
                    self.duration.as_secs_f64()
                )
                .fetch_optional(connection)
                .await?
            }
            LeaseTable::Webhooks => {
                sqlx::query_file_scalar!(
                    "sql/webhooks/lease_take.sql",
                    self.name,
                    self.owner,
                    self.duration.as_secs_f64()
                )
                .fetch_optional(connection)
                .await?
            }
        };
        Ok(term.map(Term))
    }

    /// Renews the lease. Returns `false` if it is lost, because somebody else has taken it.
    ///
    /// # Errors
    /// Any error of Postgres.
    pub async fn renew(
        &self,
        connection: &mut PgConnection,
        term: Term,
    ) -> Result<bool, sqlx::Error> {
        let (name, owner, seconds) = (&self.name, self.owner, self.duration.as_secs_f64());
        let done = match self.table {
            LeaseTable::EventStore => {
                sqlx::query_file!("sql/event_store/lease_renew.sql", name, owner, term.0, seconds)
                    .execute(connection)
                    .await?
            }
            LeaseTable::ReadModel => {
                sqlx::query_file!("sql/read_model/lease_renew.sql", name, owner, term.0, seconds)
                    .execute(connection)
                    .await?
            }
            LeaseTable::Saga => {
                sqlx::query_file!("sql/saga/lease_renew.sql", name, owner, term.0, seconds)
                    .execute(connection)
                    .await?
            }
            LeaseTable::Webhooks => {
                sqlx::query_file!("sql/webhooks/lease_renew.sql", name, owner, term.0, seconds)
                    .execute(connection)
                    .await?
            }
        };
        Ok(done.rows_affected() == 1)
    }

    /// Whether the owner holds the lease in this term now.
    ///
    /// # Errors
    /// Any error of Postgres.
    pub async fn holds(
        &self,
        connection: &mut PgConnection,
        term: Term,
    ) -> Result<bool, sqlx::Error> {
        match self.table {
            LeaseTable::EventStore => {
                sqlx::query_file_scalar!(
                    "sql/event_store/lease_holds.sql",
                    self.name,
                    self.owner,
                    term.0
                )
                .fetch_one(connection)
                .await
            }
            LeaseTable::ReadModel => {
                sqlx::query_file_scalar!(
                    "sql/read_model/lease_holds.sql",
                    self.name,
                    self.owner,
                    term.0
                )
                .fetch_one(connection)
                .await
            }
            LeaseTable::Saga => {
                sqlx::query_file_scalar!("sql/saga/lease_holds.sql", self.name, self.owner, term.0)
                    .fetch_one(connection)
                    .await
            }
            LeaseTable::Webhooks => {
                sqlx::query_file_scalar!(
                    "sql/webhooks/lease_holds.sql",
                    self.name,
                    self.owner,
                    term.0
                )
                .fetch_one(connection)
                .await
            }
        }
    }

    /// Releases the lease, so that the next owner does not have to wait until it expires.
    ///
    /// # Errors
    /// Any error of Postgres.
    pub async fn give_up(
        &self,
        connection: &mut PgConnection,
        term: Term,
    ) -> Result<(), sqlx::Error> {
        match self.table {
            LeaseTable::EventStore => {
                sqlx::query_file!(
                    "sql/event_store/lease_give_up.sql",
                    self.name,
                    self.owner,
                    term.0
                )
                .execute(connection)
                .await?
            }
            LeaseTable::ReadModel => {
                sqlx::query_file!("sql/read_model/lease_give_up.sql", self.name, self.owner, term.0)
                    .execute(connection)
                    .await?
            }
            LeaseTable::Saga => {
                sqlx::query_file!("sql/saga/lease_give_up.sql", self.name, self.owner, term.0)
                    .execute(connection)
                    .await?
            }
            LeaseTable::Webhooks => {
                sqlx::query_file!("sql/webhooks/lease_give_up.sql", self.name, self.owner, term.0)
                    .execute(connection)
                    .await?
            }
        };
        Ok(())
    }

    async fn is_free(&self, connection: &mut PgConnection) -> Result<Option<bool>, sqlx::Error> {
        match self.table {
            LeaseTable::EventStore => {
                sqlx::query_file_scalar!("sql/event_store/lease_look.sql", self.name, self.owner)
                    .fetch_optional(connection)
                    .await
            }
            LeaseTable::ReadModel => {
                sqlx::query_file_scalar!("sql/read_model/lease_look.sql", self.name, self.owner)
                    .fetch_optional(connection)
                    .await
            }
            LeaseTable::Saga => {
                sqlx::query_file_scalar!("sql/saga/lease_look.sql", self.name, self.owner)
                    .fetch_optional(connection)
                    .await
            }
            LeaseTable::Webhooks => {
                sqlx::query_file_scalar!("sql/webhooks/lease_look.sql", self.name, self.owner)
                    .fetch_optional(connection)
                    .await
            }
        }
    }

    async fn begin(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        match self.table {
            LeaseTable::EventStore => {
                sqlx::query_file!("sql/event_store/lease_begin.sql", self.name)
                    .execute(connection)
                    .await?
            }
            LeaseTable::ReadModel => {
                sqlx::query_file!("sql/read_model/lease_begin.sql", self.name)
                    .execute(connection)
                    .await?
            }
            LeaseTable::Saga => {
                sqlx::query_file!("sql/saga/lease_begin.sql", self.name).execute(connection).await?
            }
            LeaseTable::Webhooks => {
                sqlx::query_file!("sql/webhooks/lease_begin.sql", self.name)
                    .execute(connection)
                    .await?
            }
        };
        Ok(())
    }

    /// Ends the old owner's backend, if possible. Postgres may forbid it (the backend of another
    /// login role); the term fences that owner anyway.
    async fn end_owner(&self, connection: &mut PgConnection) {
        let ended = match self.table {
            LeaseTable::EventStore => {
                sqlx::query_file_scalar!(
                    "sql/event_store/lease_end_owner.sql",
                    self.name,
                    self.owner,
                    END_OWNER_LIMIT_MS
                )
                .fetch_optional(connection)
                .await
            }
            LeaseTable::ReadModel => {
                sqlx::query_file_scalar!(
                    "sql/read_model/lease_end_owner.sql",
                    self.name,
                    self.owner,
                    END_OWNER_LIMIT_MS
                )
                .fetch_optional(connection)
                .await
            }
            LeaseTable::Saga => {
                sqlx::query_file_scalar!(
                    "sql/saga/lease_end_owner.sql",
                    self.name,
                    self.owner,
                    END_OWNER_LIMIT_MS
                )
                .fetch_optional(connection)
                .await
            }
            LeaseTable::Webhooks => {
                sqlx::query_file_scalar!(
                    "sql/webhooks/lease_end_owner.sql",
                    self.name,
                    self.owner,
                    END_OWNER_LIMIT_MS
                )
                .fetch_optional(connection)
                .await
            }
        };
        match ended {
            Ok(Some(true)) => tracing::warn!(
                lease = self.name,
                "ended the connection of an owner whose lease expired"
            ),
            Ok(Some(false)) => tracing::warn!(
                lease = self.name,
                "the connection of the old owner of the lease did not end in time"
            ),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(lease = self.name, %error, "could not end the connection of the \
                    lease's old owner");
            }
        }
    }
}
