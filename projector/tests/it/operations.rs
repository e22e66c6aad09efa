//! Operations on the admin port of a running projector: recorded, followed, cancelled, and carried
//! out whatever process dies meanwhile.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::rebuild::{ends_with, projected, succeeds};
use crate::support::admin::{Admin, OPERATIONS, asked};
use crate::support::process::Process;
use crate::support::{ask, contents, postgres_store, replayed, tell, until};

const LIVE: &str =
    "SELECT generation FROM read_model.generations WHERE projection = 'orders' AND live";
const LAST: &str = "SELECT last FROM read_model.generation_numbers WHERE projection = 'orders'";
const WRITTEN: &str = "SELECT COALESCE(max(position), 0) FROM read_model.checkpoints
    WHERE projection = 'orders' AND generation = 2";
/// As if the process had been killed after the last operation's effect and before its record.
pub(crate) const NOT_RECORDED: &str = "UPDATE read_model.operations
    SET state = 'running', finished_at = NULL, result = NULL, worker = gen_random_uuid()
    WHERE id = (SELECT id FROM read_model.operations ORDER BY id DESC LIMIT 1)";

fn is_under_way(operation: &Value) -> bool {
    operation["state"] == "running" && operation["position"].as_i64().unwrap() > 0
}

#[tokio::test]
async fn an_operation_tells_who_and_why_how_far_it_is_and_what_came_of_it() {
    let database = projected(501, 400).await;
    let process = Process::start(database.url());
    let admin = Admin::of(&process).await;
    let path = admin.ask("rebuild", "orders", json!({"throttle": 200})).await;
    let running = admin.until("the rebuild to be under way", &path, is_under_way).await;
    assert_eq!(
        (&running["work"], &running["end_position"]),
        (&"rebuilding orders".into(), &400.into()),
        "{running}"
    );
    let (status, _, busy) = admin.post(OPERATIONS, &asked("verify", "orders", json!({}))).await;
    assert_eq!((status, &busy["code"]), (409, &"operation/busy".into()), "{busy}");
    let id = running["id"].as_str().unwrap();
    assert!(busy["detail"].as_str().unwrap().contains(id), "{busy}");
    let other = admin.ask("pause", "users", json!({})).await;
    assert_eq!(admin.ended(&other).await["state"], "succeeded", "another projection's");

    let done = admin.ended(&path).await;
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(
        (&done["requested_by"], &done["reason"], &done["attempts"]),
        (&"clerk-7".into(), &"a new index".into(), &1.into()),
        "{done}"
    );
    let result = &done["result"];
    assert_eq!((&result["generation"], &result["end"]), (&2.into(), &json!({"switched": 1})));
    assert_eq!(result["compared"]["rows"]["differences"]["different"], 0, "{done}");
    assert_eq!(ask::<i32>(database.url(), LIVE).await, 2);

    let verified = admin.ask("verify", "orders", json!({})).await;
    let verified = admin.ended(&verified).await;
    assert_eq!(verified["result"]["differences"]["different"], 0, "{verified}");
    assert!(verified["result"]["differences"]["rows"].as_i64().unwrap() > 0, "{verified}");
    let (_, listed) = admin.get(OPERATIONS).await;
    let kinds: Vec<&Value> =
        listed["data"].as_array().unwrap().iter().map(|found| &found["kind"]).collect();
    assert_eq!(kinds, ["verify", "pause", "rebuild"], "the newest first");
    let (_, listed) = admin.get(&format!("{OPERATIONS}?limit=1&before={id}")).await;
    assert_eq!(listed["data"], json!([]));
}

