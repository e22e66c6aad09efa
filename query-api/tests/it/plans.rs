//! Tests that every list statement uses an index. None sorts or scans a whole table for one page.

use postgres_kit::TableRow;
use query_api::read::table::ById;
use query_api::read::{order, product, sales, user};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::support::App;

/// The statements with their parameters: the filters (or none), the key to continue after, the
/// limit and the offset. Each has the index that it must use.
const STATEMENTS: &[(&str, &str, &str, &str)] = &[
    (
        "users by creation",
        user::BY_CREATED_AT.descending.sql,
        "NULL, NULL, now(), gen_random_uuid(), 21, 0",
        "users_created_at",
    ),
    (
        "users by creation, ascending",
        user::BY_CREATED_AT.ascending.sql,
        "NULL, NULL, NULL, NULL, 21, 0",
        "users_created_at",
    ),
    (
        "users by orders",
        user::BY_ORDER_COUNT.descending.sql,
        "NULL, NULL, 5, gen_random_uuid(), 21, 0",
        "users_order_count",
    ),
    (
        "users by orders, ascending",
        user::BY_ORDER_COUNT.ascending.sql,
        "NULL, NULL, 5, gen_random_uuid(), 21, 0",
        "users_order_count",
    ),
    (
        "users by address",
        user::BY_CREATED_AT.descending.sql,
        "NULL, 'user-7@example.com', NULL, NULL, 21, 0",
        "users_email",
    ),
    (
        "orders by creation",
        order::BY_CREATED_AT.descending.sql,
        "NULL, NULL, now(), gen_random_uuid(), 21, 0",
        "orders_created_at",
    ),
    (
        "orders of a user",
        order::BY_CREATED_AT.descending.sql,
        "md5('7')::uuid, NULL, now(), gen_random_uuid(), 21, 0",
        "orders_user",
    ),
    (
        "orders by status",
        order::BY_CREATED_AT.ascending.sql,
        "NULL, 'cancelled', NULL, NULL, 21, 0",
        "orders_status",
    ),
    (
        "products by creation",
        product::BY_CREATED_AT.descending.sql,
        "NULL, now(), gen_random_uuid(), 21, 0",
        "products_created_at",
    ),
    (
        "products by name",
        product::BY_NAME.ascending.sql,
        "NULL, 'product 5', gen_random_uuid(), 21, 0",
        "products_name",
    ),
    (
        "a product's name",
        product::BY_NAME.descending.sql,
        "'product 5', NULL, NULL, 21, 0",
        "products_name",
    ),
    (
        "days",
        sales::BY_DAY.descending.sql,
        "NULL, NULL, NULL, '2026-01-01', 'USD', 21, 0",
        "daily_sales_pkey",
    ),
    (
        "days of a range",
        sales::BY_DAY.ascending.sql,
        "'2026-01-01', '2026-02-01', NULL, NULL, NULL, 21, 0",
        "daily_sales_pkey",
    ),
];

/// The same for statements that find one row or many rows by id.
const ROWS: [(&str, &str, &str, &str); 6] = [
    ("one user", user::UserRow::FIND, ONE, "users_pkey"),
    ("one order", order::OrderRow::FIND, ONE, "orders_pkey"),
    ("one product", product::ProductRow::FIND, ONE, "products_pkey"),
    ("many users", user::UserRow::FIND_MANY, MANY, "users_pkey"),
    ("many orders", order::OrderRow::FIND_MANY, MANY, "orders_pkey"),
    ("many products", product::ProductRow::FIND_MANY, MANY, "products_pkey"),
];
const ONE: &str = "gen_random_uuid()";
const MANY: &str = "ARRAY[gen_random_uuid(), gen_random_uuid()]";

const FILL: &str = "
    INSERT INTO users_g1.users (id, email, name, status, order_count, total_spent, created_at, \
    updated_at, version, position)
        SELECT gen_random_uuid(), 'user-' || n || '@example.com', 'x', 'active', n % 50, '{}', \
        now() - n * interval '1 minute', now(), 1, n
        FROM generate_series(1, 20000) n;
    INSERT INTO orders_g1.orders (id, user_id, status, currency, total_minor, units, lines, \
    created_at, updated_at, version, position)
        SELECT gen_random_uuid(), md5((n % 2000)::text)::uuid, CASE WHEN n % 50 = 0 THEN \
        'cancelled' ELSE 'confirmed' END, 'USD', 1, 1, '[]',
               now() - n * interval '1 minute', now(), 1, n
        FROM generate_series(1, 20000) n;
    INSERT INTO products_g1.products
        SELECT gen_random_uuid(), 'product ' || n, 'USD', 1, 1, now() - n * interval '1 minute', \
        now(), 1, n FROM generate_series(1, 20000) n;
    INSERT INTO daily_sales_g1.daily_sales SELECT '2000-01-01'::date + n, 'USD', 1, 1, 1, n FROM \
    generate_series(1, 20000) n;
    ANALYZE";

#[tokio::test]
async fn every_list_and_row_is_found_by_its_index() {
    let app = App::silent(1).await;
    sqlx::raw_sql(FILL).execute(&app.writer).await.unwrap();
    let many = &ROWS[3..];
    for (pool, statements) in
        [(&app.pools.scan, STATEMENTS), (&app.pools.lookup, &ROWS), (&app.pools.scan, many)]
    {
        for (what, statement, values, index) in statements {
            let explain = format!(
                "PREPARE statement AS {statement}; EXPLAIN EXECUTE statement({values}); \
                    DEALLOCATE statement"
            );
            let rows = pool.fetch_all(sqlx::raw_sql(AssertSqlSafe(explain))).await;
            let rows = rows.unwrap_or_else(|error| panic!("{what}: {error} in {statement}"));
            let plan: String = rows.iter().map(|row| row.get::<String, _>(0) + "\n").collect();
            assert!(plan.contains(index), "{what} does not use {index}:\n{plan}");
            assert!(!plan.contains("Seq Scan"), "{what} reads everything:\n{plan}");
        }
    }
}

#[tokio::test]
async fn every_row_fits_the_table_that_the_projector_makes() {
    let app = App::silent(1).await;
    let mut connection = app.writer.acquire().await.unwrap();
    for (table, shape) in [
        ("users_g1.users", user::UserRow::SHAPE),
        ("orders_g1.orders", order::OrderRow::SHAPE),
        ("products_g1.products", product::ProductRow::SHAPE),
        ("daily_sales_g1.daily_sales", sales::DailySalesRow::SHAPE),
    ] {
        let misfits = postgres_kit::misfits(&mut connection, table, shape).await.unwrap();
        assert!(misfits.is_empty(), "{misfits:?}");
    }
}
