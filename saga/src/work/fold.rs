//! The fold of the log into the work tables: what a batch of events says about instances.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use event_store::{Metadata, Position, RecordedEvent};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::event::{SagaEvent, SignalReceived};
use crate::id;
use crate::instance::Signal;
use crate::sagas::{Begun, Sagas};

/// The name of the fold's checkpoint, and of its lease.
pub(crate) const NAME: &str = "sagas";

/// What a batch says about one instance.
#[derive(Debug, Default)]
struct News {
    saga: Option<String>,
    at: DateTime<Utc>,
    begun: Option<Begun>,
    /// The last version of its stream in the batch.
    version: i64,
    /// Whether the event of that version ends the instance.
    ended: bool,
    /// Whether its stream began in the batch.
    started: bool,
    signals: BTreeMap<i64, Signal>,
    /// The position up to which it has received signals.
    received: i64,
}

/// What a batch of events says about instances.
#[derive(Debug, Default)]
pub(crate) struct Fold(BTreeMap<Uuid, News>);

impl Fold {
    /// Folds the events. `begins` has the position after which events of each saga count.
    pub(crate) fn of(
        events: &[RecordedEvent],
        sagas: &Sagas,
        begins: &BTreeMap<&'static str, Position>,
    ) -> Self {
        let mut fold = Self::default();
        for event in events {
            if event.stream.category() == id::CATEGORY {
                fold.own(event);
                continue;
            }
            for saga in sagas.all() {
                if begins.get(saga.name).is_none_or(|begin| event.position <= *begin) {
                    continue;
                }
                if let Some(start) = saga.start(event) {
                    let origin = origin(&saga.actor, event);
                    let instance = id::of_instance(saga.name, &start.key);
                    let news = fold.news(instance, event);
                    news.saga = Some(saga.name.to_owned());
                    news.begun = Some(Begun { saga: saga.name.to_owned(), start, origin });
                }
                if let Some((key, signal)) = saga.signal(event) {
                    let news = fold.news(id::of_instance(saga.name, &key), event);
                    news.saga = Some(saga.name.to_owned());
                    news.signals.insert(event.position.0, signal);
                }
            }
        }
        fold
    }

    fn news(&mut self, instance: Uuid, event: &RecordedEvent) -> &mut News {
        let news = self.0.entry(instance).or_default();
        news.at = event.recorded_at;
        news
    }

    /// An event of an instance's own stream.
    fn own(&mut self, event: &RecordedEvent) {
        let Ok(instance) = event.stream.id().parse() else { return };
        // An event that this program cannot read is still news.
        let own = crate::event::read(event).ok().flatten();
        let news = self.news(instance, event);
        news.version = event.version.0;
        news.ended = own.as_ref().is_some_and(SagaEvent::is_end);
        match own {
            Some(SagaEvent::Started(started)) => {
                news.saga = Some(started.saga);
                news.started = true;
                news.begun = None;
            }
            Some(SagaEvent::SignalReceived(SignalReceived { position, .. })) => {
                news.received = position;
                news.signals = news.signals.split_off(&(position + 1));
            }
            _ => {}
        }
    }

    /// The number of instances that are to begin.
    pub(crate) fn begins(&self) -> usize {
        self.0.values().filter(|news| news.begun.is_some()).count()
    }

    /// Whether a driver has something to do besides what it was handed.
    pub(crate) fn wakes(&self) -> bool {
        self.0.values().any(|news| news.begun.is_some() || !news.signals.is_empty())
    }

    /// Writes the batch to the tables. The first `places` instances that are to begin are taken for
    /// `driver`; returns them.
    pub(crate) async fn write(
        &self,
        raw: &mut PgConnection,
        (driver, places): (Uuid, usize),
    ) -> sqlx::Result<Vec<(Uuid, Begun)>> {
        self.write_received(raw).await?;
        let taken = self.write_begun(raw, driver, places).await?;
        self.write_touched(raw).await?;
        self.write_signals(raw).await?;
        self.write_ended(raw).await?;
        Ok(taken)
    }

    async fn write_received(&self, raw: &mut PgConnection) -> sqlx::Result<()> {
        let (ids, positions): (Vec<Uuid>, Vec<i64>) = self
            .0
            .iter()
            .filter(|(_, news)| news.received > 0)
            .map(|(id, news)| (*id, news.received))
            .unzip();
        if !ids.is_empty() {
            sqlx::query_file!("sql/received.sql", &ids, &positions).execute(raw).await?;
        }
        Ok(())
    }

