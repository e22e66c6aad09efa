//! The past of rows: what the projections keep of it is what a replay as of each moment makes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use event_store::encryption::SubjectKeyStore;
use event_store::{Position, UpcastingLog};
use local_servers::test_run;
use projection::AnyProjection;
use projection::ops::explain::{AsOf, Question, Step, explain};
use projection::ops::{Operations, Silent};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::erasure::World;
use crate::evolution::{self, bought_in_one};
use crate::support::life::Life;
use crate::support::{append, ask, contents, log, log_of, read_model, runner, vault};

mod long;
mod rebuilt;

/// The columns that only folds need, which the past does not have.
const PRIVATE: [&str; 1] = ["returns"];

/// The rows of a history, each in the order of its events, by key.
type Past = BTreeMap<String, Vec<Value>>;

async fn operations(
    url: &str,
    log: UpcastingLog,
    keys: Option<&Arc<dyn SubjectKeyStore>>,
) -> Operations {
    Operations::new(url.parse().unwrap(), log, keys.map(vault)).await.unwrap()
}

/// The projections that keep the past of their rows.
async fn with_history(url: &str) -> Vec<Arc<dyn AnyProjection>> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut found = Vec::new();
    for projection in projector::projections::all() {
        let table = format!("read_model.{}_history", projection.name());
        let exists = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table);
        if exists.fetch_one(&mut connection).await.unwrap() {
            found.push(projection);
        }
    }
    assert!(!found.is_empty());
    found
}

/// What a projection keeps of the past.
async fn kept(url: &str, name: &str) -> Past {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let key: String = sqlx::query_scalar(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY array_position(indkey, attnum))
         FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
         JOIN read_model.generations ON live AND projection = $1
         WHERE indisprimary AND indrelid = to_regclass(format('%I.%I',
             read_model.generation_schema(projection, generation), projection))",
    )
    .bind(name)
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let statement = format!(
        "SELECT concat_ws('/', {key}), to_jsonb(h) FROM read_model.{name}_history AS h
         ORDER BY position"
    );
    let rows: Vec<(String, Value)> =
        sqlx::query_as(AssertSqlSafe(statement)).fetch_all(&mut connection).await.unwrap();
    let mut past = Past::new();
    for (key, row) in rows {
        past.entry(key).or_default().push(row);
    }
    past
}

/// A row after each event of a replay, in the form of the columns of its history.
async fn replayed(
    url: &str,
    operations: &Operations,
    projection: &Arc<dyn AnyProjection>,
    key: &str,
) -> Vec<Value> {
    let mut steps: BTreeMap<Position, Map<String, Value>> = BTreeMap::new();
    let handled = projection.handles();
    let show = |step: &Step| {
        let mut row = step.row.clone();
        row.values_mut().for_each(truncate);
        let event = &step.event;
        let is_current = handled.contains(&event.event_type.as_str());
        for (column, value) in [
            ("event_id", json!(event.id)),
            ("event_type", if is_current { json!(event.event_type) } else { Value::Null }),
            ("event_version", json!(event.version)),
            ("event_at", json!(event.recorded_at.trunc_subsecs(6))),
            ("event_by", json!(event.metadata.actor)),
        ] {
            row.insert(column.to_owned(), value);
        }
        // All fragments of a stored event take effect together.
        steps.insert(event.position, row);
        Ok(())
    };
    let question = Question { key: key.to_owned(), as_of: None, reveal: true };
    explain(operations, projection, &question, &Silent, show).await.unwrap();
    let rows = Value::Array(steps.into_values().map(Value::Object).collect());
    let statement = format!(
        "SELECT jsonb_agg(to_jsonb(h) ORDER BY position)
         FROM jsonb_populate_recordset(NULL::read_model.{}_history, $1) AS h",
        projection.name()
    );
    let mut connection = PgConnection::connect(url).await.unwrap();
    let rows: Value = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(rows)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    rows.as_array().unwrap().clone()
}

/// Without what the past does not have, and without the type of an event that was upcast.
fn comparable(rows: &[Value], like: &[Value]) -> Vec<Value> {
    let mut rows = rows.to_vec();
    for (row, like) in rows.iter_mut().zip(like) {
        let is_upcast = like["event_type"].is_null();
        row.as_object_mut().unwrap().retain(|column, _| {
            !(PRIVATE.contains(&column.as_str()) || is_upcast && column == "event_type")
        });
    }
    rows
}

/// Cuts a time to microseconds, as a column does. The log in memory has nanoseconds.
fn truncate(value: &mut Value) {
    let time = value.as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    if let Some(time) = time {
        *value = json!(time.trunc_subsecs(6));
    }
}

/// When the event of a past row was recorded.
fn time(row: &Value) -> DateTime<Utc> {
    row["event_at"].as_str().unwrap().parse().unwrap()
}

