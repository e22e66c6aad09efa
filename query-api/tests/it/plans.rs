//! Tests that no statement reads much more than it answers: none sorts or scans a whole table for
//! one page. The statements are those that the API itself prepares.

use access::Scope;
use postgres_kit::Pool;
use query_api::http::Version;
use query_api::live;
use query_api::page::{PageRequest, PageStart};
use query_api::read::order::{ListOrdersOfUsers, OrderSort};
use query_api::read::past::Past;
use query_api::read::table::ById;
use query_api::read::{ALL_ROWS, order, product, user};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};
use uuid::Uuid;

use crate::support::App;
use crate::support::described::{document, lists_of, page_of, prepared, rows_of};
use crate::support::rows::{fill, table};

/// The number of rows in each table.
const ROWS: i64 = 20_000;
/// The maximum number of rows that may be read for one page of 20, or for one row by its id. A
/// filter may let a third of the rows through. Statements are planned for the largest page, so
/// Postgres may sort a filter's few rows for it.
const MAX_READ: f64 = 500.0;

/// The arguments of a statement, and what they select.
struct Variant {
    about: String,
    arguments: Vec<String>,
}

/// The text of a value in a row from the middle of a table.
async fn middle(app: &App, table: &str, expression: &str, sort: &str) -> String {
    let statement = format!(
        "SELECT quote_literal(({expression})::text) FROM {table} WHERE ({expression}) IS NOT NULL
         ORDER BY {sort} OFFSET {} LIMIT 1",
        ROWS / 2
    );
    let found = sqlx::query_scalar(AssertSqlSafe(statement.clone())).fetch_one(&app.writer).await;
    found.unwrap_or_else(|error| panic!("{error} in {statement}"))
}

/// Values for the parameters that a statement of a page names. The others are null.
async fn variant(app: &App, statement: &str, parameters: usize) -> Variant {
    let table = table(page_of(statement).unwrap());
    let (_, page) = statement.rsplit_once(" ORDER BY ").unwrap();
    let (sort, _) = page.split_once(" LIMIT ").unwrap();
    let by = |at: usize| sort.split(", ").nth(at).unwrap().split(' ').next().unwrap();
    let (mut about, mut arguments) = (Vec::new(), Vec::new());
    for number in 1..=parameters - 4 {
        if let Some(expression) = filtered(statement, number) {
            arguments.push(middle(app, &table, expression, sort).await);
            about.push(format!("only {expression} {}", arguments[number - 1]));
        } else {
            arguments.push("NULL".to_owned());
        }
    }
    if statement.contains(&format!("${}::", parameters - 3)) {
        for at in 0..2 {
            arguments.push(middle(app, &table, by(at), sort).await);
        }
        about.push("after a row".to_owned());
    } else {
        arguments.extend(["NULL", "NULL"].map(str::to_owned));
    }
    arguments.extend(["21", "0"].map(str::to_owned));
    Variant { about: about.join(", "), arguments }
}

/// The first page of the history of a row, a later one, and the first one of its owner's.
fn of_history() -> [Variant; 3] {
    let (id, none) = ("md5('0')::uuid", "NULL");
    [[none, none, none], [none, "10000", id], [id, none, none]].map(|[owner, after, key]| {
        let arguments = [id, owner, after, key, "21", "0"].map(str::to_owned).to_vec();
        Variant { about: format!("a history after {after} of {owner}"), arguments }
    })
}

/// Whether this statement reads a page of the history of a row.
fn is_of_history(statement: &str) -> bool {
    statement.contains("_history WHERE id = $1 AND ($2") && statement.contains(" LIMIT $5")
}

/// The expression that a condition compares with its parameter: `x` in ` AND x = $1`. `None` if the
/// statement has no such condition.
fn filtered(statement: &str, number: usize) -> Option<&str> {
    ["=", "<=", ">=", "<", ">"].into_iter().find_map(|operator| {
        let (before, after) = statement.split_once(&format!(" {operator} ${number}"))?;
        let is_whole = !after.starts_with(|next: char| next.is_ascii_digit());
        before.rsplit_once(" AND ").filter(|_| is_whole).map(|(_, expression)| expression)
    })
}

/// The number of rows that the nodes of a plan read from tables and indexes.
fn rows_read(plan: &Value) -> f64 {
    let below: Vec<&Value> = plan["Plans"].as_array().into_iter().flatten().collect();
    let is_scan = plan["Node Type"].as_str().is_some_and(|node| node.ends_with("Scan"));
    let of = |name: &str| plan[name].as_f64().unwrap_or(0.0);
    let removed = of("Rows Removed by Filter") + of("Rows Removed by Index Recheck");
    let own = if is_scan { (of("Actual Rows") + removed) * of("Actual Loops") } else { 0.0 };
    own + below.into_iter().map(rows_read).sum::<f64>()
}

