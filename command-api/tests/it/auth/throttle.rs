//! Tests that guessing is slowed down, and that its victim still gets in.

use super::support::{PASSWORD, Site};

const EMAIL: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_from_one_address_are_refused_before_they_are_compared() {
    let site = Site::new().await;
    site.user(EMAIL, PASSWORD).await;
    for email in [EMAIL, "nobody@example.com"] {
        for _ in 0..5 {
            site.log_in(email, "a wrong guess").await.problem(401, "auth/wrong-credentials");
        }
        let refused = site.log_in(email, "a wrong guess").await;
        refused.problem(429, "auth/too-many-attempts");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=30).contains(&wait), "{wait}");
        site.log_in(email, PASSWORD).await.problem(429, "auth/too-many-attempts");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_victim_of_guesses_from_everywhere_still_gets_in_where_the_account_was_used() {
    let site = Site::new().await;
    site.user(EMAIL, PASSWORD).await;
    let home = "2001:db8:1:2::7".parse().unwrap();
    let at_home_too = "2001:db8:1:2:ffff::9".parse().unwrap();
    site.log_in_from(home, EMAIL, PASSWORD).await.session();
    let mut refused = 0;
    for last in 0..30 {
        let guess = site.log_in_from([198, 51, 100, last].into(), EMAIL, "a wrong guess").await;
        refused += u32::from(guess.status == 429);
    }
    assert_eq!(refused, 10, "twenty from strange addresses are compared");
    site.log_in_from([203, 0, 113, 1].into(), EMAIL, PASSWORD)
        .await
        .problem(429, "auth/too-many-attempts");
    for _ in 0..10 {
        site.log_in_from(at_home_too, EMAIL, PASSWORD).await.session();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_that_tries_many_accounts_is_refused() {
    let site = Site::new().await;
    let mut refused = 0;
    for account in 0..60 {
        let email = format!("nobody{account}@example.com");
        let reply = site.log_in(&email, "a wrong guess").await;
        refused += u32::from(reply.status == 429);
    }
    // One more is allowed every two seconds.
    assert!((1..=10).contains(&refused), "{refused}");
}
