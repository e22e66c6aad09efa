//! Tests of many clients that change one aggregate at once without naming a version. They are
//! decided in turn, and each gets its own answer.

use std::collections::BTreeSet;

use event_store::StoreError;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::postgres::{at_once, database, shop};
use crate::support::{Arrivals, Cue, Reply, Shop, ShopOptions, Stage, With, json_request};

const CLIENTS: usize = 300;
/// A change of the stock that is always refused.
const TOO_MANY: i64 = -1_000_000;

fn stock_path(product: &str) -> String {
    format!("/api/v1/products/{product}/stock")
}

/// The versions and positions in the answers. Each occurs once.
fn told(replies: &[Reply]) -> (BTreeSet<i64>, BTreeSet<i64>) {
    let version = |reply: &Reply| reply.ok()["version"].as_i64().unwrap();
    let position = |reply: &Reply| reply.token().position;
    (replies.iter().map(version).collect(), replies.iter().map(position).collect())
}

/// Checks all events of the product in the log: each stock follows from the one before.
async fn check_stock(shop: &Shop, changes: i64) {
    let log = shop.log().await;
    let stocks: Vec<i64> = log.iter().map(|(_, data)| data["stock"].as_i64().unwrap()).collect();
    assert_eq!(stocks, (10..=10 + changes).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_clients_of_one_product_all_succeed_each_with_its_own_answer() {
    let database = database().await;
    let shop = shop(&database).await;
    let path = stock_path(&shop.product("1.00").await);
    let shops = [shop.clone(), shop.clone()];
    let replies =
        at_once(&shops, CLIENTS, |_| json_request("POST", &path, &json!({"delta": 1}))).await;
    let (versions, positions) = told(&replies);
    let all: BTreeSet<i64> = (2..=i64::try_from(CLIENTS).unwrap() + 1).collect();
    assert_eq!((&versions, &positions), (&all, &all));
    for reply in &replies {
        assert_eq!(
            reply.token().position,
            reply.ok()["version"].as_i64().unwrap(),
            "an answer belongs to another request"
        );
    }
    check_stock(&shop, i64::try_from(CLIENTS).unwrap()).await;
    let transactions = "SELECT count(DISTINCT xmin::text) FROM event_store.events";
    let mut connection =
        <sqlx::PgConnection as sqlx::Connection>::connect(database.url()).await.unwrap();
    let batches: i64 = sqlx::query_scalar(transactions).fetch_one(&mut connection).await.unwrap();
    assert!(batches <= 100, "{CLIENTS} clients took {batches} batches");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_clients_of_two_processes_all_succeed_too() {
    let database = database().await;
    let shops = [shop(&database).await, shop(&database).await];
    let path = stock_path(&shops[0].product("1.00").await);
    // Both shops first read the log, as a process does before it accepts commands.
    shops[1].post(&path, json!({"delta": 1})).await.ok();
    let replies =
        at_once(&shops, CLIENTS, |_| json_request("POST", &path, &json!({"delta": 1}))).await;
    assert_eq!(told(&replies).0, (3..=i64::try_from(CLIENTS).unwrap() + 2).collect());
    check_stock(&shops[0], i64::try_from(CLIENTS).unwrap() + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_among_many_is_a_refusal_of_that_one_alone() {
    let database = database().await;
    let shop = shop(&database).await;
    let path = stock_path(&shop.product("1.00").await);
    let shops = [shop.clone(), shop.clone()];
    let delta = |number: usize| if number.is_multiple_of(3) { TOO_MANY } else { 1 };
    let request = |number: usize| json_request("POST", &path, &json!({"delta": delta(number)}));
    let replies = at_once(&shops, 90, request).await;
    let (refused, made): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|reply| reply.status != 200);
    assert_eq!((refused.len(), told(&made).0), (30, (2..=61).collect()));
    for reply in &refused {
        reply.problem(409, "product/not-enough-stock");
    }
    check_stock(&shop, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_repeats_among_many_answer_as_the_first_did_and_have_no_effect() {
    let database = database().await;
    let shop = shop(&database).await;
    let path = stock_path(&shop.product("1.00").await);
    let keyed = |number: usize| {
        json_request("POST", &path, &json!({"delta": 1}))
            .with("idempotency-key", &format!("k{number}"))
    };
    let first = [shop.send(keyed(0)).await, shop.send(keyed(1)).await];
    let shops = [shop.clone(), shop.clone()];
    // Two of three are repeats. Those of 2 and 3 repeat commands that are in flight with them.
    let number = |nth: usize| if nth.is_multiple_of(3) { nth + 10 } else { nth % 4 };
    let replies = at_once(&shops, 90, |nth| keyed(number(nth))).await;
    for (nth, reply) in replies.iter().enumerate() {
        if number(nth) < 2 {
            assert_eq!(reply.ok(), first[number(nth)].ok());
            assert_eq!(reply.header("idempotent-replayed"), "true");
        }
    }
    // The first two, those of 2 and 3, and 30 new ones.
    assert_eq!(told(&replies).0, (2..=35).collect());
    check_stock(&shop, 34).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_names_a_version_competes_with_those_who_do_not() {
    let database = database().await;
    let shop = shop(&database).await;
    let path = stock_path(&shop.product("1.00").await);
    let shops = [shop.clone(), shop.clone()];
    let request = |number: usize| {
        let request = json_request("POST", &path, &json!({"delta": 1}));
        if number.is_multiple_of(10) { request.with("if-match", "\"1\"") } else { request }
    };
    let replies = at_once(&shops, 50, request).await;
    let (stale, made): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|reply| reply.status == 412);
    assert!((4..=5).contains(&stale.len()), "at most one of the five is first");
    for reply in &stale {
        reply.problem(412, "stale-version");
    }
    check_stock(&shop, i64::try_from(made.len()).unwrap()).await;
}

/// A shop whose store waits for cues, with a product of which ten are in stock.
struct Scene {
    stage: std::sync::Arc<Stage>,
    arrivals: Arrivals,
    shop: Shop,
    path: String,
}

impl Scene {
    async fn set() -> Self {
        let (stage, arrivals) = Stage::new();
        let shop = Shop::over(stage.clone(), ShopOptions::default());
        let path = stock_path(&shop.product("1.00").await);
        Self { stage, arrivals, shop, path }
    }

    fn adjust(&self, delta: i64) -> JoinHandle<Reply> {
        let (shop, path) = (self.shop.clone(), self.path.clone());
        tokio::spawn(async move { shop.post(&path, json!({"delta": delta})).await })
    }

    /// Starts a command and waits until its append reaches the store, where it waits for its cue.
    async fn adjust_and_arrive(&mut self, delta: i64, cue: Cue) -> JoinHandle<Reply> {
        self.stage.cue(cue);
        let sent = self.adjust(delta);
        self.arrivals.next().await;
        sent
    }
}

/// Runs every other task of this thread until all of them wait.
pub(crate) async fn everybody_waits() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_refusal_for_what_is_on_its_way_waits_until_it_is_there() {
    let mut scene = Scene::set().await;
    let takes_all = scene.adjust_and_arrive(-10, Cue::GoOn).await;
    let too_late = scene.adjust(-1);
    everybody_waits().await;
    assert!(!too_late.is_finished(), "refused because of something that has not happened");
    scene.stage.go();
    assert_eq!(takes_all.await.unwrap().ok()["version"], 2);
    too_late.await.unwrap().problem(409, "product/not-enough-stock");
}

#[tokio::test]
async fn a_refusal_for_what_then_does_not_happen_is_decided_anew() {
    for (failure, code) in [
        (Cue::Fail(StoreError::Unavailable(None)), "store/unavailable"),
        (Cue::Fail(StoreError::OutcomeUnknown(None)), "store/outcome-unknown"),
    ] {
        let mut scene = Scene::set().await;
        let takes_all = scene.adjust_and_arrive(-10, failure).await;
        let after = scene.adjust(-1);
        everybody_waits().await;
        scene.stage.go();
        takes_all.await.unwrap().problem(503, code);
        assert_eq!(after.await.unwrap().ok()["version"], 2);
        assert_eq!(scene.shop.log().await.pop().unwrap().1["stock"], 9);
    }
}

#[tokio::test]
async fn a_command_behind_one_that_fails_or_is_unknown_is_decided_on_what_came_of_it() {
    for (first, second) in
        [(Cue::Fail(StoreError::Unavailable(None)), (2, 11)), (Cue::LoseAnswer, (3, 16))]
    {
        let mut scene = Scene::set().await;
        let failing = scene.adjust_and_arrive(5, first).await;
        let behind = scene.adjust_and_arrive(1, Cue::GoOn).await;
        scene.stage.go();
        // The order is fixed, whichever task the runtime would resume first.
        assert_eq!(failing.await.unwrap().status, 503);
        scene.stage.go();
        assert_eq!(behind.await.unwrap().ok()["version"], second.0);
        assert_eq!(scene.shop.log().await.pop().unwrap().1["stock"], second.1);
    }
}

#[tokio::test]
async fn a_command_that_changes_nothing_stands_in_line_and_holds_up_nobody() {
    let mut scene = Scene::set().await;
    let product = scene.path.trim_end_matches("/stock").to_owned();
    let first = scene.adjust_and_arrive(1, Cue::GoOn).await;
    scene.stage.cue(Cue::GoOn);
    let same_name = tokio::spawn({
        let shop = scene.shop.clone();
        async move { shop.patch(&product, json!({"name": "cd"})).await }
    });
    scene.arrivals.next().await;
    let last = scene.adjust_and_arrive(1, Cue::GoOn).await;
    for _ in 0..3 {
        scene.stage.go();
    }
    assert_eq!(first.await.unwrap().ok()["version"], 2);
    assert_eq!(same_name.await.unwrap().ok()["version"], 2);
    assert_eq!(last.await.unwrap().ok()["version"], 3);
}