/// Every past row of every projection is what a replay makes.
async fn is_what_a_replay_makes(url: &str, operations: &Operations, context: &str) {
    let now = contents(url).await;
    for projection in with_history(url).await {
        let name = projection.name();
        let past = kept(url, name).await;
        assert_eq!(past.len(), now[name].as_array().unwrap().len(), "{context}: {name}: the rows");
        for (key, kept) in &past {
            let replayed = replayed(url, operations, &projection, key).await;
            assert_eq!(
                comparable(kept, &replayed),
                comparable(&replayed, &replayed),
                "{context}: {name} {key}"
            );
        }
    }
}

#[tokio::test]
async fn p7_the_past_of_every_row_is_what_a_replay_makes_and_as_of_any_moment_too() {
    let run = test_run();
    for round in 0..run.count(2, 40) {
        let seed = run.seed.wrapping_add(round);
        let store = log_of(Life::new(seed).goes_on(300)).await;
        let database = read_model().await;
        let url = database.url();
        runner(Arc::clone(&store) as _, url).run_once().await.unwrap();
        let operations = operations(url, log(store), None).await;
        is_what_a_replay_makes(url, &operations, &format!("seed {seed}")).await;
        let mut random = StdRng::seed_from_u64(seed);
        for projection in with_history(url).await {
            for (key, rows) in kept(url, projection.name()).await.into_iter().take(5) {
                let row = &rows[random.random_range(0..rows.len())];
                let at = time(row);
                let position = row["position"].as_i64().unwrap();
                let last_moment = at + TimeDelta::nanoseconds(999);
                for as_of in [AsOf::Position(Position(position)), AsOf::Time(last_moment)] {
                    let is_past = |row: &&Value| match as_of {
                        AsOf::Position(_) => row["position"].as_i64().unwrap() <= position,
                        AsOf::Time(_) => time(row) <= at,
                    };
                    let question = Question { key: key.clone(), as_of: Some(as_of), reveal: true };
                    let shown = explain(&operations, &projection, &question, &Silent, |_| Ok(()));
                    let shown = shown.await.unwrap();
                    let last = rows.iter().rfind(is_past).unwrap();
                    assert_eq!(shown["position"], last["position"], "{key} as of {as_of:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn p7_erasures_leave_of_the_past_what_a_replay_after_them_makes() {
    let run = test_run();
    for round in 0..run.count(2, 40) {
        let seed = run.seed.wrapping_add(round);
        let (world, mut life) = (World::new(), Life::new(seed));
        let mut random = StdRng::seed_from_u64(seed);
        let database = read_model().await;
        let url = database.url();
        let mut live = runner(Arc::clone(&world.log), url).revealing(vault(&world.keys));
        let mut erased = BTreeSet::new();
        for _ in 0..8 {
            for happening in life.goes_on(25) {
                append(&world.encrypted, vec![happening]).await;
            }
            // The erasure comes in the batch of the last events, or in one after them.
            if random.random_ratio(1, 2) {
                live.run_once().await.unwrap();
            }
            let users: Option<Vec<Uuid>> =
                ask(url, "SELECT array_agg(id ORDER BY id) FROM read_model.users").await;
            if let Some(users) = users {
                let user = users[random.random_range(0..users.len())];
                world.erase(user).await;
                erased.insert(user);
            }
        }
        live.run_once().await.unwrap();
        let operations = operations(url, log(Arc::clone(&world.log)), Some(&world.keys)).await;
        is_what_a_replay_makes(url, &operations, &format!("seed {seed}")).await;
        let past = kept(url, "users").await;
        let named = |rows: &[Value]| rows.iter().any(|row| !row["name"].is_null());
        assert!(past.values().any(|rows| named(rows)), "seed {seed}: somebody is not erased");
        for user in &erased {
            let rows = &past[&user.to_string()];
            assert!(!named(rows), "seed {seed}: {user} has a name in the past");
            let text = Value::Array(rows.clone()).to_string();
            assert!(!text.contains("@example.com") && !text.contains("Ring 1"), "{text}");
        }
    }
}

#[tokio::test]
async fn p7_upcast_events_leave_one_past_row_each_which_is_what_a_replay_makes() {
    let store = bought_in_one().await;
    let database = read_model().await;
    let url = database.url();
    evolution::runner(Arc::clone(&store) as _, url).run_once().await.unwrap();
    let operations = operations(url, evolution::past_log(store), None).await;
    is_what_a_replay_makes(url, &operations, "upcast").await;
    let types: Vec<String> =
        ask(url, "SELECT array_agg(event_type ORDER BY position) FROM read_model.orders_history")
            .await;
    assert_eq!(types, ["order.confirmed"], "the last of the events that it became");
}
