//! Takes the checkpoint of the fold, at the position from which the sagas of this program continue.

use std::collections::BTreeMap;

use event_feed::Term;
use event_feed::consumer::continuity::{self, Continuity};
use event_feed::consumer::{BoxError, Checkpoint, Checkpoints};
use event_store::{Epoch, EventRef, Position};
use postgres_kit::Connection;
use uuid::Uuid;

use super::Intake;
use super::resume::Folded;
use crate::work::fold::NAME;

impl Checkpoints for Intake {
    async fn take(&mut self, term: Term) -> Result<Option<Checkpoint>, BoxError> {
        let mut connection = self.connection().await?;
        let taken = self.take_on(&mut connection, term).await?;
        self.connection = Some(connection);
        Ok(taken)
    }
}

impl Intake {
    async fn take_on(
        &self,
        connection: &mut Connection,
        term: Term,
    ) -> Result<Option<Checkpoint>, BoxError> {
        let known: BTreeMap<&'static str, i64> =
            self.begins.iter().map(|(saga, begin)| (*saga, begin.0)).collect();
        let names: Vec<String> = known.keys().map(ToString::to_string).collect();
        self.leave_abandoned(connection, term).await?;
        sqlx::query_file!(
            "sql/take.sql",
            NAME,
            term.0,
            self.first.epoch.map(|epoch| epoch.0) as Option<Uuid>,
            self.first.at.position.0,
            self.first.at.event_id as Option<Uuid>,
            &names,
        )
        .execute(&mut *connection)
        .await?;
        let row = sqlx::query_file!("sql/look.sql", NAME).fetch_one(&mut *connection).await?;
        if row.term > term.0 {
            return Ok(None);
        }
        let folded = Folded {
            position: row.position,
            sagas: row.folds.into_iter().collect(),
            behind: serde_json::from_value(row.behind)?,
        };
        let taken = folded.taken_by(&known);
        let at = if taken.position == row.position {
            EventRef { position: Position(row.position), event_id: row.event_id }
        } else {
            tracing::info!(position = taken.position, "folding again for a saga that is new here");
            let at = self.log.event_ref_at(Position(taken.position)).await?;
            // Without that event, as in a log that lost its end, all of the log is folded again.
            at.unwrap_or(EventRef::START)
        };
        let epoch = row.epoch.map(Epoch).filter(|_| at != EventRef::START);
        let owned = sqlx::query_file!(
            "sql/own.sql",
            NAME,
            term.0,
            row.term,
            row.position,
            epoch.map(|epoch| epoch.0) as Option<Uuid>,
            at.position.0,
            at.event_id as Option<Uuid>,
            &names,
            serde_json::to_value(&taken.behind)?,
        )
        .execute(connection)
        .await?;
        if owned.rows_affected() == 1 {
            Ok(Some(Checkpoint { epoch, at }))
        } else {
            Err("another process took the checkpoint at the same time".into())
        }
    }

    /// Deletes a checkpoint whose end of the log was abandoned by a new epoch. The log is folded
    /// again then, which repeats nothing. A log that lost its end without a new epoch is for a
    /// person to decide about: the checkpoint stays, and the consumer stops.
    async fn leave_abandoned(
        &self,
        connection: &mut Connection,
        term: Term,
    ) -> Result<(), BoxError> {
        let look = sqlx::query_file!("sql/look.sql", NAME).fetch_optional(&mut *connection);
        let Some(row) = look.await?.filter(|row| row.term <= term.0) else { return Ok(()) };
        let at = EventRef { position: Position(row.position), event_id: row.event_id };
        let epoch = row.epoch.map(Epoch);
        if continuity::prove(self.log.as_ref(), epoch, at).await? != Continuity::Over {
            return Ok(());
        }
        tracing::warn!(position = row.position, "a new epoch has begun before: folding again");
        let gone = sqlx::query_file!("sql/abandon.sql", NAME, row.term, row.position);
        gone.execute(connection).await?;
        Ok(())
    }
}