/// Runs a statement as the API would, and checks how many rows it reads.
async fn check(
    pool: &Pool,
    (statement, types): (&str, &[String]),
    Variant { about, arguments }: &Variant,
) {
    let types = if types.is_empty() { String::new() } else { format!("({})", types.join(", ")) };
    let explain = format!(
        "PREPARE checked{types} AS {statement};
         EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE checked({});
         DEALLOCATE checked",
        arguments.join(", ")
    );
    let rows = pool.fetch_all(sqlx::raw_sql(AssertSqlSafe(explain))).await;
    let rows = rows.unwrap_or_else(|error| panic!("{about}: {error} in {statement}"));
    let plans: Value = rows[0].get(0);
    let read = rows_read(&plans[0]["Plan"]);
    assert!(
        read <= MAX_READ,
        "{about}: reads {read} rows for one page. Add an index to the projection's INDEXES.\n\
            {statement}\n{:#}",
        plans[0]["Plan"]
    );
}

/// Asks for a list, and for the page after it if there is one.
async fn two_pages(app: &App, path: &str) {
    let first = app.get(path).await;
    assert_eq!(first.status, 200, "{path}: {}", first.body);
    if let Some(cursor) = first.body["meta"]["page"]["next_cursor"].as_str() {
        assert_eq!(app.get(&format!("{path}&cursor={cursor}")).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn no_page_reads_many_more_rows_than_it_shows() {
    let app = App::silent(1).await;
    fill(&app, ROWS).await;
    let mut asked = 0;
    // All versions read a list by the same statements.
    for list in lists_of(&document(Version::V1)) {
        let path = list.real_path(&app).await;
        let rows = app.get(&format!("{path}?page_size=100")).await.body["data"].take();
        for sort in &list.sorts {
            let path = format!("{path}?sort={sort}");
            two_pages(&app, &path).await;
            for filter in &list.filters {
                let value = list.value_for(filter, rows.as_array().unwrap());
                two_pages(&app, &format!("{path}&{}", filter.with(&value))).await;
            }
            asked += 1 + list.filters.len();
        }
    }
    let mut checked = 0;
    for pool in [&app.pools.lookup, &app.pools.scan] {
        for (statement, types) in prepared(pool).await {
            if page_of(&statement).is_some() {
                let variant = variant(&app, &statement, types.len()).await;
                check(pool, (&statement, &types), &variant).await;
                checked += 1;
            } else if is_of_history(&statement) {
                for variant in of_history() {
                    check(pool, (&statement, &types), &variant).await;
                }
                checked += 1;
            }
        }
    }
    assert!(checked >= asked, "{checked} statements of {asked} pages: is the driver's cache full?");
}

#[tokio::test]
async fn every_row_is_found_by_its_id() {
    const MANY: [&str; 3] =
        [user::UserRow::FIND_MANY, order::OrderRow::FIND_MANY, product::ProductRow::FIND_MANY];
    let app = App::silent(1).await;
    fill(&app, ROWS).await;
    // All versions read a row by the same statement.
    let single_rows = rows_of(&document(Version::V1));
    for path in &single_rows {
        let unknown = path.replace("{id}", "019a0000-0000-7000-8000-000000000000");
        assert_eq!(app.get(&unknown).await.status, 404);
    }
    let id = "md5('7')::uuid";
    let variants = ["NULL", id].map(|owner| Variant {
        about: format!("one row of {owner}"),
        arguments: vec![id.to_owned(), owner.to_owned()],
    });
    let found = prepared(&app.pools.lookup).await.into_iter().map(|(statement, _)| statement);
    let found: Vec<String> =
        found.filter(|statement| statement.contains(" AND id = $1 AND ")).collect();
    assert_eq!(found.len(), single_rows.len(), "{found:?}");
    for statement in found {
        for one in &variants {
            check(&app.pools.lookup, (&statement, &[]), one).await;
        }
    }
    let ids = "ARRAY[md5('7')::uuid, md5('8')::uuid]".to_owned();
    let many = Variant { about: "many rows".to_owned(), arguments: vec![ids, "NULL".to_owned()] };
    for statement in MANY {
        check(&app.pools.scan, (statement, &[]), &many).await;
        check(&app.pools.lookup, (statement, &[]), &many).await;
    }
}

#[tokio::test]
async fn a_row_as_of_a_moment_is_one_lookup_and_a_page_of_days_one_for_each() {
    const STATEMENTS: [&str; 6] = [
        user::UserRow::AT_POSITION,
        user::UserRow::AT_TIME,
        order::OrderRow::AT_POSITION,
        order::OrderRow::AT_TIME,
        product::ProductRow::AT_POSITION,
        product::ProductRow::AT_TIME,
    ];
    let app = App::silent(1).await;
    fill(&app, ROWS).await;
    let moment = |statement: &str| {
        let is_time = statement.contains("event_at <= ");
        (if is_time { "timestamptz '2026-01-02 00:00:00Z'" } else { "20000" }).to_owned()
    };
    for statement in STATEMENTS {
        let arguments = vec!["md5('0')::uuid".to_owned(), "NULL".to_owned(), moment(statement)];
        let variant = Variant { about: "a row as of a moment".to_owned(), arguments };
        check(&app.pools.lookup, (statement, &[]), &variant).await;
    }
    for as_of in ["100", "2026-01-01T00:00:00Z"] {
        for sort in ["day", "-day"] {
            let path = format!("/api/v1/sales/daily?as_of={as_of}&sort={sort}");
            assert_eq!(app.get(&path).await.status, 200);
        }
    }
    let statements = prepared(&app.pools.scan).await;
    let of_days = statements.iter().filter(|(text, _)| text.contains("daily_sales_history"));
    let of_days: Vec<&(String, Vec<String>)> = of_days.collect();
    assert_eq!(of_days.len(), 4, "{of_days:?}");
    for (statement, types) in of_days {
        let mut arguments = ["NULL"; 8].map(str::to_owned);
        (arguments[3], arguments[6], arguments[7]) =
            (moment(statement), "21".to_owned(), "0".to_owned());
        let variant = Variant { about: "days".to_owned(), arguments: arguments.to_vec() };
        check(&app.pools.scan, (statement, types), &variant).await;
    }
}

#[tokio::test]
async fn a_page_of_the_orders_of_many_users_reads_only_their_rows() {
    let app = App::silent(1).await;
    fill(&app, ROWS).await;
    let types = ["uuid[]", "text", "uuid", "timestamptz", "uuid", "bigint"].map(str::to_owned);
    let key = ["2026-01-01 00:30:00Z".to_owned(), Uuid::nil().to_string()];
    for start in [PageStart::First, PageStart::After(json!(key))] {
        let arguments = [
            "ARRAY[md5('7')::uuid, md5('8')::uuid]".to_owned(),
            "'paid'".to_owned(),
            "md5('7')::uuid".to_owned(),
            format!("'{}'", key[0]),
            format!("'{}'", key[1]),
            "21".to_owned(),
        ];
        let variant = Variant { about: format!("{start:?}"), arguments: arguments.to_vec() };
        for (sort, scope, status) in [
            (OrderSort::CreatedAtAsc, Scope::All, None),
            (OrderSort::CreatedAtDesc, Scope::All, None),
            (OrderSort::CreatedAtDesc, Scope::All, Some("paid".to_owned())),
            (OrderSort::CreatedAtDesc, Scope::Of(Uuid::nil()), None),
        ] {
            let page_request = PageRequest { sort, start: start.clone(), size: 20 };
            let is_brief = scope.owner().is_none();
            let question =
                ListOrdersOfUsers { scope, user_ids: Vec::new(), status, is_brief, page_request };
            let statement = question.statement();
            check(&app.pools.lookup, (statement.text(), &types), &variant).await;
        }
    }
}

#[tokio::test]
async fn what_changed_after_a_position_is_found_by_it() {
    let app = App::silent(1).await;
    fill(&app, ROWS).await;
    for statement in live::CHANGED {
        for (position, owner) in [("3000", "NULL"), ("3000", "md5('7')::uuid"), ("9999999", "NULL")]
        {
            let arguments = [position, owner, "md5('7')::uuid", "20"].map(str::to_owned).to_vec();
            let about = format!("changes after {position} of {owner}");
            let variant = Variant { about, arguments };
            check(&app.pools.scan, (statement, &[]), &variant).await;
        }
    }
}

#[tokio::test]
async fn every_row_fits_the_table_that_the_projector_makes() {
    let app = App::silent(1).await;
    let mut connection = app.writer.acquire().await.unwrap();
    for (_, name, shape) in ALL_ROWS {
        let misfits = postgres_kit::misfits(&mut connection, &table(name), shape).await;
        assert!(misfits.as_ref().unwrap().is_empty(), "{misfits:?}");
    }
}
