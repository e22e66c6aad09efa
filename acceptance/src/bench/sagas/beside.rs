//! Other commands beside sagas: alone, beside a quarter of the sustained rate, and beside all that
//! the system takes.

use std::time::Duration;

use tokio::time::sleep;

use super::BENCH;
use super::customers::Pace;
use super::shop::Shop;
use crate::bench::figure::{Figure, Target};
use crate::bench::overload::press::{Pace as Press, press};
use crate::bench::round::Schedule;

/// The number of other commands that are due per second.
const RATE: f64 = 200.0;
/// The number of their connections.
const CONNECTIONS: usize = 16;
/// The part of the sustained rate of sagas at which the target holds.
const PART: f64 = 0.25;
/// The maximum ratio between the 99th percentiles beside that part and alone.
const MOST: f64 = 3.0;
/// How long the sagas are at work before the other commands.
const LEAD: Duration = Duration::from_secs(1);
const ALONE: &str = "without sagas";

/// Measures the 99th percentile of commands that add products, in alternating rounds.
pub(super) async fn measure(
    schedule: &Schedule,
    shop: &Shop,
    sustained: f64,
) -> anyhow::Result<Vec<Figure>> {
    let paces = [None, Some(Pace::Rate(sustained * PART)), Some(Pace::Full)];
    let mut phases: [Vec<f64>; 3] = Default::default();
    for _ in 0..schedule.rounds {
        for (pace, p99) in paces.iter().zip(&mut phases) {
            p99.push(phase(shop, *pace, schedule.round_seconds).await?);
        }
    }
    let [alone, part, full] = &phases;
    let figure = |case: &str, p99: &[f64], target| {
        Figure::new(BENCH, case, "p99 of others", "ms", p99).against(ALONE, alone, target)
    };
    Ok(vec![
        figure("25 % of the sagas", part, Some(Target::AtMost(MOST))),
        figure("all sagas", full, None),
    ])
}

async fn phase(shop: &Shop, pace: Option<Pace>, seconds: f64) -> anyhow::Result<f64> {
    let (_, from) = shop.log().await?;
    let customers = match pace {
        Some(pace) => Some(shop.customers(pace, u32::MAX).await?),
        None => None,
    };
    sleep(LEAD).await;
    let ended = press(&shop.load, CONNECTIONS, Press::Open { rate: RATE }, seconds).await?;
    if let Some(customers) = customers {
        let confirmed = customers.stop().await?;
        shop.settled(from, confirmed).await?;
    }
    Ok(ended.percentile(99))
}