#[tokio::test]
async fn p7_a_rebuild_whose_process_is_killed_with_9_is_finished_by_another_one() {
    let database = projected(502, 400).await;
    let url = database.url();
    let mut process = Process::start(url);
    let admin = Admin::of(&process).await;
    // Without memory for rows each page is written, so that there is something to go on with.
    let path = admin.ask("rebuild", "orders", json!({"throttle": 100, "memory": 0})).await;
    until("some of the rebuild to be written", || async { ask::<i64>(url, WRITTEN).await > 0 })
        .await;
    let other = Process::start(url);
    let admin = Admin::of(&other).await;
    process.kill_9().await;
    assert!(admin.operation(&path).await["finished_at"].is_null());
    let done = admin.ended(&path).await;
    assert_eq!((&done["state"], &done["attempts"]), (&"succeeded".into(), &2.into()), "{done}");
    assert_eq!(done["result"]["generation"], 2, "{done}");
    assert_eq!(ask::<i32>(url, LAST).await, 2, "it continued and did not start over");
    drop(other);
    succeeds(url, &["verify", "orders"]).await;
    assert_eq!(contents(url).await, replayed(postgres_store(url).await).await);
}

#[tokio::test]
async fn a_terminated_process_leaves_its_operation_to_the_next_one() {
    let database = projected(503, 400).await;
    let url = database.url();
    let mut process = Process::start(url);
    let admin = Admin::of(&process).await;
    let path = admin.ask("rebuild", "orders", json!({"throttle": 100})).await;
    admin.until("the rebuild to be under way", &path, is_under_way).await;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code(), Some(0));
    assert!(ask::<i64>(url, WRITTEN).await > 0, "finished work is kept");
    let next = Process::start(url);
    let admin = Admin::of(&next).await;
    let done = admin.ended(&path).await;
    assert_eq!((&done["state"], &done["attempts"]), (&"succeeded".into(), &2.into()), "{done}");
    assert_eq!((ask::<i32>(url, LAST).await, ask::<i32>(url, LIVE).await), (2, 2));
}

#[tokio::test]
async fn what_was_done_and_not_recorded_is_not_done_twice() {
    let database = projected(504, 100).await;
    let url = database.url();
    let process = Process::start(url);
    let admin = Admin::of(&process).await;
    for (kind, arguments, live) in [
        ("rebuild", json!({}), 2),
        ("switch", json!({}), 1),
        ("drop", json!({"generation": 2}), 1),
        ("pause", json!({}), 1),
        ("resume", json!({}), 1),
    ] {
        let path = admin.ask(kind, "orders", arguments).await;
        let done = admin.ended(&path).await;
        assert_eq!(done["state"], "succeeded", "{done}");
        tell(url, NOT_RECORDED).await;
        let again = admin.ended(&path).await;
        assert_eq!((&again["state"], &again["attempts"]), (&"succeeded".into(), &2.into()));
        assert_eq!((ask::<i32>(url, LIVE).await, ask::<i32>(url, LAST).await), (live, 2), "{kind}");
    }
}

