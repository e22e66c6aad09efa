//! Order fulfilment with real processes: the process manager, the sandbox and everything else.

mod shop;

use std::collections::BTreeMap;
use std::time::Duration;

use acceptance::{RunningStack, until};
use anyhow::{Context as _, Result, ensure};
use command_api::sagas::order_fulfilment::{self, Times};
use local_servers::test_run;
use serde_json::{Value, json};

use shop::{OrderCount, Shop};

/// How long an order may take to reach its end, with processes that are killed in between.
const ENDED: Duration = Duration::from_mins(5);
/// In the short form, the process dies at the timers of each fourth call only.
const TIMERS_OF_EACH: u64 = 4;
/// The number of orders of each kind that are under way while the processes die.
const ORDERS: usize = 10;
/// The country that the sandbox's shipper does not ship to.
const TOO_FAR: &str = "AQ";
const NEAR: &str = "AT";

#[tokio::test]
async fn orders_are_fulfilled_or_undone_and_say_why() -> Result<()> {
    let stack = RunningStack::start().await?;
    let shop = Shop::open(&stack, 20).await?;

    let sent = shop.confirmed(2, NEAR).await?;
    let shown = shop.ended(&sent).await?;
    assert_eq!((&shown["status"], &shown["paid"]), (&json!("shipped"), &shown["total"]));
    let count = shop.count(&sent).await?;
    assert_eq!((count.captured, count.refunded, count.shipped), (1, 0, 1));
    // The process may still be fetching the keys of access tokens.
    let timeline = until("the saga is shown", ENDED, async || {
        Ok(Some(stack.run(&["run", "process-manager", "sagas", "show", &sent]).await?))
    })
    .await?;
    ensure!(timeline.contains("  completed\n"), "{timeline}");
    shop.arrives(&sent).await?;
    shop.becomes(&sent, "delivered").await?;

    let large = shop.confirmed(100, NEAR).await?;
    let shown = shop.ended(&large).await?;
    assert_eq!(shown["cancel_reason"], "out_of_stock");
    assert_eq!(shown["cancel_products"], json!([shop.product]));
    assert_eq!(shop.count(&large).await?, OrderCount::default());

    let far = shop.confirmed(2, TOO_FAR).await?;
    assert_eq!(shop.ended(&far).await?["cancel_reason"], "shipping_rejected");
    shop.is_undone(&far).await?;

    shop.next_faults(&json!([{"fault": "declined", "operation": "authorise"}])).await?;
    let poor = shop.confirmed(2, NEAR).await?;
    assert_eq!(shop.ended(&poor).await?["cancel_reason"], "payment_declined");
    shop.is_undone(&poor).await?;

    // The shipper does not answer, and the customer does not wait.
    shop.next_faults(&json!([{"fault": "hang", "operation": "ship"}])).await?;
    let regretted = shop.confirmed(2, NEAR).await?;
    shop.becomes(&regretted, "paid").await?;
    shop.cancel(&regretted).await?;
    assert_eq!(shop.ended(&regretted).await?["cancel_reason"], "staff");
    shop.is_undone(&regretted).await?;

    shop.is_conserved(2).await?;
    let again = ["run", "process-manager", "sagas", "fold-again", "--by", "clerk-7"];
    ensure!(stack.run(&again).await?.contains("folded again"));
    let counts = shop.counts().await?;
    let last = shop.confirmed(2, NEAR).await?;
    shop.ended(&last).await?;
    let after = shop.counts().await?;
    ensure!(counts.iter().all(|(order, count)| after.get(order) == Some(count)), "{after:?}");
    nothing_is_left(&stack).await?;
    stack.down().await
}

