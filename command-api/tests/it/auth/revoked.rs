//! Tests that a revocation covers every older token, also those that are issued at the same moment.

use chrono::TimeDelta;
use sqlx::{Connection as _, PgConnection};

use super::support::{Session, Site};
use local_servers::until;

const EMAIL: &str = "ada@example.com";

/// Whether the access token is accepted.
async fn is_accepted(site: &Site, session: &Session) -> bool {
    let reply = site.as_user(session, "GET", "api-keys", None).await;
    assert!([200, 401].contains(&reply.status.as_u16()), "{:#}", reply.body);
    reply.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_several_changes_of_roles_in_a_second_covers_the_tokens_before_it() {
    let site = Site::new().await;
    let (_, admin) = site.with_role("admin@example.com", "admin").await;
    let (user, mut session) = site.signed_in(EMAIL).await;
    let role = format!("users/{user}/roles/support");
    for method in ["PUT", "DELETE", "PUT", "DELETE"] {
        assert!(is_accepted(&site, &session).await, "before {method}");
        assert_eq!(site.as_user(&admin, method, &role, None).await.status, 204);
        assert!(!is_accepted(&site, &session).await, "after {method}");
        session = site.refresh(&session.refresh).await.session();
    }
    assert!(is_accepted(&site, &session).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_changes_of_roles_come_at_once_the_next_token_is_of_now() {
    let site = Site::new().await;
    let (_, admin) = site.with_role("admin@example.com", "admin").await;
    let (user, mut session) = site.signed_in(EMAIL).await;
    let role = format!("users/{user}/roles/support");
    for round in 0..50 {
        let method = if round % 2 == 0 { "PUT" } else { "DELETE" };
        assert_eq!(site.as_user(&admin, method, &role, None).await.status, 204);
        session = site.refresh(&session.refresh).await.session();
    }
    assert!(is_accepted(&site, &session).await);
    assert_eq!(site.claims(&session).iat, site.now().timestamp());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_from_while_a_change_of_roles_waits_is_covered_too() {
    let site = Site::new().await;
    let (_, admin) = site.with_role("admin@example.com", "admin").await;
    let (user, session) = site.with_role(EMAIL, "support").await;
    let mut owner = site.owner().await;
    let mut reader = owner.begin().await.unwrap();
    let hold = sqlx::query("SELECT FROM auth.accounts WHERE user_id = $1 FOR SHARE");
    hold.bind(user).execute(&mut *reader).await.unwrap();
    let role = format!("users/{user}/roles/support");
    let change = async {
        assert_eq!(site.as_user(&admin, "DELETE", &role, None).await.status, 204);
    };
    let meanwhile = async {
        until("the change waits", async || waits(&mut site.owner().await).await).await;
        site.later(TimeDelta::seconds(2));
        let next = site.refresh(&session.refresh).await.session();
        assert_eq!(site.claims(&next).roles, ["support", "user"]);
        reader.commit().await.unwrap();
        next
    };
    let ((), next) = tokio::join!(change, meanwhile);
    assert!(!is_accepted(&site, &next).await, "it has a role that was taken away");
}

/// Whether a connection waits for a lock.
async fn waits(connection: &mut PgConnection) -> bool {
    let waiting = sqlx::query_scalar::<_, i64>(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    waiting.fetch_one(connection).await.unwrap() > 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_of_a_session_that_has_ended_is_accepted_whenever_it_was_issued() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    // Two copies of the program whose clocks differ a little.
    site.later(TimeDelta::seconds(5));
    let ahead = site.refresh(&session.refresh).await.session();
    site.later(TimeDelta::seconds(-5));
    assert_eq!(site.post_token("log-out", &ahead.refresh).await.status, 204);
    for ended in [&session, &ahead] {
        assert!(!is_accepted(&site, ended).await);
    }
}
