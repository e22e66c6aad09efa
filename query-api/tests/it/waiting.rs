//! Tests of reading your own writes (P10): a query waits until its snapshot shows a token's
//! position.

use std::time::{Duration, Instant};

use local_servers::{NatsOptions, NatsServer, until};
use nats_kit::NatsHandle;
use query_api::position::{self, CheckpointUpdate, Watcher};
use secrecy::SecretString;
use service_kit::consistency::{ConsistencyToken, TokenKey};
use service_kit::health::Health;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{App, UserSeed, event_at, get, router, token_key};

const USERS: &str = "/api/v1/users";

#[tokio::test]
async fn p10_a_position_that_is_shown_already_is_not_waited_for() {
    let app = App::silent(1).await;
    for position in [1, 99, 100] {
        let answer =
            app.get_with("/api/v1/users", &[("consistency-token", &app.token(position))]).await;
        assert_eq!((answer.status.as_u16(), &answer.body["meta"]["position"]), (200, &100.into()));
        assert_eq!(answer.body["meta"]["epoch"], app.epoch.to_string());
    }
}

#[tokio::test]
async fn p10_a_waiting_query_answers_when_the_checkpoint_moves_and_shows_the_row() {
    let app = App::start().await;
    let user = UserSeed::number(1);
    let path = format!("/api/v1/users/{}?consistency_token={}", user.id, app.token(101));
    let query = app.get_with(&path, &[("prefer", "wait=10")]);
    let projector = async {
        somebody_waits(&app).await;
        app.add_user(&user).await;
        app.move_to("users", 101).await;
    };
    let (answer, ()) = tokio::join!(query, projector);
    assert_eq!(
        (answer.status.as_u16(), &answer.body["data"]["id"]),
        (200, &user.id.to_string().into())
    );
    assert_eq!(answer.body["meta"]["position"], 101);
    assert_eq!(answer.header("preference-applied"), "wait=10");
}

#[tokio::test]
async fn p10_an_answer_that_reads_two_projections_waits_for_the_slower_one() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    app.move_to("users", 105).await;
    let path = format!("/api/v1/users/{user}/orders?consistency_token={}", app.token(105));
    let query = app.get_with(&path, &[("prefer", "wait=10")]);
    let projector = async {
        somebody_waits(&app).await;
        app.add_order(user, "pending", 1).await;
        app.move_to("orders", 107).await;
    };
    let (answer, ()) = tokio::join!(query, projector);
    assert_eq!((answer.status.as_u16(), answer.ids().len()), (200, 1), "{answer:?}");
    assert_eq!(answer.body["meta"]["position"], 105, "the smaller of the two");
}

#[tokio::test]
async fn a_query_gives_up_when_its_time_is_over() {
    let app = App::start().await;
    for (prefer, limit) in [("wait=0", 1), ("wait=1", 3)] {
        let started = Instant::now();
        let answer = app
            .get_with(
                "/api/v1/users",
                &[("consistency-token", &app.token(101)), ("prefer", prefer)],
            )
            .await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (503, &"not-yet-consistent".into())
        );
        assert_eq!(answer.header("retry-after"), "1");
        assert!(
            started.elapsed() < Duration::from_secs(limit),
            "{prefer}: {:?}",
            started.elapsed()
        );
    }
}

#[tokio::test]
async fn a_forged_token_is_refused_and_one_of_another_history_conflicts() {
    let app = App::silent(1).await;
    let forger = TokenKey::from_secret(&SecretString::from("X".repeat(44))).unwrap();
    let forged =
        ConsistencyToken { epoch: app.epoch, position: 1, event_id: event_at(1) }.sign(&forger);
    // Epochs are UUIDv7, and this one began earlier.
    let elsewhere = ConsistencyToken { epoch: Uuid::nil(), position: 1, event_id: event_at(1) }
        .sign(&token_key());
    // The same position, but another event: a restored log has continued from an earlier point.
    let replaced = ConsistencyToken { epoch: app.epoch, position: 100, event_id: Uuid::now_v7() }
        .sign(&token_key());
    for (token, status, code) in [
        (forged.as_str(), 400, "consistency-token-invalid"),
        ("nonsense", 400, "consistency-token-invalid"),
        (&elsewhere, 409, "consistency-token-other-epoch"),
        (&replaced, 409, "consistency-token-other-epoch"),
    ] {
        for path in ["/api/v1/users".to_owned(), format!("/api/v1/users/{}", Uuid::now_v7())] {
            let answer = app.get_with(&path, &[("consistency-token", token)]).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["code"]),
                (status, &code.into()),
                "{token}"
            );
        }
    }
    let both = format!("/api/v1/users?consistency_token={}", app.token(1));
    assert_eq!(app.get_with(&both, &[("consistency-token", &app.token(2))]).await.status, 422);
}