#[tokio::test]
async fn a_cancelled_rebuild_keeps_what_it_has_for_the_next_one() {
    let database = projected(505, 400).await;
    let url = database.url();
    let process = Process::start(url);
    let admin = Admin::of(&process).await;
    let path = admin.ask("rebuild", "orders", json!({"throttle": 40})).await;
    admin.until("the rebuild to be under way", &path, is_under_way).await;
    let cancel = format!("{path}/cancel");
    let (status, _, body) = admin.post(&cancel, &json!({"by": "clerk-8"})).await;
    assert_eq!(status, 202, "{body}");
    let done = admin.ended(&path).await;
    assert_eq!(
        (&done["state"], &done["cancelled_by"]),
        (&"cancelled".into(), &"clerk-8".into()),
        "{done}"
    );
    let at = done["result"]["end"]["paused"].as_i64().unwrap();
    assert!(0 < at && at < 400, "{done}");
    assert_eq!(ask::<i64>(url, WRITTEN).await, at);
    let (status, _, body) = admin.post(&cancel, &json!({"by": "clerk-8"})).await;
    assert_eq!((status, &body["code"]), (409, &"operation/finished".into()), "{body}");

    let refused = admin.ask("rebuild", "orders", json!({})).await;
    let refused = admin.ended(&refused).await;
    assert_eq!(refused["state"], "failed", "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("--resume"), "{refused}");
    let resumed = admin.ask("rebuild", "orders", json!({"resume": true})).await;
    assert_eq!(admin.ended(&resumed).await["result"]["end"], json!({"switched": 1}));
    assert_eq!((ask::<i32>(url, LAST).await, ask::<i32>(url, LIVE).await), (2, 2));
}

#[tokio::test]
async fn an_operation_that_is_held_up_says_by_what_and_goes_on_or_is_cancelled() {
    let database = projected(506, 100).await;
    let process = Process::start(database.url());
    let admin = Admin::of(&process).await;
    for cancelled in [true, false] {
        let mut other = PgConnection::connect(database.url()).await.unwrap();
        let mut lock = other.begin().await.unwrap();
        sqlx::query("LOCK TABLE orders_g1.orders").execute(&mut *lock).await.unwrap();
        let path = admin.ask("verify", "orders", json!({})).await;
        let held = admin
            .until("the operation to say what it waits for", &path, |found| {
                found["state"] == "running" && found["error"].is_string()
            })
            .await;
        assert!(held["error"].as_str().unwrap().contains("lock timeout"), "{held}");
        if cancelled {
            admin.post(&format!("{path}/cancel"), &json!({"by": "clerk-8"})).await;
            assert_eq!(admin.ended(&path).await["state"], "cancelled");
        }
        lock.rollback().await.unwrap();
        if !cancelled {
            let done = admin.ended(&path).await;
            assert_eq!((&done["state"], &done["error"]), (&"succeeded".into(), &Value::Null));
            assert_eq!(done["attempts"], 1, "{done}");
        }
    }
}

#[tokio::test]
async fn the_newest_finished_operations_are_kept_and_older_ones_go() {
    let database = projected(509, 10).await;
    let url = database.url();
    // Older than any that is asked for now: an id begins with its time.
    let fill = "INSERT INTO read_model.operations
            (id, kind, projection, fold, requested_by, reason, state, finished_at)
        SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'verify', 'orders',
            'x', 'x', 'x', 'succeeded', now()
        FROM generate_series(1, 10005) AS n";
    tell(url, fill).await;
    let process = Process::start(url);
    let admin = Admin::of(&process).await;
    let path = admin.ask("verify", "orders", json!({})).await;
    assert_eq!(admin.ended(&path).await["state"], "succeeded");
    until("older ones to go", || async {
        ask::<i64>(url, "SELECT count(*) FROM read_model.operations").await == 10_000
    })
    .await;
    let first = "SELECT right(min(id::text), 12)::bigint FROM read_model.operations";
    assert_eq!(ask::<i64>(url, first).await, 7, "the oldest one was dropped");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_pointed_at() {
    let database = projected(507, 10).await;
    let process = Process::start(database.url());
    let admin = Admin::of(&process).await;
    let with = |name: &str, value: Value| {
        let mut body = asked("rebuild", "orders", json!({}));
        body[name] = value;
        body
    };
    let mut without = asked("rebuild", "orders", json!({}));
    without.as_object_mut().unwrap().remove("reason");
    for (body, pointer) in [
        (with("kind", json!("explode")), "/kind"),
        (with("projection", json!("nothing")), "/projection"),
        (with("by", json!("  ")), "/by"),
        (with("reason", json!("x".repeat(1_001))), "/reason"),
        (with("reason", json!("\u{0}")), "/reason"),
        (with("when", json!("now")), "/when"),
        (without, "/reason"),
        (with("arguments", json!({"speed": 1})), "/arguments/speed"),
        (with("arguments", json!({"throttle": 0})), "/arguments/throttle"),
        (with("arguments", json!({"throttle": "fast"})), "/arguments/throttle"),
        (with("arguments", json!({"partitions": 65})), "/arguments/partitions"),
        (asked("verify", "orders", json!({"sample": 1.5})), "/arguments/sample"),
        (asked("drop", "orders", json!({})), "/arguments/generation"),
        (asked("pause", "orders", json!({"resume": true})), "/arguments/resume"),
        (asked("parked_skip", "orders", json!({"position": 1, "key": "x"})), "/arguments/key"),
    ] {
        let (status, _, problem) = admin.post(OPERATIONS, &body).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &pointer.into()), "{problem}");
    }
    let cancel = format!("{OPERATIONS}/0190b3a2-0000-7000-8000-000000000001/cancel");
    for by in ["  ".to_owned(), "\u{0}".to_owned(), "x".repeat(1_001)] {
        let (status, _, problem) = admin.post(&cancel, &json!({"by": by})).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &"/by".into()), "{problem}");
    }
    for (path, status) in [
        (format!("{OPERATIONS}?limit=0"), 422),
        (format!("{OPERATIONS}?limit=101"), 422),
        (format!("{OPERATIONS}?before=x"), 422),
        (format!("{OPERATIONS}/x"), 404),
        (format!("{OPERATIONS}/0190b3a2-0000-7000-8000-000000000001"), 404),
    ] {
        assert_eq!(admin.get(&path).await.0, status, "{path}");
    }
    let count = "SELECT count(*) FROM read_model.operations";
    assert_eq!(ask::<i64>(database.url(), count).await, 0, "nothing is recorded");
}

