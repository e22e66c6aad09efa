//! What events may hold is unchanged by JSON and by the columns of the read tables, so that rows
//! that went through their columns between two events equal rows that were folded in memory.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use chrono::{DateTime, Duration, NaiveDate, Utc};
use domain::Personal;
use domain::user::event::{UserEvent, UserRegistered};
use domain::value::{Currency, Email, PersonName, ProductName, time};
use event_store::EventStore;
use local_servers::test_run;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use service_kit::input::{Day, Id, Integer, Time};
use sqlx::postgres::{PgHasArrayType, Postgres};
use sqlx::{Connection as _, Decode, Encode, PgConnection, Type};
use uuid::Uuid;

use crate::support::{
    Happening, contents, everything, happening, happening_of, log_of, read_model, replayed, runner,
};

/// So many values of each type go through a column.
const VALUES: usize = 300;

/// Random values, the same ones for a seed.
fn random(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn some<T: Debug>(runner: &mut TestRunner, strategy: &impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).unwrap().current()
}

/// Texts that were once names: scripts, emoji, marks, quotes, backslashes.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{1,40}".prop_filter_map("no name", |text| Some(
            PersonName::parse(&text).ok()?.as_str().to_owned()
        )),
        prop::sample::select(vec![
            "\\",
            "\\x00",
            "\"",
            "'",
            "{}",
            "\\.",
            "NULL",
            "e\u{301}",
            "\u{10ffff}a",
            "👩\u{200d}🚀",
            "\u{e000}"
        ])
        .prop_map(str::to_owned),
    ]
}

fn currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(every_currency())
}

fn every_currency() -> Vec<Currency> {
    let letters = || (b'A'..=b'Z').map(char::from);
    let codes = letters()
        .flat_map(|a| letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}"))));
    codes.filter_map(|code| code.parse().ok()).collect()
}

/// Times as events may hold them: of the whole range, with nanoseconds and leap seconds.
fn stored_time() -> impl Strategy<Value = String> {
    let (days, seconds) = (-719_162_i64..2_932_000, prop_oneof![0..86_400_u32, Just(86_399)]);
    (days, seconds, prop_oneof![0..2_000_000_000_u32, Just(0)]).prop_map(
        |(day, second, nanosecond)| {
            let is_last = second % 60 == 59;
            let nanosecond = if is_last { nanosecond } else { nanosecond % 1_000_000_000 };
            let day = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + Duration::days(day);
            let time =
                chrono::NaiveTime::from_num_seconds_from_midnight_opt(second, nanosecond).unwrap();
            day.and_time(time).and_utc().to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
        },
    )
}

/// Times before, in and soon after one leap second: a column stores them in another order.
fn around_a_leap_second() -> impl Strategy<Value = String> {
    let of = |second: &'static str, fractions: std::ops::Range<u32>| {
        fractions.prop_map(move |nanosecond| format!("{second}.{nanosecond:09}Z"))
    };
    prop_oneof![
        of("1998-12-31T23:59:59", 0..1_000_000_000),
        of("1998-12-31T23:59:60", 0..1_000_000_000),
        of("1999-01-01T00:00:00", 0..100_000_000),
    ]
}

/// Times that the API admits.
fn admitted_time() -> impl Strategy<Value = DateTime<Utc>> {
    stored_time().prop_filter_map("not admitted", |text| Some(text.parse::<Time>().ok()?.get()))
}