#[tokio::test]
async fn i9_a_token_of_a_new_epoch_is_waited_for_until_the_projection_follows() {
    let app = App::start().await;
    // Behind the projection's position in the old epoch, as after lost commits.
    let token = ConsistencyToken { epoch: Uuid::max(), position: 90, event_id: event_at(90) }
        .sign(&token_key());
    let early =
        app.get_with("/api/v1/users", &[("consistency-token", &token), ("prefer", "wait=1")]).await;
    assert_eq!((early.status.as_u16(), &early.body["code"]), (503, &"not-yet-consistent".into()));
    assert_eq!(early.header("retry-after"), "1");
    assert!(
        early.body["detail"].as_str().unwrap().contains("an earlier history"),
        "{}",
        early.body
    );
    let headers = [("consistency-token", token.as_str()), ("prefer", "wait=10")];
    let query = app.get_with("/api/v1/users", &headers);
    let projector = async {
        somebody_waits(&app).await;
        let follow = "UPDATE read_model.checkpoints SET epoch = $1, position = 90, event_id = $2 \
            WHERE projection = 'users'";
        sqlx::query(follow)
            .bind(Uuid::max())
            .bind(event_at(90))
            .execute(&app.writer)
            .await
            .unwrap();
    };
    let (answer, ()) = tokio::join!(query, projector);
    assert_eq!(
        (answer.status.as_u16(), &answer.body["meta"]["epoch"]),
        (200, &Uuid::max().to_string().into())
    );
}