async fn run(url: &str, code: u8, words: &[String]) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ends_with(code, url, &words).await
}

#[tokio::test]
async fn command_lines_let_a_running_projector_do_it_and_end_as_if_they_had() {
    let database = projected(508, 200).await;
    let url = database.url();
    let process = Process::start(url);
    Admin::of(&process).await;
    let address = process.admin();
    let through = |words: &[&'static str]| {
        let who = ["--by", "clerk-7", "--reason", "why not", "--admin"];
        let words = words.iter().chain(&who).map(|word| (*word).to_owned());
        words.chain([address.clone()]).collect::<Vec<String>>()
    };
    let said = run(url, 0, &through(&["rebuild", "orders"])).await;
    assert!(said.contains("no difference") && said.contains("generation 2"), "{said}");
    let said = run(url, 0, &through(&["verify", "orders", "--sample", "50%"])).await;
    assert!(said.contains("no difference"), "{said}");
    tell(url, "UPDATE orders_g2.orders SET units = units + 1").await;
    let said = run(url, 1, &through(&["verify", "orders"])).await;
    assert!(said.contains("different") && said.contains("\"units\""), "{said}");
    let said = run(url, 1, &through(&["rebuild", "orders"])).await;
    assert!(said.contains("the rows of orders are not what the log makes"), "{said}");
    let said = run(url, 3, &through(&["rebuild", "orders"])).await;
    assert!(said.contains("is not finished"), "{said}");
    let said = run(url, 2, &through(&["verify", "orders", "--reveal"])).await;
    assert!(said.contains("--reveal"), "{said}");
    let said = ends_with(2, url, &["verify", "orders", "--admin", &address]).await;
    assert!(said.contains("needs --reason"), "{said}");
    let said = succeeds(url, &["operations", "--admin", &address]).await;
    assert!(said.contains("verify orders") && said.contains("why not"), "{said}");
    let listed = succeeds(url, &["operations", "--json", "--admin", &address]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed[0]["id"].as_str().unwrap();
    let shown = succeeds(url, &["operations", id, "--admin", &address]).await;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), listed[0]);
    let cancel = ["operations", id, "--cancel", "--by", "me", "--admin", &address];
    assert!(ends_with(3, url, &cancel).await.contains("ended already"));
    drop(process);
    let said = run(url, 3, &through(&["verify", "orders"])).await;
    assert!(said.contains("no projector answers"), "{said}");
}
