//! The database of credentials refuses the command API: what is answered, and that it heals.

use serde_json::json;

use super::support::{PASSWORD, Site};

const EMAIL: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rights_on_the_credentials_everything_of_identity_is_unavailable_for_a_while() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    for (away, back) in [
        (
            "REVOKE USAGE ON SCHEMA auth FROM auth_writer",
            "GRANT USAGE ON SCHEMA auth TO auth_writer",
        ),
        (
            "ALTER TABLE auth.accounts RENAME TO accounts_away",
            "ALTER TABLE auth.accounts_away RENAME TO accounts",
        ),
    ] {
        site.sql(away).await;
        let key = json!({"name": "key", "scopes": "orders:read.own"});
        for reply in [
            site.log_in(EMAIL, PASSWORD).await,
            site.as_user(&session, "POST", "api-keys", Some(key)).await,
        ] {
            reply.problem(503, "auth/unavailable");
            assert_eq!(reply.header("retry-after"), "2", "{away}");
        }
        site.sql(back).await;
        site.log_in(EMAIL, PASSWORD).await.session();
    }
}
