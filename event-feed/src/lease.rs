//! Leadership: a row with owner, term, the owner's backend and an end by the database's clock. Used
//! by the relay (`event_store.leases`) and by the projector (`read_model.leases`).
//!
//! Whoever takes over a lease that ran out ends the old owner's backend, and the term rises, so
//! that what the old owner does when it wakes can be refused by its term (the fence). Each call is
//! a single statement: it may run inside a transaction.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

/// How long the end of an old owner's backend is waited for.
const END_OWNER_LIMIT_MS: i64 = 1_000;

/// Which table the lease is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseTable {
    /// `event_store.leases`.
    EventStore,
    /// `read_model.leases`. It is free too once its owner's connection is gone: whose
    /// `application_name` must end with the owner's id.
    ReadModel,
}

/// Rises by one with every change of hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(pub i64);

/// One name that one owner at a time may hold.
#[derive(Debug, Clone)]
pub struct Lease {
    table: LeaseTable,
    name: String,
    owner: Uuid,
    duration: Duration,
}

impl Lease {
    /// The lease `name`, wanted by `owner` (a fresh id per process), which lasts for `duration`
    /// after each renewal.
    pub fn new(
        table: LeaseTable,
        name: impl Into<String>,
        owner: Uuid,
        duration: Duration,
    ) -> Self {
        Self { table, name: name.into(), owner, duration }
    }

    /// What is held.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Who wants to hold it.
    pub(crate) const fn owner(&self) -> Uuid {
        self.owner
    }

    /// How long it lasts without a renewal.
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// Takes the lease when nobody else holds it, ending the backend of an owner whose time is
    /// over. `None`: somebody holds it.
    ///
    /// An owner whose connection was lost takes its own lease at once, in a new term.
    ///
    /// Not for use inside a transaction; the connection should have a `lock_timeout`.
    ///
    /// # Errors
    /// What Postgres said.
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
        };
        Ok(term.map(Term))
    }

    /// Holds on for another while. `false`: it is lost.
    ///
    /// # Errors
    /// What Postgres said.
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
        };
        Ok(done.rows_affected() == 1)
    }

    /// Whether it is held in this term now.
    ///
    /// # Errors
    /// What Postgres said.
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
        }
    }

    /// Lets go, so that the next need not wait for its end.
    ///
    /// # Errors
    /// What Postgres said.
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
        };
        Ok(())
    }

    /// Best effort: Postgres may forbid it (another login role's backend); the term fences that
    /// owner all the same.
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
        };
        match ended {
            Ok(Some(true)) => tracing::warn!(
                lease = self.name,
                "ended the connection of an owner whose lease ran out"
            ),
            Ok(Some(false)) => tracing::warn!(
                lease = self.name,
                "the connection of the lease's old owner did not end in time"
            ),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(lease = self.name, %error, "could not end the connection of the \
                    lease's old owner");
            }
        }
    }
}