/// Each value through JSON, and all of them through a column.
async fn unchanged<T>(connection: &mut PgConnection, statement: &'static str, values: Vec<T>)
where
    T: Debug + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + Unpin + 'static,
    T: Type<Postgres>
        + PgHasArrayType
        + for<'r> Decode<'r, Postgres>
        + for<'q> Encode<'q, Postgres>,
{
    for value in &values {
        assert_eq!(
            serde_json::from_value::<T>(serde_json::to_value(value).unwrap()).unwrap(),
            *value
        );
        assert_eq!(
            serde_json::from_str::<T>(&serde_json::to_string(value).unwrap()).unwrap(),
            *value
        );
    }
    let found: Vec<T> =
        sqlx::query_scalar(statement).bind(values.clone()).fetch_all(connection).await.unwrap();
    assert_eq!(found, values, "{statement}");
}

/// Values of a column's type through a column of that type. Another type needs a line here.
async fn type_keeps_its_values(
    connection: &mut PgConnection,
    data_type: &str,
    runner: &mut TestRunner,
) {
    let count = 0..VALUES;
    match data_type {
        "uuid" => {
            let values =
                count.map(|_| Uuid::from_u128(some(runner, &any::<u128>()))).collect::<Vec<_>>();
            assert!(values.iter().all(|id| id.to_string().parse::<Id>().unwrap().get() == *id));
            unchanged(connection, "SELECT unnest($1::uuid[])", values).await;
        }
        "bigint" => {
            let numbers = prop_oneof![
                any::<i64>(),
                prop::sample::select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX])
            ];
            let values = count.map(|_| some(runner, &numbers)).collect::<Vec<_>>();
            assert!(
                values
                    .iter()
                    .all(|number| number.to_string().parse::<Integer>().unwrap().get() == *number)
            );
            unchanged(connection, "SELECT unnest($1::bigint[])", values).await;
        }
        "boolean" => {
            let values = count.map(|_| some(runner, &any::<bool>())).collect::<Vec<_>>();
            unchanged(connection, "SELECT unnest($1::boolean[])", values).await;
        }
        "smallint" => {
            let values = count.map(|_| some(runner, &any::<i16>())).collect::<Vec<_>>();
            unchanged(connection, "SELECT unnest($1::smallint[])", values).await;
        }
        "integer" => {
            let values = count.map(|_| some(runner, &any::<i32>())).collect::<Vec<_>>();
            unchanged(connection, "SELECT unnest($1::integer[])", values).await;
        }
        "text" => {
            let texts = prop_oneof![4 => name(),
                1 => currency().prop_map(|currency| currency.code().to_owned())];
            let values = count.map(|_| some(runner, &texts)).collect::<Vec<_>>();
            unchanged(connection, "SELECT unnest($1::text[])", values).await;
        }
        "date" => {
            let days = admitted_time().prop_map(|at| at.date_naive());
            let values = count.map(|_| some(runner, &days)).collect::<Vec<_>>();
            assert!(values.iter().all(|day| day.to_string().parse::<Day>().unwrap().get() == *day));
            unchanged(connection, "SELECT unnest($1::date[])", values).await;
        }
        "timestamp with time zone" => {
            let times = prop_oneof![
                stored_time().prop_map(|text| time::kept(text.parse().unwrap())),
                admitted_time()
            ];
            let values = count.map(|_| some(runner, &times)).collect::<Vec<_>>();
            unchanged(connection, "SELECT unnest($1::timestamptz[])", values).await;
        }
        "jsonb" => {
            let objects = (name(), any::<i64>())
                .prop_map(|(name, number)| json!({"name": name, "minor": number}));
            let values = count.map(|_| some(runner, &objects)).collect::<Vec<Value>>();
            unchanged(connection, "SELECT unnest($1::jsonb[])", values).await;
        }
        other => panic!("there are no values for columns of type {other} yet: add a generator"),
    }
}

#[tokio::test]
async fn every_value_that_is_let_in_is_unchanged_by_json_and_its_column() {
    let run = test_run();
    let database = read_model().await;
    // Makes the tables of every projection.
    runner(log_of(Vec::new()).await, database.url()).run_once().await.unwrap();
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let columns: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
         WHERE table_schema::text LIKE '%\\_g1' ORDER BY 1, 2",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let tables: BTreeSet<&str> = columns.iter().map(|(table, ..)| table.as_str()).collect();
    for name in crate::support::projections() {
        assert!(tables.contains(name), "the columns of every projection: {name}");
    }
    let types: BTreeSet<&str> = columns.iter().map(|(.., data_type)| data_type.as_str()).collect();
    for round in 0..run.count(2, 50) {
        let mut runner = random(run.seed.wrapping_add(round));
        for data_type in &types {
            type_keeps_its_values(&mut connection, data_type, &mut runner).await;
        }
    }
}