    async fn write_begun(
        &self,
        raw: &mut PgConnection,
        driver: Uuid,
        places: usize,
    ) -> sqlx::Result<Vec<(Uuid, Begun)>> {
        let begun: Vec<(Uuid, &Begun, DateTime<Utc>)> = self
            .0
            .iter()
            .filter_map(|(id, news)| Some((*id, news.begun.as_ref()?, news.at)))
            .collect();
        if begun.is_empty() {
            return Ok(Vec::new());
        }
        let drivers: Vec<Option<Uuid>> =
            (0..begun.len()).map(|at| (at < places).then_some(driver)).collect();
        let values: Vec<Value> = begun
            .iter()
            .map(|(_, begun, _)| serde_json::to_value(begun))
            .collect::<Result<_, _>>()
            .map_err(|error| sqlx::Error::Encode(error.into()))?;
        let rows = sqlx::query_file!(
            "sql/begin.sql",
            &begun.iter().map(|(id, ..)| *id).collect::<Vec<_>>(),
            &begun.iter().map(|(_, begun, _)| begun.saga.clone()).collect::<Vec<_>>(),
            &values,
            &begun.iter().map(|(.., at)| *at).collect::<Vec<_>>(),
            &drivers as &[Option<Uuid>],
        )
        .fetch_all(raw)
        .await?;
        let taken = rows.into_iter().filter(|row| row.taken);
        let begun = |id| self.0.get(&id).and_then(|news| news.begun.clone());
        Ok(taken.filter_map(|row| Some((row.id, begun(row.id)?))).collect())
    }

    async fn write_touched(&self, raw: &mut PgConnection) -> sqlx::Result<()> {
        let touched: Vec<(&Uuid, &News)> =
            self.0.iter().filter(|(_, news)| news.version > 0 && !news.is_over()).collect();
        if touched.is_empty() {
            return Ok(());
        }
        let sagas: Vec<Option<&str>> = touched.iter().map(|(_, news)| news.revives()).collect();
        sqlx::query_file!(
            "sql/touch.sql",
            &touched.iter().map(|(id, _)| **id).collect::<Vec<_>>(),
            &sagas as &[Option<&str>],
            &touched.iter().map(|(_, news)| news.version).collect::<Vec<_>>(),
            &touched.iter().map(|(_, news)| news.at).collect::<Vec<_>>(),
        )
        .execute(raw)
        .await?;
        Ok(())
    }

    async fn write_signals(&self, raw: &mut PgConnection) -> sqlx::Result<()> {
        let (mut ids, mut sagas, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut signals, mut times) = (Vec::new(), Vec::new());
        for (id, news) in &self.0 {
            for (position, signal) in &news.signals {
                ids.push(*id);
                sagas.push(news.saga.clone().unwrap_or_default());
                positions.push(*position);
                let value = serde_json::to_value(signal);
                signals.push(value.map_err(|error| sqlx::Error::Encode(error.into()))?);
                times.push(news.at);
            }
        }
        if !ids.is_empty() {
            sqlx::query_file!("sql/signal.sql", &ids, &sagas, &positions, &signals, &times)
                .execute(raw)
                .await?;
        }
        Ok(())
    }

    async fn write_ended(&self, raw: &mut PgConnection) -> sqlx::Result<()> {
        let (ids, versions): (Vec<Uuid>, Vec<i64>) = self
            .0
            .iter()
            .filter(|(_, news)| news.is_over())
            .map(|(id, news)| (*id, news.version))
            .unzip();
        if !ids.is_empty() {
            sqlx::query_file!("sql/end.sql", &ids, &versions).execute(raw).await?;
        }
        Ok(())
    }
}

impl News {
    /// The saga of an instance that needs a row even if it has none: its stream began in the batch,
    /// or a signal in the batch moved it, perhaps after its end.
    fn revives(&self) -> Option<&str> {
        self.saga.as_deref().filter(|_| self.started || self.received > 0)
    }

    /// Whether the instance needs no row after the batch.
    fn is_over(&self) -> bool {
        self.ended && self.signals.is_empty()
    }
}

/// The origin of an instance's events.
fn origin(actor: &str, event: &RecordedEvent) -> Metadata {
    Metadata {
        causation_id: Some(event.id),
        actor: Some(actor.to_owned()),
        traceparent: event.metadata.traceparent.clone(),
        ..Metadata::new(event.metadata.correlation_id)
    }
}
