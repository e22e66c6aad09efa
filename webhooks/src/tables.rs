//! The tables of subscriptions, feeds and deliveries, in the schema `webhooks`.
//!
//! A *feed* is what is sent to a subscription: its live feed, which has the subscription's id and
//! no end, or a replay. A feed's position says up to where every event was delivered or has a row
//! in `deliveries`, which waits for its next attempt or is parked. Position and rows commit
//! together, after the attempts. So a process that dies in between repeats attempts and loses
//! none.

use std::time::Duration;

use postgres_kit::{Pool, PoolSettings, Schema, SchemaError, ended_when_lost};
use sqlx::postgres::{PgConnectOptions, PgConnection};

mod decisions;
mod plan;
mod record;
mod shown;

pub use decisions::{Decision, DecisionError, NewReplay, NewSubscription};
pub(crate) use plan::{Due, Plan};
pub(crate) use record::{Failed, Recorded, Results};
pub use shown::{DeliveryRow, ReplayRow, SubscriptionRow};

/// How long a call waits for a connection, and how long it may take then.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(3);
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// The schema `webhooks` and its migrations.
pub fn schema() -> Schema {
    Schema::new("webhooks", sqlx::migrate!("../migrations/webhooks"), "webhooks migrate")
}

/// The tables in their database. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Tables {
    pool: Pool,
}

/// The statements' options: no statement outlives its caller's patience, and no transaction its
/// caller.
pub(crate) fn options(connect: &PgConnectOptions, name: &str) -> PgConnectOptions {
    ended_when_lost(connect.clone()).application_name(name).options([
        ("statement_timeout", "4s"),
        ("lock_timeout", "2s"),
        ("tcp_user_timeout", "5s"),
    ])
}

impl Tables {
    /// The maximum number of connections.
    pub const CONNECTIONS: u32 = 8;

    /// The tables at this address. It connects when it is first used.
    pub fn new(connect: &PgConnectOptions) -> Self {
        let settings = PoolSettings::new(Self::CONNECTIONS, ACQUIRE_LIMIT, CALL_LIMIT);
        Self { pool: Pool::new(options(connect, "webhooks"), settings) }
    }

    /// Checks that the schema is the one that this program knows.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub async fn check(&self) -> Result<(), SchemaError> {
        self.pool.run(async |raw: &mut PgConnection| schema().check(raw).await).await
    }
}