/// The points of the saga's definition and of the fold of the log: every one with `step` 1, and with
/// a higher one the timers of every such call alone, from the one at `first`.
fn points(first: usize, step: usize) -> Vec<String> {
    let definition = order_fulfilment::definition(Times::default());
    let calls = definition.steps().flat_map(|step| {
        let undone = step.compensation().map(|_| format!("compensate {}", step.name()));
        [format!("run {}", step.name())].into_iter().chain(undone)
    });
    let of_call = |(at, call): (usize, String)| {
        // A call that fails sets the timer of its next attempt.
        let timers = ["fail", "before timer", "after timer"];
        let timers = timers.into_iter().filter(move |_| at % step == first % step);
        let points = ["before", "after"].into_iter().chain(timers);
        points.map(|point| format!("{point} {call}")).collect::<Vec<_>>()
    };
    let fold = ["before checkpoint", "after checkpoint"].map(str::to_owned);
    calls.enumerate().flat_map(of_call).chain(fold).collect()
}

#[tokio::test]
async fn i11_killed_at_every_point_every_order_ends_and_nothing_happens_twice() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("points");
    std::fs::write(&file, "")?;
    let stack = RunningStack::start_with(&[("CRASH_POINTS", file.as_path())]).await?;
    let run = test_run();
    let (rounds, step) = (run.count(1, 8), run.count(TIMERS_OF_EACH, 1));
    for round in 0..rounds {
        let shop = Shop::open(&stack, 1_000).await?;
        let points = points(usize::try_from(run.seed + round)?, usize::try_from(step)?);
        std::fs::write(&file, points.join("\n"))?;
        // A process dies at a point once, and the order that was there goes on with the next point.
        let (mut near, mut far, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ORDERS {
            near.push(shop.confirmed(1, NEAR).await?);
            far.push(shop.confirmed(1, TOO_FAR).await?);
            left.push(shop.confirmed_without_address(1).await?);
        }
        // Nobody hands these over. So the shipment is under way when they are cancelled.
        for order in &left {
            shop.becomes(order, "paid").await?;
            shop.cancel(order).await?;
        }
        for order in &near {
            assert_eq!(shop.ended(order).await?["status"], "shipped", "round {round}");
            let count = shop.count(order).await?;
            assert_eq!((count.captured, count.refunded, count.shipped), (1, 0, 1), "{order}");
        }
        for (orders, reason) in [(&far, "shipping_rejected"), (&left, "staff")] {
            for order in orders {
                assert_eq!(shop.ended(order).await?["cancel_reason"], reason);
                shop.is_undone(order).await?;
            }
        }
        shop.is_conserved(i64::try_from(near.len())?).await?;
        // Every point was taken, so each process that died has come back.
        let missed = std::fs::read_to_string(&file)?;
        ensure!(missed.is_empty(), "the process came to none of these points: {missed}");
        ensure!(shop.effects_of_keys().await?.values().all(|count| *count <= 1), "a key twice");
    }
    stack.down().await
}

#[tokio::test]
async fn deleted_work_tables_repeat_no_outward_effect() -> Result<()> {
    let stack = RunningStack::start().await?;
    let shop = Shop::open(&stack, 100).await?;
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(shop.confirmed(1, NEAR).await?);
    }
    for order in &orders {
        shop.ended(order).await?;
    }
    let before = shop.counts().await?;
    stack.run(&["stop", "process-manager"]).await?;
    stack
        .run(&[
            "psql",
            "-c",
            "TRUNCATE saga.work, saga.signals, saga.checkpoints, saga.leases, saga.drivers",
        ])
        .await?;
    stack.run(&["start", "process-manager"]).await?;
    // One more order shows that the log was folded up to its end.
    let last = shop.confirmed(1, NEAR).await?;
    shop.ended(&last).await?;
    let after: BTreeMap<String, OrderCount> =
        shop.counts().await?.into_iter().filter(|(order, _)| *order != last).collect();
    assert_eq!(after, before);
    nothing_is_left(&stack).await?;
    stack.down().await
}

/// Waits until the process manager has no saga that has not ended.
async fn nothing_is_left(stack: &RunningStack) -> Result<()> {
    until("nothing is left to do", ENDED, async || {
        let left = stack.run(&["run", "process-manager", "sagas", "list", "--json"]).await?;
        let left: Vec<Value> = serde_json::from_str(&left).context("a list")?;
        Ok(left.is_empty().then_some(()))
    })
    .await
}
