//! Every statement of a list walks an index: none sorts or scans a whole table for one page.

use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::support::App;

/// The statement with its file's own parameters: a filter or none, then a key to go on behind, then
/// limit and offset.
const STATEMENTS: &[(&str, &str, &str, &str)] = &[
    (
        "users by creation",
        include_str!("../../sql/users/by_created_at_desc.sql"),
        "NULL, NULL, now(), gen_random_uuid(), 21, 0",
        "users_created_at",
    ),
    (
        "users by creation, ascending",
        include_str!("../../sql/users/by_created_at_asc.sql"),
        "NULL, NULL, NULL, NULL, 21, 0",
        "users_created_at",
    ),
    (
        "users by orders",
        include_str!("../../sql/users/by_order_count_desc.sql"),
        "NULL, NULL, 5, gen_random_uuid(), 21, 0",
        "users_order_count",
    ),
    (
        "users by orders, ascending",
        include_str!("../../sql/users/by_order_count_asc.sql"),
        "NULL, NULL, 5, gen_random_uuid(), 21, 0",
        "users_order_count",
    ),
    (
        "users by address",
        include_str!("../../sql/users/by_created_at_desc.sql"),
        "NULL, 'user-7@example.com', NULL, NULL, 21, 0",
        "users_email",
    ),
    (
        "orders by creation",
        include_str!("../../sql/orders/by_created_at_desc.sql"),
        "NULL, NULL, now(), gen_random_uuid(), 21, 0",
        "orders_created_at",
    ),
    (
        "orders of a user",
        include_str!("../../sql/orders/by_created_at_desc.sql"),
        "md5('7')::uuid, NULL, now(), gen_random_uuid(), 21, 0",
        "orders_user",
    ),
    (
        "orders by status",
        include_str!("../../sql/orders/by_created_at_asc.sql"),
        "NULL, 'cancelled', NULL, NULL, 21, 0",
        "orders_status",
    ),
    (
        "products by creation",
        include_str!("../../sql/products/by_created_at_desc.sql"),
        "NULL, now(), gen_random_uuid(), 21, 0",
        "products_created_at",
    ),
    (
        "products by name",
        include_str!("../../sql/products/by_name_asc.sql"),
        "NULL, 'product 5', gen_random_uuid(), 21, 0",
        "products_name",
    ),
    (
        "a product's name",
        include_str!("../../sql/products/by_name_desc.sql"),
        "'product 5', NULL, NULL, 21, 0",
        "products_name",
    ),
    (
        "days",
        include_str!("../../sql/daily_sales/by_day_desc.sql"),
        "NULL, NULL, NULL, '2026-01-01', 'USD', 21, 0",
        "daily_sales_pkey",
    ),
    (
        "days of a range",
        include_str!("../../sql/daily_sales/by_day_asc.sql"),
        "'2026-01-01', '2026-02-01', NULL, NULL, NULL, 21, 0",
        "daily_sales_pkey",
    ),
];

/// The same for single rows.
const ROWS: [(&str, &str, &str, &str); 3] = [
    ("one user", include_str!("../../sql/users/find.sql"), "gen_random_uuid()", "users_pkey"),
    ("one order", include_str!("../../sql/orders/find.sql"), "gen_random_uuid()", "orders_pkey"),
    (
        "one product",
        include_str!("../../sql/products/find.sql"),
        "gen_random_uuid()",
        "products_pkey",
    ),
];

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
    for (pool, statements) in [(&app.pools.scan, STATEMENTS), (&app.pools.lookup, &ROWS)] {
        for (what, statement, values, index) in statements {
            let explain = format!(
                "PREPARE statement AS {statement}; EXPLAIN EXECUTE statement({values}); \
                    DEALLOCATE statement"
            );
            let rows = pool.fetch_all(sqlx::raw_sql(AssertSqlSafe(explain))).await.unwrap();
            let plan: String = rows.iter().map(|row| row.get::<String, _>(0) + "\n").collect();
            assert!(plan.contains(index), "{what} does not use {index}:\n{plan}");
            assert!(!plan.contains("Seq Scan"), "{what} reads everything:\n{plan}");
        }
    }
}
