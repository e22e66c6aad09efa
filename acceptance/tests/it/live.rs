//! Live updates of the running system, while parts of it are away (P8).

use std::time::Duration;

use acceptance::{Answer, Client, Launched, LiveStream, Service};
use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use serde_json::json;

/// How long missed events may take to be caught up.
const CATCH_UP_LIMIT: Duration = Duration::from_mins(1);
const PRODUCTS: &str = "/api/v1/products";

#[tokio::test]
async fn p8_streams_outlast_an_outage_of_the_write_side_and_go_on_without_a_gap() -> Result<()> {
    let mut system = Launched::start().await?;
    let client = system.client()?;
    let added = add_product(&client).await?;
    let product = format!("{PRODUCTS}/{}", added.id()?);
    let mut streams = [client.follow(&product, None).await?, client.follow(PRODUCTS, None).await?];
    for stream in &mut streams {
        let begun = stream.until("complete").await?;
        ensure!(begun.len() == 2 && begun[0].name == "row", "{begun:?}");
    }
    // A client that is gone during the outage goes on from here.
    let left_at = streams[1].last_id()?.to_owned();
    let mut positions = vec![receive(&client, &product, &mut streams).await?];
    let before = client.get(&product).await?.expect(StatusCode::OK)?;

    system.event_store.stop().await;
    system.stop(Service::EventRelay).await?;
    system.nats.stop().await;
    for stream in &mut streams {
        stream.heartbeat().await?;
    }
    let during = client.get(&product).await?.expect(StatusCode::OK)?;
    assert_eq!(during.data(), before.data());
    assert_eq!(during.position()?, before.position()?, "it says how old it is");
    let refused = client.post(&format!("{product}/stock/receive"), &json!({"quantity": 1})).await?;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.body);

    // Without the broker and the relay, the read side reads the store.
    system.event_store.start_again().await;
    system.wait_until_ready(Service::CommandApi).await?;
    positions.push(receive(&client, &product, &mut streams).await?);
    system.nats.start_again().await;
    system.launch(Service::EventRelay)?;
    for service in Service::ALL {
        system.wait_until_ready(service).await?;
    }
    positions.push(receive(&client, &product, &mut streams).await?);
    let other = add_product(&client).await?;
    let of_all = &mut streams[1];
    assert_eq!(of_all.event().await?.place()?, (other.id()?, other.position()?));

    let mut back = client.follow(PRODUCTS, Some(&left_at)).await?;
    let missed = back.until("resumed").await?;
    let missed: Vec<_> =
        missed.iter().take(missed.len() - 1).map(|event| event.place()).collect::<Result<_>>()?;
    let last = *positions.last().context("a position")?;
    assert_eq!(missed, [(added.id()?, last), (other.id()?, other.position()?)], "as it is now");
    assert!(positions.is_sorted());
    let log = system.log()?;
    log.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    log.check_dense().await
}

/// Adds a product, and waits until it is shown.
async fn add_product(client: &Client) -> Result<Answer> {
    let body = json!({"name": "Blue Train", "unit_price": "14.67", "currency": "USD", "stock": 1});
    let added = client.post(PRODUCTS, &body).await?.expect(StatusCode::CREATED)?;
    let path = format!("{PRODUCTS}/{}", added.id()?);
    client.get_after(&path, &added).await?.expect(StatusCode::OK)?;
    Ok(added)
}

/// Adds a unit of a product, and checks that this is the next event of each stream. Returns its
/// position.
async fn receive(client: &Client, product: &str, streams: &mut [LiveStream]) -> Result<i64> {
    let path = format!("{product}/stock/receive");
    let received = client.post(&path, &json!({"quantity": 1})).await?.expect(StatusCode::OK)?;
    for stream in streams {
        let event = stream.event().await?;
        let (id, position) = event.place()?;
        ensure!(
            event.name == "changed" && product.ends_with(id) && position == received.position()?,
            "{event:?} after {}",
            received.body
        );
    }
    received.position()
}
