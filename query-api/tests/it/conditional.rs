//! Entity tags and 304.

use crate::support::{App, UserSeed};

#[tokio::test]
async fn a_row_has_a_strong_tag_of_its_version_and_the_position_of_its_last_change() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let path = format!("/api/v1/users/{user}");
    let answer = app.get(&path).await;
    assert_eq!(answer.header("etag"), "\"3.17\"");
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    let again = app.get_with(&path, &[("if-none-match", "\"3.17\"")]).await;
    assert_eq!((again.status.as_u16(), again.header("etag"), &again.body), (304, "\"3.17\"", &serde_json::Value::Null));
    // Another stream's event changes the row without changing its version.
    sqlx::query("UPDATE users_g1.users SET order_count = order_count + 1, position = 18").execute(&app.writer).await.unwrap();
    let changed = app.get_with(&path, &[("if-none-match", "\"3.17\"")]).await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, "\"3.18\""));
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