fn user(user_id: Uuid, email: &str, name: &str) -> Happening {
    let (email, name) = (Email::parse(email).unwrap(), PersonName::parse(name).unwrap());
    let (email, name) = (Personal::new(user_id, email), Personal::new(user_id, name));
    happening("user", user_id, &UserEvent::Registered(UserRegistered { user_id, email, name }))
}

/// An order as it may stand in the log, confirmed.
fn order(
    order_id: Uuid,
    user_id: Uuid,
    name: &str,
    money: &Value,
    ordered_at: &str,
) -> Vec<Happening> {
    let line = json!({"line_id": order_id, "product_id": order_id, "product_name": name,
        "quantity": 1, "unit_price": money});
    let placed = json!({"order_id": order_id, "user_id": user_id, "lines": [line], "total": money,
        "ordered_at": ordered_at});
    let confirmed = json!({"order_id": order_id, "user_id": user_id, "total": money, "units": 1,
        "ordered_at": ordered_at});
    let of = |event_type: &str, data: &Value| {
        happening_of("order", order_id, event_type, 1, data, Vec::new())
    };
    vec![of("order.placed", &placed), of("order.confirmed", &confirmed)]
}

/// The rows when the log comes in batches of so many events: every row goes through its columns in
/// between.
async fn in_batches_of(size: usize, store: &Arc<event_store::MemoryStore>) -> Value {
    let database = read_model().await;
    let epoch = store.head().await.unwrap().epoch;
    for batch in everything(store.as_ref()).await.chunks(size) {
        projector::project(database.url(), epoch, batch.to_vec()).await.unwrap();
    }
    contents(database.url()).await
}

#[tokio::test]
async fn p7_a_leap_second_that_is_stored_already_counts_once_and_on_one_day() {
    let (user_id, money) = (Uuid::from_u128(1), json!({"minor": 100, "currency": "USD"}));
    let mut happenings = vec![user(user_id, "ada@example.com", "Ada")];
    happenings.extend(order(Uuid::from_u128(10), user_id, "cd", &money, "1998-12-31T23:59:60.9Z"));
    happenings.extend(order(
        Uuid::from_u128(11),
        user_id,
        "cd",
        &money,
        "1999-01-01T00:00:00.2000009Z",
    ));
    let store = log_of(happenings).await;
    let live = in_batches_of(1, &store).await;
    assert_eq!(live, replayed(Arc::clone(&store) as _).await);
    let days: Vec<_> = live["daily_sales"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["day"], &row["orders"]))
        .collect();
    assert_eq!(days, [(&json!("1999-01-01"), &json!(2))]);
    assert_eq!(live["orders"][0]["ordered_at"], "1999-01-01T00:00:00.9+00:00");
    assert_eq!(live["orders"][1]["ordered_at"], "1999-01-01T00:00:00.2+00:00");
    assert_eq!(live["users"][0]["last_order_at"], "1999-01-01T00:00:00.9+00:00");
}

#[tokio::test]
async fn p7_rows_of_whatever_may_be_stored_are_the_same_live_and_folded_anew() {
    let run = test_run();
    for round in 0..run.count(2, 40) {
        let mut runner = random(run.seed.wrapping_add(round));
        let user_id = Uuid::from_u128(some(&mut runner, &any::<u128>()));
        let mut happenings =
            vec![user(user_id, "Ada.Lovelace+x@Example.com", &some(&mut runner, &name()))];
        let times =
            if round % 2 == 0 { around_a_leap_second().boxed() } else { stored_time().boxed() };
        for number in 0..16 {
            let (currency, minor) = (
                some(&mut runner, &currency()),
                some(&mut runner, &(0..=1_000_000_000_000_000_i64)),
            );
            let money = json!({"minor": minor, "currency": currency});
            let (name, at) = (some(&mut runner, &name()), some(&mut runner, &times));
            // As names were let in.
            let name = ProductName::parse(&name).unwrap();
            happenings.extend(order(Uuid::from_u128(number), user_id, name.as_str(), &money, &at));
        }
        let store = log_of(happenings).await;
        assert_eq!(
            in_batches_of(3, &store).await,
            replayed(store as _).await,
            "seed {}, round {round}",
            run.seed
        );
    }
}
