//! Tests of entity tags, preconditions and 304.

use serde_json::Value;

use crate::support::{App, UserSeed};

#[tokio::test]
async fn a_row_has_a_strong_tag_that_changes_with_its_version_its_position_and_its_generation() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let path = format!("/api/v1/users/{user}");
    let answer = app.get(&path).await;
    assert_eq!(answer.header("etag"), "\"3.17.1.v1\"");
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    let again = app.get_with(&path, &[("if-none-match", "\"3.17.1.v1\"")]).await;
    assert_eq!(
        (again.status.as_u16(), again.header("etag"), &again.body),
        (304, "\"3.17.1.v1\"", &Value::Null)
    );
    // An event of another stream changes the row, but not its version.
    sqlx::query("UPDATE users_g1.users SET order_count = order_count + 1, position = 18")
        .execute(&app.writer)
        .await
        .unwrap();
    let changed = app.get_with(&path, &[("if-none-match", "\"3.17.1.v1\"")]).await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, "\"3.18.1.v1\""));
    // A rebuild corrects the row. Neither its version nor its position shows that.
    sqlx::raw_sql(REBUILT).execute(&app.writer).await.unwrap();
    let rebuilt = app.get_with(&path, &[("if-none-match", "\"3.18.1.v1\"")]).await;
    assert_eq!((rebuilt.status.as_u16(), rebuilt.header("etag")), (200, "\"3.18.2.v1\""));
    assert_eq!(rebuilt.body["data"]["order_count"], 7);
}

/// The next generation of users, in which each has seven orders.
const REBUILT: &str = "BEGIN;
    SELECT read_model.begin_generation('users', 2);
    CREATE TABLE users AS SELECT * FROM users_g1.users;
    UPDATE users SET order_count = 7;
    INSERT INTO read_model.checkpoints (projection, generation, partition, fold_version, epoch, \
    position, event_id)
        SELECT projection, 2, partition, 2, epoch, position, event_id FROM read_model.checkpoints \
        WHERE projection = 'users';
    INSERT INTO read_model.generations (projection, generation, fold_version, live) VALUES \
    ('users', 2, 2, false);
    SELECT read_model.show_generation('users', 2);
    COMMIT";

#[tokio::test]
async fn a_row_that_lacks_events_has_another_tag_until_it_has_them() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let path = format!("/api/v1/users/{user}");
    let whole = app.get(&path).await.header("etag").to_owned();
    let mark = "INSERT INTO read_model.stale (projection, generation, key, incomplete, absent, \
        since) VALUES ('users', 1, $1, false, false, 7)";
    sqlx::query(mark).bind(user.to_string()).execute(&app.writer).await.unwrap();
    let list = app.get("/api/v1/users").await.header("etag").to_owned();
    let stale = app.get_with(&path, &[("if-none-match", &whole)]).await;
    assert_eq!((stale.status.as_u16(), &stale.body["meta"]["stale"]), (200, &true.into()));
    let tag = stale.header("etag").to_owned();
    assert_eq!(tag, "\"3.17.1.v1.stale\"");
    assert_eq!(app.get_with(&path, &[("if-none-match", &tag)]).await.status, 304);
    sqlx::query("DELETE FROM read_model.stale").execute(&app.writer).await.unwrap();
    let healed = app.get_with(&path, &[("if-none-match", &tag)]).await;
    assert_eq!((healed.status.as_u16(), healed.header("etag")), (200, &*whole));
    assert_eq!(
        app.get_with("/api/v1/users", &[("if-none-match", &list)]).await.status,
        200,
        "the tag of the list has the mark, too"
    );
}

#[tokio::test]
async fn if_match_is_checked_on_reads_and_counts_before_if_none_match() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let (row, list) = (format!("/api/v1/users/{user}"), "/api/v1/users".to_owned());
    let absent = format!("/api/v1/users/{}", uuid::Uuid::now_v7());
    let list_tag = app.get(&list).await.header("etag").to_owned();
    let is = "\"3.17.1.v1\"";
    for (path, headers, status) in [
        (&row, vec![("if-match", is)], 200),
        (&row, vec![("if-match", "*")], 200),
        (&row, vec![("if-match", "\"2\", \"3.17.1.v1\"")], 200),
        (&row, vec![("if-match", "\"3.16.1.v1\"")], 412),
        (&row, vec![("if-match", "W/\"3.17.1.v1\"")], 412),
        (&row, vec![("if-match", "\"2\""), ("if-none-match", is)], 412),
        (&row, vec![("if-match", is), ("if-none-match", is)], 304),
        (&row, vec![("if-none-match", "*")], 304),
        (&row, vec![("if-match", "3")], 400),
        (&row, vec![("if-none-match", "\"3")], 400),
        (&list, vec![("if-match", &*list_tag)], 412),
        (&list, vec![("if-none-match", &*list_tag)], 304),
        // Resources have no modification date, so conditions on dates are ignored.
        (&row, vec![("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], 200),
        (&row, vec![("if-modified-since", "Sun, 06 Nov 2094 08:49:37 GMT")], 200),
        // An absent resource is a 404, whatever the preconditions are.
        (&absent, vec![("if-match", "*")], 404),
        (&absent, vec![("if-none-match", "*")], 404),
    ] {
        let answer = app.get_with(path, &headers).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {headers:?} {answer:?}");
        if status == 412 {
            assert_eq!(answer.body["code"], "precondition-failed");
            assert!(!answer.header("etag").is_empty());
        }
    }
}

#[tokio::test]
async fn a_list_has_a_weak_tag_that_changes_with_what_it_shows_and_not_with_the_position() {
    let app = App::start().await;
    app.add_user(&UserSeed::number(1)).await;
    let first = app.get("/api/v1/users").await;
    let tag = first.header("etag");
    assert!(tag.starts_with("W/\""), "{tag}");
    app.move_to("users", 200).await;
    assert_eq!(app.get_with("/api/v1/users", &[("if-none-match", tag)]).await.status, 304);
    app.add_user(&UserSeed::number(2)).await;
    assert_eq!(app.get_with("/api/v1/users", &[("if-none-match", tag)]).await.status, 200);
}
