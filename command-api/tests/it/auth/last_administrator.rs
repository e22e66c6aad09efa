//! Tests that one administrator who may sign in always stays, whatever happens at once.

use std::sync::Arc;

use access::Policy;
use command_api::application::repository::LeaveError;
use command_api::application::{OpenOrders, SettleError, Settlement};
use local_servers::test_run;
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{Session, Site};
use crate::support::Reply;

/// A site with two administrators: the id and the session of each.
async fn two() -> (Site, [(Uuid, Session); 2]) {
    let site = Site::new().await;
    let one = site.with_role("one@example.com", "admin").await;
    let two = site.with_role("two@example.com", "admin").await;
    (site, [one, two])
}

fn path(user: Uuid) -> String {
    format!("/api/v1/users/{user}")
}

/// Makes both administrators again, who may sign in.
async fn restore(site: &Site, users: [Uuid; 2]) {
    for user in users {
        let reply = site.shop.act(&format!("{}/reactivate", path(user))).await;
        assert!([200, 409].contains(&reply.status.as_u16()), "{:#}", reply.body);
        site.sql(&format!(
            "INSERT INTO auth.memberships VALUES ('{user}', 'admin') ON CONFLICT DO NOTHING"
        ))
        .await;
    }
}

/// The one of two replies that was refused, if only one was.
fn refused(replies: [&Reply; 2], round: u64) -> &Reply {
    let refused: Vec<_> = replies.into_iter().filter(|reply| reply.status == 409).collect();
    let texts = replies.map(|reply| format!("{} {:#}", reply.status, reply.body));
    assert_eq!(refused.len(), 1, "round {round}: {texts:?}");
    refused[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_batch_deactivates_all_of_them() {
    let (site, [(one, _), (two, _)]) = two().await;
    let (user, _) = site.signed_in("ada@example.com").await;
    let commands: Vec<Value> =
        [one, user, two].map(|id| json!({"type": "deactivateUser", "id": id})).into();
    for dry_run in [true, false] {
        let body = json!({"commands": commands, "atomic": true});
        let reply = site.shop.post(&format!("/api/v1/commands?dry_run={dry_run}"), body).await;
        let results = reply.ok()["results"].as_array().unwrap();
        let codes = [0, 1, 2].map(|index: usize| results[index]["problem"]["code"].as_str());
        let others = Some("command/not-carried-out");
        assert_eq!(codes, [others, others, Some("auth/last-administrator")], "{dry_run}");
    }
    let body = json!({"commands": commands[..2], "atomic": true});
    let reply = site.shop.post("/api/v1/commands", body).await;
    assert_eq!(reply.ok()["results"][1]["status"], 200);
    let refused = site.shop.delete(&format!("{}?dry_run=true", path(two))).await;
    refused.problem(409, "auth/last-administrator");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_are_deactivated_at_once_one_stays() {
    let (site, [(one, _), (two, _)]) = two().await;
    for round in 0..test_run().count(10, 1_000) {
        let (first, second) = (path(one), path(two));
        let (a, b) = tokio::join!(site.shop.delete(&first), site.shop.delete(&second));
        refused([&a, &b], round).problem(409, "auth/last-administrator");
        restore(&site, [one, two]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_one_who_is_deactivated_and_one_who_loses_the_role_at_once_one_stays() {
    let (site, [(one, _), (two, _)]) = two().await;
    let (three, admin) = site.with_role("three@example.com", "admin").await;
    // Who takes the role is none that counts: they hold another one that gives as much.
    site.sql(&format!(
        "INSERT INTO auth.roles SELECT 'owner', grants FROM auth.roles WHERE name = 'admin';
         UPDATE auth.memberships SET role = 'owner' WHERE user_id = '{three}'"
    ))
    .await;
    for round in 0..test_run().count(10, 1_000) {
        let (first, role) = (path(one), format!("users/{two}/roles/admin"));
        let (a, b) =
            tokio::join!(site.shop.delete(&first), site.as_user(&admin, "DELETE", &role, None));
        refused([&a, &b], round).problem(409, "auth/last-administrator");
        restore(&site, [one, two]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_one_is_not_erased() {
    let (site, [(one, _), (two, _)]) = two().await;
    let commands = Arc::clone(&site.shop.application.commands);
    let settlement = Settlement::new(commands, Arc::new(Policy::default())).unwrap();
    settlement.check(one, OpenOrders::Refuse).await.unwrap();
    site.shop.delete(&path(two)).await.ok();
    for open in [OpenOrders::Refuse, OpenOrders::Cancel] {
        let checked = settlement.check(one, open).await;
        assert!(
            matches!(checked, Err(SettleError::Leave(LeaveError::LastAdministrator { .. }))),
            "{checked:?}"
        );
        let settled = settlement.settle(one, open).await;
        assert!(
            matches!(settled, Err(SettleError::Leave(LeaveError::LastAdministrator { .. }))),
            "{settled:?}"
        );
    }
    settlement.check(two, OpenOrders::Refuse).await.unwrap_or_else(|error| panic!("{error}"));
}
