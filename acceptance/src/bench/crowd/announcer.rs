//! Says where the projections are, as the projector does after each commit.

use anyhow::{Context as _, ensure};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

/// Moves the checkpoints of projections, and says so on the broker.
#[derive(Clone)]
pub(in crate::bench) struct Announcer {
    nats: async_nats::Client,
    epoch: Uuid,
    partitions: Vec<Partition>,
}

/// A partition of a live generation.
#[derive(Clone, sqlx::FromRow)]
struct Partition {
    projection: String,
    generation: i32,
    #[sqlx(rename = "partition")]
    number: i32,
    #[sqlx(rename = "partitions")]
    of: i32,
}

/// The id of the event at a position.
pub(in crate::bench) fn event_at(position: i64) -> Uuid {
    Uuid::from_u128(u128::from(position.unsigned_abs()))
}

impl Announcer {
    /// Speaks for one of the live projections, or for all of them.
    pub(in crate::bench) async fn new(
        nats: &str,
        database: &mut PgConnection,
        projection: Option<&str>,
    ) -> anyhow::Result<Self> {
        let partitions: Vec<Partition> = sqlx::query_as(
            "SELECT c.projection, c.generation, c.partition, g.partitions
             FROM read_model.checkpoints c JOIN read_model.generations g USING (projection, \
                generation)
             WHERE g.live AND c.projection = coalesce($1, c.projection)",
        )
        .bind(projection)
        .fetch_all(&mut *database)
        .await?;
        ensure!(!partitions.is_empty(), "there is no projection {projection:?}");
        let epoch = sqlx::query_scalar::<_, Option<Uuid>>(
            "SELECT DISTINCT epoch FROM read_model.checkpoints",
        );
        let epoch = epoch.fetch_one(database).await?.context("the checkpoints have no epoch")?;
        Ok(Self { nats: async_nats::connect(nats).await?, epoch, partitions })
    }

    /// The epoch of the checkpoints.
    pub(in crate::bench) const fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// Moves the checkpoints, in the transaction of this connection.
    pub(in crate::bench) async fn move_to(
        &self,
        position: i64,
        transaction: &mut PgConnection,
    ) -> anyhow::Result<()> {
        let names: Vec<&str> = self.partitions.iter().map(|of| of.projection.as_str()).collect();
        let moved = sqlx::query(
            "UPDATE read_model.checkpoints SET position = $2, event_id = $3
             WHERE projection = ANY ($1)",
        );
        let moved = moved.bind(names).bind(position).bind(event_at(position));
        let moved = moved.execute(transaction).await?.rows_affected();
        ensure!(moved > 0, "no checkpoint was moved");
        Ok(())
    }

    /// Says where the checkpoints are, after the commit.
    pub(in crate::bench) async fn announce(&self, position: i64) -> anyhow::Result<()> {
        for partition in &self.partitions {
            let Partition { projection, generation, number, of } = partition;
            let said = json!({"projection": projection, "generation": generation,
                "partition": number, "partitions": of, "epoch": self.epoch,
                "position": position, "event_id": event_at(position)});
            let subject = format!("checkpoints.{projection}");
            self.nats.publish(subject, said.to_string().into()).await?;
        }
        Ok(self.nats.flush().await?)
    }
}
