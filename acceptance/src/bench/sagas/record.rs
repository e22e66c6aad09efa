//! What the log says of sagas. Each question is about what follows a position at which no saga was
//! under way.

use anyhow::{Context as _, ensure};
use sqlx::PgConnection;

/// The events after which nothing happens by itself.
const ENDED: &str = "SELECT count(*), coalesce(max(position), $1) FROM event_store.events \
    WHERE position > $1 \
    AND event_type IN ('saga.completed', 'saga.compensated', 'saga.parked')";
/// The events of one append have the same time, and an instance waits for each of its appends.
const FOUND: &str = "WITH saga AS ( \
        SELECT bool_or(event_type = 'saga.completed') AS completed, \
            bool_or(event_type = 'saga.compensated') AS compensated, \
            bool_or(event_type = 'saga.parked') AS parked, \
            count(DISTINCT recorded_at) AS appends, \
            count(*) FILTER (WHERE event_type = 'saga.step_succeeded') AS steps, \
            count(*) FILTER \
                (WHERE event_type IN ('saga.step_failed', 'saga.compensation_failed')) AS failed \
        FROM event_store.events \
        WHERE split_part(stream, '-', 1) = 'saga' AND position > $1 \
        GROUP BY stream HAVING min(version) = 1) \
    SELECT count(*), count(*) FILTER (WHERE completed), \
        count(*) FILTER (WHERE compensated AND NOT completed), \
        count(*) FILTER (WHERE parked AND NOT completed AND NOT compensated), \
        coalesce(sum(appends), 0)::bigint, coalesce(sum(steps), 0)::bigint, \
        coalesce(sum(failed), 0)::bigint \
    FROM saga";
/// From the confirmation of the order to the end of its saga, in milliseconds.
const TIMES: &str = "SELECT (extract(epoch FROM min(ended.recorded_at) - confirmed.recorded_at) \
        * 1000)::float8 AS took \
    FROM event_store.events AS ended \
    JOIN event_store.events AS began ON began.stream = ended.stream AND began.version = 1 \
    JOIN event_store.events AS confirmed \
        ON confirmed.stream = 'order-' || (began.data->>'key') \
        AND confirmed.event_type = 'order.confirmed' \
    WHERE ended.position > $1 \
        AND ended.event_type IN ('saga.completed', 'saga.compensated', 'saga.parked') \
    GROUP BY ended.stream, confirmed.recorded_at ORDER BY took";
/// What was recorded more than once: reservations by product and order, the rest by order.
const TWICE: &str = "SELECT count(*) FROM ( \
        SELECT 1 FROM event_store.events WHERE position > $1 AND event_type IN ( \
            'product.stock_reserved', 'product.stock_released', 'product.stock_shipped', \
            'order.paid', 'order.shipped', 'order.refunded', 'order.cancelled') \
        GROUP BY stream, event_type, data->>'order_id' HAVING count(*) > 1) AS twice";
/// Reservations that were neither shipped nor released, or both.
const KEPT: &str = "SELECT count(*) FROM ( \
        SELECT 1 FROM event_store.events WHERE position > $1 AND event_type IN ( \
            'product.stock_reserved', 'product.stock_released', 'product.stock_shipped') \
        GROUP BY stream, data->>'order_id' HAVING count(*) <> 2) AS kept";

/// What the log has of some sagas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// The number of sagas that began.
    pub(super) sagas: i64,
    /// The number of those that completed.
    pub(super) completed: i64,
    /// The number of those that were undone.
    pub(super) compensated: i64,
    /// The number of those that wait for a person.
    pub(super) parked: i64,
    appends: i64,
    steps: i64,
    failed: i64,
}

/// How long sagas took, in milliseconds, sorted.
pub(super) struct Times(Vec<f64>);

impl Found {
    /// The number of sagas that will do nothing more by themselves.
    pub(super) const fn ended(&self) -> i64 {
        self.completed + self.compensated + self.parked
    }

    /// The appends to the stream of a saga, on average.
    pub(super) fn appends_of_a_saga(&self) -> f64 {
        ratio(self.appends, self.sagas)
    }

    /// The appends to the streams of sagas for each step that succeeded, on average.
    pub(super) fn appends_of_a_step(&self) -> f64 {
        ratio(self.appends, self.steps)
    }

    /// The attempts of steps and compensations of a saga that failed, on average.
    pub(super) fn failed_of_a_saga(&self) -> f64 {
        ratio(self.failed, self.sagas)
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ratio(count: i64, of: i64) -> f64 {
    count as f64 / of as f64
}

impl Times {
    /// A percentile.
    pub(super) fn percentile(&self, hundredths: usize) -> f64 {
        let at = self.0.len().saturating_sub(1) * hundredths / 100;
        self.0.get(at).copied().unwrap_or(f64::NAN)
    }
}

/// The number of sagas that ended after a position, and the position of the last end.
pub(super) async fn ended(log: &mut PgConnection, after: i64) -> anyhow::Result<(i64, i64)> {
    let ended = sqlx::query_as(ENDED).bind(after).fetch_one(log).await;
    ended.context("the ends of sagas")
}

/// What the log has of the sagas after a position.
pub(super) async fn found(log: &mut PgConnection, after: i64) -> anyhow::Result<Found> {
    let row: (i64, i64, i64, i64, i64, i64, i64) =
        sqlx::query_as(FOUND).bind(after).fetch_one(log).await.context("the events of sagas")?;
    let (sagas, completed, compensated, parked, appends, steps, failed) = row;
    Ok(Found { sagas, completed, compensated, parked, appends, steps, failed })
}

/// How long the sagas after a position took.
pub(super) async fn times(log: &mut PgConnection, after: i64) -> anyhow::Result<Times> {
    let times: Vec<f64> =
        sqlx::query_scalar(TIMES).bind(after).fetch_all(log).await.context("the times of sagas")?;
    ensure!(!times.is_empty(), "no saga ended");
    Ok(Times(times))
}

/// Fails if something was recorded twice, or if stock is still reserved although no saga is parked.
pub(super) async fn is_once(log: &mut PgConnection, after: i64) -> anyhow::Result<()> {
    let twice: i64 = sqlx::query_scalar(TWICE).bind(after).fetch_one(&mut *log).await?;
    ensure!(twice == 0, "the log has {twice} things twice");
    let parked = found(log, after).await?.parked;
    let kept: i64 = sqlx::query_scalar(KEPT).bind(after).fetch_one(log).await?;
    ensure!(parked > 0 || kept == 0, "{kept} reservations did not end");
    Ok(())
}
