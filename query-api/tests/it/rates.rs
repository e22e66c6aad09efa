//! How often a client may ask: the setting RATE_LIMITS.

use crate::support::{App, get, limited};

#[tokio::test]
async fn a_client_has_a_rate_and_learns_what_is_left() {
    let app = App::silent(1).await;
    let router = limited(app.pools.clone(), app.watcher.clone(), "off, listOrders=1/2");
    let mut answer = get(&router, "/api/v1/orders", &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("ratelimit-policy"), "\"listOrders\";q=2;w=2");
    assert_eq!(answer.header("ratelimit"), "\"listOrders\";r=1;t=1");
    // One request a second comes back, so a few more may get through on a slow machine.
    for _ in 0..60 {
        if answer.status == 429 {
            break;
        }
        answer = get(&router, "/api/v1/orders", &[]).await;
    }
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (429, &"rate-limited".into()));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(get(&router, "/api/v1/products", &[]).await.status, 200);
}
