//! Rows worked out from events that older programs wrote, and what the projections read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use domain::history::{self, Past};
use domain::order::event::{OrderConfirmed, OrderEvent, OrderPlaced};
use event_store::{EventStore, MemoryStore, UpcastingLog};
use projection::{Runner, Standing};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::life::{at, line, money, registered};
use crate::support::{
    contents, happening, happening_of, log_of, postgres_store, read_model, registry_with, watch,
    whole_database,
};

/// A history that the shop might have had.
const PAST: &[Past] = &[
    (("user.signed_up", 1), &[("user.registered", 1)], |data| Ok(vec![("user.registered", data)])),
    (("order.bought", 1), &[("order.placed", 1), ("order.confirmed", 2)], |mut data| {
        let mut take = |field: &str| {
            data.as_object_mut().and_then(|fields| fields.remove(field)).ok_or("a field is missing")
        };
        Ok(vec![("order.placed", take("placed")?), ("order.confirmed", take("confirmed")?)])
    }),
    (("order.viewed", 1), &[], |_| Ok(Vec::new())),
];
const USER: Uuid = Uuid::from_u128(1);
const ORDER: Uuid = Uuid::from_u128(2);

/// The log as programs with this history read it.
pub(crate) fn past_log(store: Arc<dyn EventStore>) -> UpcastingLog {
    UpcastingLog::new(store, Arc::new(registry_with(PAST)))
}

pub(crate) fn runner(store: Arc<dyn EventStore>, url: &str) -> Runner {
    let log = past_log(store);
    Runner::new(log, url.parse().unwrap(), projector::projections::all(), None, watch())
}

fn placed_and_confirmed() -> (OrderEvent, OrderEvent) {
    let mut line = line(&mut rand::SeedableRng::seed_from_u64(1), Uuid::from_u128(3), "EUR");
    (line.quantity, line.unit_price) = (domain::value::Quantity::new(2).unwrap(), money(50, "EUR"));
    let ordered_at = at("1997-01-01T12:00:00Z");
    let (order_id, user_id, total) = (ORDER, USER, money(100, "EUR"));
    (
        OrderEvent::Placed(OrderPlaced {
            order_id,
            user_id,
            lines: vec![line],
            total,
            ordered_at: Some(ordered_at),
        }),
        OrderEvent::Confirmed(OrderConfirmed {
            order_id,
            user_id,
            total,
            units: 2,
            ordered_at,
            to_fulfil: false,
        }),
    )
}

/// A log in which a user signed up and bought something, as old events.
pub(crate) async fn bought_in_one() -> Arc<MemoryStore> {
    let (placed, confirmed) = placed_and_confirmed();
    log_of(vec![
        happening_of("user", USER, "user.signed_up", 1, &registered(USER), Vec::new()),
        happening_of("order", ORDER, "order.viewed", 1, &json!({}), Vec::new()),
        happening_of(
            "order",
            ORDER,
            "order.bought",
            1,
            &json!({"placed": placed, "confirmed": confirmed}),
            Vec::new(),
        ),
    ])
    .await
}

fn tables(contents: &Value) -> BTreeMap<&str, &Value> {
    ["users", "orders", "daily_sales"].map(|table| (table, &contents[table])).into()
}

/// Without what depends on where in the log an event stands.
fn without_places(mut contents: Value) -> Value {
    for table in contents.as_object_mut().unwrap().values_mut().filter_map(Value::as_array_mut) {
        for row in table {
            let fields = row.as_object_mut().unwrap();
            fields.retain(|name, _| {
                !["position", "version", "created_at", "updated_at", "confirmed_at"]
                    .contains(&name.as_str())
            });
        }
    }
    contents
}

