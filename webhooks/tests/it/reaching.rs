//! Receivers that are out of reach.

use local_servers::until as eventually;
use webhooks::ops::{OperationError, Wanted};
use webhooks::reach::Reach;

use crate::receiver::{Receiver, Reply};
use crate::world::{BY, LETTER, World};

fn wanted(url: String) -> Wanted {
    Wanted {
        name: "Letters".to_owned(),
        url,
        types: vec![LETTER.to_owned()],
        personal: false,
        after: Some(0),
    }
}

#[tokio::test]
async fn an_address_inside_is_refused_and_a_name_that_leads_inside_is_never_connected_to() {
    let (mut world, receiver) = (World::new().await, Receiver::new().await);
    world.reach = Reach::default();
    let port = receiver.address.port();
    for host in ["127.0.0.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1"] {
        let url = format!("https://{host}:{port}/in");
        let refused = world.operations().create(wanted(url), BY).await;
        assert!(matches!(refused, Err(OperationError::Invalid("/url", _))), "{host}");
    }
    let process = world.start();
    let mut ids = Vec::new();
    for scheme in ["https", "http"] {
        let url = format!("{scheme}://localhost:{port}/in");
        ids.push(world.operations().create(wanted(url), BY).await.unwrap().0);
    }
    world.append(LETTER, 1).await;
    for id in ids {
        eventually("it fails", async || world.row(id).await.parked == 1).await;
        let rows = world.tables().deliveries(id, 0, 10).await.unwrap();
        assert_eq!(rows[0].error, "unreachable");
    }
    assert_eq!(receiver.all().len(), 0);
    process.drain().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (world, inside) = (World::new().await, Receiver::new().await);
    let address = inside.address;
    let receiver = Receiver::answering(move |_, _| Reply::Elsewhere(address)).await;
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    world.append(LETTER, 1).await;
    eventually("it is parked", async || world.row(subscribed.id).await.parked == 1).await;
    let rows = world.tables().deliveries(subscribed.id, 0, 10).await.unwrap();
    assert_eq!((rows[0].error.as_str(), rows[0].status), ("status", Some(302)));
    assert_eq!(inside.all().len(), 0);
    process.drain().await;
}

#[tokio::test]
async fn a_subscription_names_valid_types_and_places() {
    let (world, receiver) = (World::new().await, Receiver::new().await);
    let good = || wanted(receiver.url());
    let wrong = [
        ("/types", Wanted { types: Vec::new(), ..good() }),
        ("/types", Wanted { types: vec!["no type".to_owned()], ..good() }),
        ("/types", Wanted { types: vec![LETTER.to_owned(); 101], ..good() }),
        ("/after", Wanted { after: Some(1), ..good() }),
        ("/after", Wanted { after: Some(-1), ..good() }),
        ("/url", Wanted { url: "ftp://example.com".to_owned(), ..good() }),
        ("/url", Wanted { url: "https://me:canary@example.com".to_owned(), ..good() }),
    ];
    for (pointer, wanted) in wrong {
        let refused = world.operations().create(wanted, BY).await.unwrap_err();
        let OperationError::Invalid(named, why) = &refused else { panic!("{refused}") };
        assert_eq!(*named, pointer, "{why}");
        assert!(!why.contains("canary"), "{why}");
    }
    assert_eq!(world.number("SELECT count(*) FROM webhooks.subscriptions").await, 0);
}
