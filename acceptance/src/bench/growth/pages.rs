//! Counts the pages that a stream load touches, and how many come from outside the server's shared
//! buffers.

use std::ops::Range;

use anyhow::Context;
use rand::Rng as _;
use serde_json::Value;
use sqlx::postgres::PgConnection;

use crate::bench::fill::stream;

/// The number of inspected loads.
const LOADS: u32 = 200;
/// The store's query for a stream, with a report of the touched pages.
const LOAD: &str = include_str!("load.sql");

/// The average page counts of one load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages {
    pub(super) touched: f64,
    /// The number of pages that were not in the server's shared buffers.
    pub(super) read: f64,
}

/// Inspects loads of some of these streams.
pub(super) async fn of_loads(
    connection: &mut PgConnection,
    streams: Range<u64>,
) -> anyhow::Result<Pages> {
    let (mut hit, mut read) = (0.0, 0.0);
    for _ in 0..LOADS {
        let name = stream(rand::rng().random_range(streams.clone()))?;
        let told: Value =
            sqlx::query_scalar(LOAD).bind(name.as_str()).fetch_one(&mut *connection).await?;
        let blocks = |kind: &str| {
            told.pointer("/0/Plan").and_then(|plan| plan.get(kind)).and_then(Value::as_f64)
        };
        hit += blocks("Shared Hit Blocks").context("a plan without its blocks")?;
        read += blocks("Shared Read Blocks").context("a plan without its blocks")?;
    }
    let loads = f64::from(LOADS);
    Ok(Pages { touched: (hit + read) / loads, read: read / loads })
}