#[tokio::test]
async fn p6_the_parts_of_a_split_event_take_effect_in_one_go_under_its_position() {
    let (placed, confirmed) = placed_and_confirmed();
    let old = bought_in_one().await;
    let new = log_of(vec![
        happening("user", USER, &registered(USER)),
        happening("order", ORDER, &placed),
        happening("order", ORDER, &confirmed),
    ])
    .await;
    let (old_rows, new_rows) = (read_model().await, read_model().await);
    runner(Arc::clone(&old) as _, old_rows.url()).run_once().await.unwrap();
    runner(new, new_rows.url()).run_once().await.unwrap();
    let (found, expected) = (contents(old_rows.url()).await, contents(new_rows.url()).await);
    assert_eq!(tables(&without_places(found.clone())), tables(&without_places(expected)));
    let order = &found["orders"][0];
    assert_eq!(
        (&order["status"], &order["position"], &order["version"]),
        (&json!("confirmed"), &json!(3), &json!(2))
    );
    assert_eq!(
        (&found["daily_sales"][0]["orders"], &found["daily_sales"][0]["position"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(
        (&found["users"][0]["order_count"], &found["users"][0]["position"]),
        (&json!(1), &json!(3))
    );
    let audited = found["audit"].as_array().unwrap().iter();
    let audited: BTreeMap<i64, &str> = audited
        .map(|row| (row["position"].as_i64().unwrap(), row["event_type"].as_str().unwrap()))
        .collect();
    // What became nothing has no row, and what became two events has one.
    assert_eq!(audited, BTreeMap::from([(1, "user.registered"), (3, "order.placed")]));
}

#[tokio::test]
async fn a_split_event_that_does_not_fold_takes_no_effect_in_partition() {
    let (placed, confirmed) = placed_and_confirmed();
    // No such user: the projection of users cannot count the order.
    let store = log_of(vec![happening_of(
        "order",
        ORDER,
        "order.bought",
        1,
        &json!({"placed": placed, "confirmed": confirmed}),
        Vec::new(),
    )])
    .await;
    let database = read_model().await;
    let standings = runner(store, database.url()).run_once().await.unwrap();
    let at_the_event =
        |standing: &Standing| matches!(standing, Standing::At(mark) if mark.position.0 == 1);
    assert!(standings.iter().all(|(_, standing)| at_the_event(standing)), "{standings:?}");
    let parked: String = crate::support::ask(
        database.url(),
        "SELECT string_agg(format('%s %s %s', projection, position, event_type), ';') FROM \
            read_model.parked",
    )
    .await;
    assert_eq!(parked, "users 1 order.bought", "all of it, as stored");
    assert_eq!(
        contents(database.url()).await["users"],
        json!([]),
        "no row was made from a part of it"
    );
}

/// The line in `reads.txt` of a projection that takes only the metadata of events. Its rows stay as
/// they are when a payload gets another version, but not when an event gets another name or becomes
/// several.
const WITHOUT_PAYLOADS: &str = "every event, without its payload\n";

/// What such a projection reads.
fn reads_without_payloads(projection: &dyn projection::AnyProjection) -> String {
    let renamed = history::PAST
        .iter()
        .filter(|((name, _), becomes, _)| !matches!(becomes, [(only, _)] if only == name));
    let mut lines: Vec<String> =
        renamed.map(|((name, version), ..)| format!("{name} v{version} renamed\n")).collect();
    lines.sort();
    let version = projection.fold_version();
    format!("fold version {version}\n{WITHOUT_PAYLOADS}{}", lines.concat())
}

/// What a projection reads: the types as they are written today, and the former ones that may
/// become them.
fn reads(projection: &dyn projection::AnyProjection) -> String {
    let registry = projector::projections::registry().unwrap();
    let wanted: Vec<event_store::EventType> =
        projection.handles().iter().map(|name| name.parse().unwrap()).collect();
    let stored = registry.widen_types(&wanted);
    let current = history::current().chain(saga::event::shapes());
    let current = current.map(|(name, version)| (name, version, "written"));
    let past = history::PAST.iter().map(|((name, version), ..)| (*name, *version, "upcast"));
    let shapes = current
        .chain(past)
        .filter(|(name, ..)| stored.iter().any(|stored| stored.as_str() == *name));
    let mut lines: Vec<String> =
        shapes.map(|(name, version, how)| format!("{name} v{version} {how}\n")).collect();
    lines.sort();
    format!("fold version {}\n{}", projection.fold_version(), lines.concat())
}

#[test]
fn a_projection_that_comes_to_read_other_events_has_another_fold_version() {
    for projection in projector::projections::all() {
        let name = projection.name();
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/projections")
            .join(name)
            .join("reads.txt");
        // Without the file: it has always read what it reads now, and that was never written
        // another way.
        let kept = std::fs::read_to_string(&path).ok();
        let has_no_payloads = kept.as_ref().is_some_and(|kept| kept.contains(WITHOUT_PAYLOADS));
        let found = if has_no_payloads {
            reads_without_payloads(projection.as_ref())
        } else {
            reads(projection.as_ref())
        };
        let as_ever =
            found.lines().all(|line| line == "fold version 1" || line.ends_with(" v1 written"));
        let fits = kept.as_ref().map_or(as_ever, |kept| *kept == found);
        assert!(
            fits,
            "{name} reads other events than before: raise its fold version, then let {} \
                say:\n{found}",
            path.display()
        );
    }
}

#[test]
fn a_projection_reads_every_type_that_it_says_it_handles() {
    for projection in projector::projections::all() {
        let current = history::current().chain(saga::event::shapes());
        let known: Vec<&str> = current.map(|(name, _)| name).collect();
        let handles = projection.handles();
        assert!(
            !handles.is_empty() && handles.iter().all(|name| known.contains(name)),
            "{}: {handles:?}",
            projection.name()
        );
    }
}

#[tokio::test]
async fn a_process_says_at_its_start_what_it_cannot_read_and_projects_the_rest() {
    let database = whole_database().await;
    let store = postgres_store(database.url()).await;
    let future = vec![
        happening("user", USER, &registered(USER)),
        happening_of("letter", USER, "letter.sent", 1, &json!({}), Vec::new()),
        happening_of("product", USER, "product.repriced", 99, &json!({}), Vec::new()),
    ];
    crate::support::append(store.as_ref(), future).await;
    let process = crate::support::process::Process::start(database.url());
    crate::support::until("it says what it cannot read", || async {
        let report = process.get("/readyz?verbose").await;
        report.contains(
            "the log holds events that this program cannot read: letter.sent v1, \
            product.repriced v99",
        )
    })
    .await;
    let all = projector::projections::all();
    let others = all.iter().filter(|one| !one.handles().contains(&"product.repriced")).count();
    crate::support::until("the others go on", || async {
        crate::support::ask::<i64>(
            database.url(),
            "SELECT count(*) FROM read_model.checkpoints WHERE position = 3",
        )
        .await
            == i64::try_from(others).unwrap()
    })
    .await;
}