#[tokio::test]
async fn those_who_wait_hold_no_connection() {
    let app = App::silent(1).await;
    app.polls();
    let token = app.token(101);
    let headers = [("consistency-token", token.as_str()), ("prefer", "wait=10")];
    let waiting =
        futures::future::join_all((0..50).map(|_| app.get_with("/api/v1/users", &headers)));
    let projector = async {
        somebody_waits(&app).await;
        // The only connection is free for other queries in the meantime.
        for _ in 0..5 {
            assert_eq!(app.get("/api/v1/products").await.status, 200);
        }
        app.move_to("users", 101).await;
    };
    let (answers, ()) = tokio::join!(waiting, projector);
    assert!(answers.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn beyond_the_limit_of_those_who_wait_a_query_is_refused_and_one_that_need_not_wait_is_not() {
    let app = App::silent(1).await;
    let watcher = Watcher::new(2);
    let router = router(app.pools.clone(), watcher.clone());
    let token = app.token(101);
    let headers = [("consistency-token", token.as_str()), ("prefer", "wait=10")];
    let waiting = futures::future::join_all((0..2).map(|_| get(&router, USERS, &headers)));
    let others = async {
        until("both wait", async || watcher.waiting() == 2).await;
        let refused = get(&router, USERS, &headers).await;
        let code = &refused.body["code"];
        assert_eq!((refused.status.as_u16(), code), (503, &"too-many-waiting".into()));
        assert_eq!(refused.header("retry-after"), "1");
        assert_eq!(get(&router, USERS, &[]).await.status, 200);
        app.move_to("users", 101).await;
        let epoch = Some(app.epoch);
        let moved = CheckpointUpdate { partition: 0, partitions: 1, epoch, position: 101 };
        watcher.moved("users", moved);
    };
    let (answers, ()) = tokio::join!(waiting, others);
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
}

#[tokio::test]
async fn an_announcement_wakes_at_once_without_asking_the_database() {
    let app = App::silent(4).await;
    let server = NatsServer::start(NatsOptions::default()).await.unwrap();
    let health = Health::new();
    let component = health.component("nats");
    let stop = CancellationToken::new();
    tokio::spawn(position::listen(
        app.watcher.clone(),
        NatsHandle::connect(&server.url(), "query-api").await.unwrap(),
        component.clone(),
        stop.clone(),
    ));
    let projector = async_nats::connect(server.url()).await.unwrap();
    let token = app.token(101);
    let headers = [("consistency-token", token.as_str()), ("prefer", "wait=10")];
    let query = app.get_with("/api/v1/users", &headers);
    let move_and_say = async {
        somebody_waits(&app).await;
        until("the partition is ready", async || component.is_ready()).await;
        app.move_to("users", 101).await;
        let said = serde_json::json!({"projection": "users", "generation": 1, "partition": 0,
            "partitions": 1, "epoch": app.epoch, "position": 101,
            "event_id": event_at(101)});
        projector.publish("checkpoints.users", said.to_string().into()).await.unwrap();
        projector.flush().await.unwrap();
    };
    let (answer, ()) = tokio::join!(query, move_and_say);
    assert_eq!((answer.status.as_u16(), &answer.body["meta"]["position"]), (200, &101.into()));
    stop.cancel();
}

#[tokio::test]
async fn an_announcement_that_comes_before_the_rows_is_only_a_hint() {
    let app = App::start().await;
    let token = app.token(101);
    let headers = [("consistency-token", token.as_str()), ("prefer", "wait=10")];
    let query = app.get_with("/api/v1/users", &headers);
    let early = async {
        somebody_waits(&app).await;
        app.watcher.moved(
            "users",
            CheckpointUpdate { partition: 0, partitions: 1, epoch: Some(app.epoch), position: 101 },
        );
        app.move_to("users", 101).await;
    };
    let (answer, ()) = tokio::join!(query, early);
    assert_eq!((answer.status.as_u16(), &answer.body["meta"]["position"]), (200, &101.into()));
}

#[tokio::test]
async fn p10_a_single_row_waits_for_its_own_part_alone_and_a_list_for_all_of_them() {
    let app = App::start().await;
    app.split("users", 3).await;
    let (mut ahead, mut behind) = (None, None);
    for _ in 0..40 {
        let user = app.add_user(&UserSeed::number(1)).await;
        let partition = sqlx::query_scalar::<_, i32>("SELECT read_model.partition_of($1, 3)")
            .bind(user.to_string());
        let partition = partition.fetch_one(&app.writer).await.unwrap();
        *(if partition == 2 { &mut behind } else { &mut ahead }) = Some(user);
    }
    let (ahead, behind) = (ahead.unwrap(), behind.unwrap());
    for partition in [0, 1] {
        app.move_partition("users", partition, 105).await;
    }
    // The row's partition has the position. The third partition does not matter.
    let own = app
        .get_with(&format!("/api/v1/users/{ahead}"), &[("consistency-token", &app.token(105))])
        .await;
    assert_eq!((own.status.as_u16(), &own.body["meta"]["position"]), (200, &105.into()), "{own:?}");
    let orders = app
        .get_with(
            &format!("/api/v1/users/{ahead}/orders"),
            &[("consistency-token", &app.token(100))],
        )
        .await;
    assert_eq!(orders.body["meta"]["position"], 100, "the orders have not got so far");
    for path in [format!("/api/v1/users/{behind}"), "/api/v1/users".to_owned()] {
        let answer = app.get(&path).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["meta"]["position"]),
            (200, &100.into()),
            "{path} shows the least"
        );
        let late = app
            .get_with(&path, &[("consistency-token", &app.token(105)), ("prefer", "wait=0")])
            .await;
        assert_eq!(
            (late.status.as_u16(), &late.body["code"]),
            (503, &"not-yet-consistent".into()),
            "{path}"
        );
    }
    let token = app.token(105);
    let headers = [("consistency-token", token.as_str()), ("prefer", "wait=10")];
    let one = format!("/api/v1/users/{behind}");
    let (one, list) = (app.get_with(&one, &headers), app.get_with("/api/v1/users", &headers));
    let projector = async {
        until("two wait", async || app.watcher.waiting() == 2).await;
        app.move_partition("users", 2, 106).await;
    };
    let (one, list, ()) = tokio::join!(one, list, projector);
    assert_eq!((one.status.as_u16(), &one.body["meta"]["position"]), (200, &106.into()));
    assert_eq!((list.status.as_u16(), &list.body["meta"]["position"]), (200, &105.into()));
}

#[tokio::test]
async fn p10_those_who_wait_for_a_part_that_is_gone_after_a_switch_read_again() {
    let app = App::start().await;
    app.split("users", 2).await;
    app.move_partition("users", 0, 105).await;
    let token = app.token(105);
    let headers = [("consistency-token", token.as_str()), ("prefer", "wait=10")];
    let switch = async {
        somebody_waits(&app).await;
        app.split("users", 1).await;
    };
    let (answer, ()) = tokio::join!(app.get_with("/api/v1/users", &headers), switch);
    assert_eq!((answer.status.as_u16(), &answer.body["meta"]["position"]), (200, &105.into()));
}

async fn somebody_waits(app: &App) {
    until("somebody waits", async || app.watcher.waiting() > 0).await;
}
