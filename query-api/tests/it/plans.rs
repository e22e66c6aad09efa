//! Tests that no statement reads much more than it answers: none sorts or scans a whole table for
//! one page. The statements are those that the API itself prepares.

use postgres_kit::Pool;
use query_api::http::Version;
use query_api::read::past::Past;
use query_api::read::table::ById;
use query_api::read::{ALL_ROWS, order, product, user};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::support::App;
use crate::support::described::{document, lists, page_of, prepared, rows_of};
use crate::support::rows::{fill, table};

/// The number of rows in each table.
const ROWS: i64 = 20_000;
/// The maximum number of rows that may be read for one page of 20, or for one row by its id. A
/// filter may let a third of the rows through.
const MAX_READ: f64 = 200.0;

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

/// The first page, the page after a row, and the first page with each filter.
async fn variants(app: &App, statement: &str, parameters: usize) -> Vec<Variant> {
    let table = table(page_of(statement).unwrap());
    let (condition, sort) = statement.rsplit_once(" ORDER BY ").unwrap();
    let sort = sort.split(" LIMIT ").next().unwrap();
    let by = |at: usize| sort.split(", ").nth(at).unwrap().split(' ').next().unwrap();
    let filters = parameters - 4;
    // The history of a row is asked for with its id.
    let is_of_row = condition.contains(" WHERE id = $1 ");
    let id = if is_of_row { middle(app, &table, "id", sort).await } else { String::new() };
    let with = |filter: Option<(usize, &str)>, after: [&str; 2]| {
        let filter = filter.into_iter().chain(is_of_row.then_some((1, id.as_str())));
        let value = |at| filter.clone().find(|(number, _)| *number == at).map_or("NULL", |of| of.1);
        let filters = (1..=filters).map(value);
        filters.chain(after).chain(["21", "0"]).map(str::to_owned).collect::<Vec<_>>()
    };
    let none = ["NULL", "NULL"];
    let (value, key) =
        (middle(app, &table, by(0), sort).await, middle(app, &table, by(1), sort).await);
    let mut variants = vec![
        Variant { about: "the first page".to_owned(), arguments: with(None, none) },
        Variant { about: "a later page".to_owned(), arguments: with(None, [&value, &key]) },
    ];
    for number in 1 + usize::from(is_of_row)..=filters {
        let expression = filtered(condition, number);
        let value = middle(app, &table, expression, sort).await;
        let arguments = with(Some((number, &value)), none);
        variants.push(Variant { about: format!("only {expression} {value}"), arguments });
    }
    variants
}

/// The expression that a filter compares with its parameter: `x` in `$1::text IS NULL OR x = $1`.
fn filtered(condition: &str, number: usize) -> &str {
    let compared = ["=", "<=", ">=", "<", ">"].into_iter().find_map(|operator| {
        let (before, _) = condition.split_once(&format!(" {operator} ${number})"))?;
        before.rsplit_once(" IS NULL OR ").map(|(_, expression)| expression)
    });
    compared.unwrap_or_else(|| {
        panic!("write each filter as (${number}::TYPE IS NULL OR COLUMN = ${number}): {condition}")
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
async fn check(pool: &Pool, statement: &str, Variant { about, arguments }: &Variant) {
    let explain = format!(
        "PREPARE checked AS {statement};
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

#[tokio::test]
async fn no_page_reads_many_more_rows_than_it_shows() {
    let app = App::silent(1).await;
    fill(&app, ROWS).await;
    for list in lists() {
        let path = list.real_path(&app).await;
        for sort in &list.sorts {
            assert_eq!(app.get(&format!("{path}?sort={sort}")).await.status, 200, "{path} {sort}");
        }
    }
    let mut checked = 0;
    for (statement, parameters) in prepared(&app.pools.scan).await {
        if page_of(&statement).is_some() {
            for variant in variants(&app, &statement, parameters.len()).await {
                check(&app.pools.scan, &statement, &variant).await;
            }
            checked += 1;
        }
    }
    let sorts = lists().iter().map(|list| list.sorts.len()).max().unwrap();
    assert!(checked >= sorts, "{checked} statements of pages");
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
    let found: Vec<String> = found.filter(|statement| statement.contains(" ON id = $1")).collect();
    assert_eq!(found.len(), single_rows.len(), "{found:?}");
    for statement in found {
        for one in &variants {
            check(&app.pools.lookup, &statement, one).await;
        }
    }
    let ids = "ARRAY[md5('7')::uuid, md5('8')::uuid]".to_owned();
    let many = Variant { about: "many rows".to_owned(), arguments: vec![ids, "NULL".to_owned()] };
    for statement in MANY {
        check(&app.pools.scan, statement, &many).await;
        check(&app.pools.lookup, statement, &many).await;
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
        check(&app.pools.lookup, statement, &variant).await;
    }
    for as_of in ["100", "2026-01-01T00:00:00Z"] {
        for sort in ["day", "-day"] {
            let path = format!("/api/v1/sales/daily?as_of={as_of}&sort={sort}");
            assert_eq!(app.get(&path).await.status, 200);
        }
    }
    let statements = prepared(&app.pools.scan).await.into_iter().map(|(statement, _)| statement);
    let of_days = statements.filter(|statement| statement.contains("daily_sales_history"));
    let of_days: Vec<String> = of_days.collect();
    assert_eq!(of_days.len(), 4, "{of_days:?}");
    for statement in of_days {
        let mut arguments = ["NULL"; 8].map(str::to_owned);
        (arguments[3], arguments[6], arguments[7]) =
            (moment(&statement), "21".to_owned(), "0".to_owned());
        let variant = Variant { about: "days".to_owned(), arguments: arguments.to_vec() };
        check(&app.pools.scan, &statement, &variant).await;
    }
}

#[tokio::test]
async fn a_page_of_the_orders_of_many_users_reads_only_their_rows() {
    let app = App::silent(1).await;
    fill(&app, ROWS).await;
    let users = "ARRAY[md5('7')::uuid, md5('8')::uuid]";
    let middle = ["timestamptz '2026-01-01 00:30:00Z'", "md5('9000')::uuid"];
    for after in [["NULL", "NULL"], middle] {
        let arguments = [users, "NULL", "NULL", after[0], after[1], "21"].map(str::to_owned);
        let variant =
            Variant { about: format!("after {}", after[0]), arguments: arguments.to_vec() };
        for statement in order::OF_USERS {
            check(&app.pools.scan, statement, &variant).await;
        }
    }
}

#[tokio::test]
async fn what_changed_after_a_position_is_found_by_it() {
    const CHANGED: [&str; 3] =
        [user::UserRow::CHANGED, order::OrderRow::CHANGED, product::ProductRow::CHANGED];
    let app = App::silent(1).await;
    fill(&app, ROWS).await;
    for statement in CHANGED {
        for (position, owner) in [("3000", "NULL"), ("3000", "md5('7')::uuid"), ("9999999", "NULL")]
        {
            let arguments = [position, owner, "md5('7')::uuid", "20"].map(str::to_owned).to_vec();
            let about = format!("changes after {position} of {owner}");
            check(&app.pools.scan, statement, &Variant { about, arguments }).await;
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
