//! Tests of what a client sees when the store is away or does not answer, and when the client
//! itself hangs up.

use command_api::application::command::{DEADLINE, RACE_LIMIT};
use event_store::{Epoch, Position, Refusal, StoreError};
use serde_json::json;

use crate::support::{Cue, Shop, ShopOptions, Stage, With, json_request, send};

fn register() -> axum::http::Request<axum::body::Body> {
    json_request("POST", "/api/v1/users", &json!({"email": "ada@example.com", "name": "Ada"}))
        .with("idempotency-key", "k")
}

#[tokio::test]
async fn a_store_that_is_away_is_a_503_that_changed_nothing() {
    let (stage, _arrivals) = Stage::new();
    let shop = Shop::over(stage.clone(), ShopOptions::default());
    stage.cue(Cue::Fail(StoreError::Unavailable(None)));
    stage.go();
    let reply = shop.send(register()).await;
    reply.problem(503, "store/unavailable");
    assert_eq!(reply.header("retry-after"), "2");
    assert!(shop.types().await.is_empty());
}

#[tokio::test]
async fn p9_an_answer_that_was_lost_is_a_503_and_the_repeat_finds_it() {
    let (stage, _arrivals) = Stage::new();
    let shop = Shop::over(stage.clone(), ShopOptions::default());
    stage.cue(Cue::LoseAnswer);
    stage.go();
    let reply = shop.send(register()).await;
    reply.problem(503, "store/outcome-unknown");
    assert_eq!(reply.header("retry-after"), "2");
    let again = shop.send(register()).await;
    again.made();
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(shop.types().await, ["user.registered"]);
}

#[tokio::test]
async fn a_store_whose_server_may_lose_what_it_acknowledges_is_a_503_that_changed_nothing() {
    let (stage, _arrivals) = Stage::new();
    let shop = Shop::over(stage.clone(), ShopOptions::default());
    stage.cue(Cue::Fail(StoreError::Unsafe("canary".to_owned())));
    stage.go();
    let reply = shop.send(register()).await;
    reply.problem(503, "store/unavailable");
    assert!(!reply.body.to_string().contains("canary"));
    shop.send(register()).await.made();
}

#[tokio::test(start_paused = true)]
async fn a_command_that_hangs_is_a_503_in_time_and_gives_its_place_back() {
    let (stage, mut arrivals) = Stage::new();
    let shop =
        Shop::over(stage.clone(), ShopOptions { commands_at_once: 1, ..ShopOptions::default() });
    stage.cue(Cue::GoOn);
    let started = tokio::time::Instant::now();
    let reply = shop.send(register()).await;
    reply.problem(503, "store/outcome-unknown");
    assert_eq!(reply.header("retry-after"), "2");
    assert_eq!(started.elapsed().as_secs(), DEADLINE.as_secs());
    arrivals.next().await;
    // Nothing resumes the first command, but its place and its key are free again.
    shop.send(register()).await.made();
}

#[tokio::test]
async fn a_fault_of_ours_says_nothing_of_its_cause() {
    let (stage, _arrivals) = Stage::new();
    let shop = Shop::over(stage.clone(), ShopOptions::default());
    stage.cue(Cue::Fail(StoreError::Unusable("canary".to_owned())));
    stage.go();
    let reply = shop.send(register()).await;
    reply.problem(500, "internal");
    assert!(!reply.body.to_string().contains("canary"));
}

#[tokio::test]
async fn before_the_store_is_found_commands_are_refused_and_the_document_is_there() {
    let router = Shop::starting();
    send(router.clone(), register()).await.problem(503, "store/unavailable");
    let document =
        axum::http::Request::get("/openapi.json").body(axum::body::Body::empty()).unwrap();
    assert_eq!(send(router, document).await.status, 200);
}

#[tokio::test]
async fn a_command_goes_on_to_its_end_when_the_client_hangs_up() {
    let (stage, mut arrivals) = Stage::new();
    let shop = Shop::over(stage.clone(), ShopOptions::default());
    stage.cue(Cue::GoOn);
    let client = tokio::spawn({
        let shop = shop.clone();
        async move { shop.send(register()).await }
    });
    arrivals.next().await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    assert!(shop.types().await.is_empty());
    stage.go();
    shop.drain().await;
    assert_eq!(shop.types().await, ["user.registered"]);
}

/// More attempts than a command makes, because its pauses soon exceed 30 ms.
const MORE_THAN_TRIED: u32 = 1_000;

#[tokio::test(start_paused = true)]
async fn a_race_that_is_lost_over_and_over_is_given_up_with_a_503() {
    let (stage, mut arrivals) = Stage::new();
    let shop = Shop::over(stage.clone(), ShopOptions::default());
    for _ in 0..MORE_THAN_TRIED {
        stage.cue(Cue::Refuse(Refusal::Condition { index: 0, position: Position(1) }));
        stage.go();
    }
    let began = tokio::time::Instant::now();
    let reply = shop.send(register()).await;
    reply.problem(503, "contention");
    assert_eq!(reply.header("retry-after"), "1");
    assert!((RACE_LIMIT..DEADLINE).contains(&began.elapsed()), "{:?}", began.elapsed());
    let tries = arrivals.count();
    assert!((50..MORE_THAN_TRIED).contains(&tries), "{tries}");
}

#[tokio::test]
async fn a_log_that_began_another_history_is_read_anew() {
    let (stage, _arrivals) = Stage::new();
    let shop = Shop::over(stage.clone(), ShopOptions::default());
    let actual = stage_epoch(&shop).await;
    stage.cue(Cue::Refuse(Refusal::Epoch { actual }));
    stage.go();
    let reply = shop.send(register()).await;
    reply.made();
    assert_eq!(reply.token().epoch, actual.0);
}

#[tokio::test]
async fn what_was_closed_for_good_takes_no_change() {
    let (stage, _arrivals) = Stage::new();
    let shop = Shop::over(stage.clone(), ShopOptions::default());
    stage.cue(Cue::Refuse(Refusal::Closed { stream: "user-1".parse().unwrap() }));
    stage.go();
    shop.send(register()).await.problem(409, "aggregate/closed");
}

async fn stage_epoch(shop: &Shop) -> Epoch {
    shop.store.head().await.unwrap().epoch
}

#[tokio::test]
async fn more_commands_than_the_limit_are_refused_at_once_and_taken_again_later() {
    let (stage, mut arrivals) = Stage::new();
    let shop =
        Shop::over(stage.clone(), ShopOptions { commands_at_once: 1, ..ShopOptions::default() });
    stage.cue(Cue::GoOn);
    let first = tokio::spawn({
        let shop = shop.clone();
        async move { shop.send(register()).await }
    });
    arrivals.next().await;
    let second =
        shop.post("/api/v1/users", json!({"email": "grace@example.com", "name": "Grace"})).await;
    second.problem(503, "overloaded");
    stage.go();
    first.await.unwrap().made();
    shop.user("grace@example.com").await;
}
