//! Who may follow what, and for how long.

use access::Grants;
use identity::{Moment, Subject};
use uuid::Uuid;

use super::events::{Events, refused};
use crate::support::tokens::{admin, expired, expiring, with_role};
use crate::support::{App, UserSeed};

#[tokio::test]
async fn a_stream_shows_a_caller_what_the_same_answer_shows_and_no_more() {
    let app = App::silent(3).await;
    let ada = app.add_user(&UserSeed::number(1)).await;
    let grace = app.add_user(&UserSeed::number(2)).await;
    let hers = app.add_order(ada, "paid", 0).await;
    let others = app.add_order(grace, "paid", 1).await;
    let token = with_role(ada, "user");
    for path in [
        format!("/api/v1/orders/{others}"),
        format!("/api/v1/users/{grace}"),
        format!("/api/v1/users/{grace}/orders"),
        format!("/api/v1/orders/{}", Uuid::now_v7()),
    ] {
        assert_eq!(refused(&app, Some(&token), &path).await.status, 404, "{path}");
    }
    for (token, path, status) in [
        (None, "/api/v1/orders", 401),
        (Some(expired(ada, Grants::all())), "/api/v1/orders", 401),
        (None, "/api/v1/users", 401),
    ] {
        assert_eq!(refused(&app, token.as_deref(), path).await.status.as_u16(), status, "{path}");
    }
    let of = async |path: &str| Events::open(&app.router, Some(&token), path, None).await;
    let mut orders = of("/api/v1/orders?status=paid").await;
    let mut theirs = of(&format!("/api/v1/orders?user_id={grace}")).await;
    let mut users = of("/api/v1/users").await;
    assert_eq!(orders.snapshot().await, [hers.to_string()]);
    assert!(theirs.snapshot().await.is_empty());
    assert_eq!(users.snapshot().await, [ada.to_string()]);
    let id = orders.last_id();
    app.set_status(others, "shipped", 101).await;
    app.change("users", grace, ("status = 'deactivated'", 101), 101).await;
    app.set_status(others, "paid", 102).await;
    app.set_status(hers, "shipped", 103).await;
    app.change("users", ada, ("order_count = 9", 103), 103).await;
    let event = orders.event().await.unwrap();
    assert_eq!((event.row(), event.short().2), (hers.to_string().as_str(), 103));
    let event = users.event().await.unwrap();
    assert_eq!((event.row(), event.short().2), (ada.to_string().as_str(), 103));
    // A client that resumes gets no rows of others, either.
    let path = "/api/v1/orders?status=paid";
    let mut again = Events::open(&app.router, Some(&token), path, Some(&id)).await;
    let missed = again.until("resumed").await;
    assert_eq!((missed.len(), missed[0].row()), (2, hers.to_string().as_str()));
    drop(theirs);
}

#[tokio::test]
async fn a_stream_ends_when_the_token_is_revoked_or_expires_and_others_go_on() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let path = format!("/api/v1/users/{user}");
    let (token, short) = (with_role(user, "user"), expiring(user, Grants::all(), 10));
    let mut revoked = Events::open(&app.router, Some(&token), &path, None).await;
    let mut short = Events::open(&app.router, Some(&short), &path, None).await;
    let mut staff = Events::open(&app.router, Some(&admin()), &path, None).await;
    for events in [&mut revoked, &mut short, &mut staff] {
        assert_eq!(events.snapshot().await, [user.to_string()]);
    }
    let expires = async {
        let end = short.event().await.unwrap();
        assert_eq!((end.name.as_str(), end.code()), ("end", "invalid-token"));
        assert_eq!(short.event().await, None);
    };
    expires.await;
    app.revocations.revoke(Subject::User(user), Moment::of_seconds(identity::now() + 1));
    let end = revoked.event().await.unwrap();
    assert_eq!((end.name.as_str(), end.code()), ("end", "invalid-token"));
    assert_eq!(revoked.event().await, None);
    app.change("users", user, ("order_count = 9", 101), 101).await;
    assert_eq!(staff.event().await.unwrap().name, "changed");
}
