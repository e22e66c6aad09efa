//! A client that asks for orders with tokens of positions that are still to come.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use service_kit::consistency::{ConsistencyToken, TokenKey};
use tokio::time::timeout;
use uuid::Uuid;

use super::ORDERS;
use crate::bench::crowd::{Moments, Wire, event_at, micros};
use crate::bench::queries::fill::{POSITION, order_id};
use crate::launched::KEY;

/// How long an answer may take, beyond the longest wait.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A client with a connection of its own.
pub(super) struct Client {
    pub(super) server: SocketAddr,
    /// The address that it comes from.
    pub(super) source: Ipv4Addr,
    pub(super) epoch: Uuid,
    pub(super) bearer: Arc<str>,
    /// The number of events that were announced so far.
    pub(super) head: Arc<AtomicU64>,
    pub(super) moments: Arc<Moments>,
}

impl Client {
    /// Asks again and again, between two times, each time for the event that is so many events
    /// ahead. Returns the time from each announcement to its answer, in microseconds.
    ///
    /// # Errors
    /// An answer does not show the position that it waited for.
    pub(super) async fn run(
        self,
        ahead: u64,
        (begins, ends): (Duration, Duration),
    ) -> anyhow::Result<Vec<u32>> {
        let (moments, key) = (&*self.moments, TokenKey::from_secret(&KEY.into())?);
        tokio::time::sleep(begins.saturating_sub(moments.now())).await;
        let mut wire = Wire::connect(self.server, self.source).await?;
        let mut answers = Vec::new();
        while moments.now() < ends {
            let event = self.head.load(Ordering::Acquire) + ahead;
            let asked = timeout(ANSWER_LIMIT, self.ask(&mut wire, event, &key)).await;
            asked.with_context(|| format!("the answer for event {event}"))??;
            let announced = moments.get(event).context("it was answered too early")?;
            answers.push(micros(announced, moments.now()));
        }
        Ok(answers)
    }

    /// Asks for an order as of an event, and waits for the answer.
    async fn ask(&self, wire: &mut Wire, event: u64, key: &TokenKey) -> anyhow::Result<()> {
        let position = POSITION + 1 + i64::try_from(event)?;
        let event_id = event_at(position);
        let token = ConsistencyToken { epoch: self.epoch, position, event_id }.sign(key);
        let order = order_id(rand::random_range(0..ORDERS));
        let headers = format!(
            "authorization: {}\r\nconsistency-token: {token}\r\nprefer: wait=10\r\n",
            self.bearer
        );
        wire.get(&format!("/api/v1/orders/{order}"), &headers).await?;
        let mut body = Vec::new();
        while !wire.is_done() {
            wire.read(&mut body).await?;
        }
        let body: Value = serde_json::from_slice(&body)?;
        let shown = body["meta"]["position"].as_i64();
        ensure!(
            body["data"]["id"] == order.to_string() && shown.is_some_and(|shown| shown >= position),
            "{position} was waited for: {body}"
        );
        Ok(())
    }
}
