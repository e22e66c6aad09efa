//! Tests of switching a projection to another generation, under prepared statements.

use sqlx::AssertSqlSafe;

use crate::support::{App, UserSeed};

/// Switches to tables with one more row, five positions ahead. Their columns have another order and
/// other types.
pub(crate) const SWITCH: &str = "BEGIN;
    SELECT read_model.begin_generation('users', 2);
    CREATE TABLE users AS
        SELECT position, version, updated_at, created_at, last_order_at, total_paid_back, \
        total_refunded, total_paid, total_spent, order_count, addresses, newsletter, currency, \
        language, phone, locale, display_name, customer_type, status::varchar(20) AS status, \
        name, email, id
        FROM users_g1.users;
    INSERT INTO users SELECT position, version, updated_at, created_at, last_order_at, \
    total_paid_back, total_refunded, total_paid, total_spent, order_count, addresses, \
    newsletter, currency, language, phone, locale, display_name, customer_type, status, name, \
    email, gen_random_uuid() FROM users_g1.users;
    INSERT INTO read_model.checkpoints (projection, generation, partition, fold_version, epoch, \
    position, event_id)
        SELECT projection, 2, partition, 2, epoch, position + 5, event_id FROM \
        read_model.checkpoints WHERE projection = 'users';
    INSERT INTO read_model.generations (projection, generation, fold_version, live) VALUES \
    ('users', 2, 2, false);
    SELECT read_model.show_generation('users', 2);
    COMMIT";

#[tokio::test]
async fn queries_go_on_when_a_view_is_switched_to_tables_of_another_shape() {
    let app = App::silent(1).await;
    app.add_user(&UserSeed::number(1)).await;
    let before = app.get("/api/v1/users?page=1").await;
    assert_eq!(before.ids().len(), 1);
    sqlx::raw_sql(SWITCH).execute(&app.writer).await.unwrap();
    for _ in 0..3 {
        let after = app.get("/api/v1/users?page=1").await;
        assert_eq!(
            (after.status.as_u16(), &after.body["meta"]["position"]),
            (200, &105.into()),
            "{after:?}"
        );
        assert_eq!(after.ids().len(), 2);
    }
}

#[tokio::test]
async fn an_answer_never_mixes_the_position_of_one_generation_with_the_rows_of_another() {
    let app = App::silent(2).await;
    app.add_user(&UserSeed::number(1)).await;
    assert_eq!(app.get("/api/v1/users").await.ids().len(), 1);
    // Columns of the same types let no statement fail, so only the lock keeps the two generations
    // apart.
    let switching = SWITCH.replace("status::varchar(20) AS status", "status").replace("COMMIT", "");
    let mut switch = app.writer.acquire().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(switching)).execute(&mut *switch).await.unwrap();
    let during = app.get("/api/v1/users");
    let finish = async {
        let waits = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
                                    WHERE NOT granted AND application_name = 'query-api' AND \
                                    datname = current_database())";
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&app.writer).await.unwrap() {}
        sqlx::raw_sql("COMMIT").execute(&mut *switch).await.unwrap();
    };
    let (answer, ()) = tokio::join!(during, finish);
    assert_eq!(
        (answer.ids().len(), &answer.body["meta"]["position"]),
        (2, &105.into()),
        "{answer:?}"
    );
}
