//! The switch to another generation of a projection's tables, under prepared statements.

use crate::support::{App, UserSeed};

#[tokio::test]
async fn queries_go_on_when_a_view_is_switched_to_tables_of_another_shape() {
    let app = App::silent(1).await;
    app.add_user(&UserSeed::number(1)).await;
    let before = app.get("/api/v1/users?page=1").await;
    assert_eq!(before.ids().len(), 1);
    let switch = "BEGIN;
        CREATE SCHEMA users_g2;
        CREATE TABLE users_g2.users AS
            SELECT position, version, updated_at, created_at, last_order_at, total_spent, order_count, status::varchar(20) AS status, name, email, id
            FROM users_g1.users;
        INSERT INTO users_g2.users SELECT position, version, updated_at, created_at, last_order_at, total_spent, order_count, status, name, email,
            gen_random_uuid() FROM users_g1.users;
        DROP VIEW read_model.users;
        CREATE VIEW read_model.users AS SELECT * FROM users_g2.users;
        INSERT INTO read_model.checkpoints (projection, generation, part, fold_version, epoch, position, event_id)
            SELECT projection, 2, part, 2, epoch, position + 5, event_id FROM read_model.checkpoints WHERE projection = 'users';
        UPDATE read_model.generations SET live = false WHERE projection = 'users';
        INSERT INTO read_model.generations (projection, generation, fold_version, live) VALUES ('users', 2, 2, true);
        COMMIT";
    sqlx::raw_sql(switch).execute(&app.writer).await.unwrap();
    for _ in 0..3 {
        let after = app.get("/api/v1/users?page=1").await;
        assert_eq!((after.status.as_u16(), &after.body["meta"]["position"]), (200, &105.into()), "{after:?}");
        assert_eq!(after.ids().len(), 2);
    }
}
