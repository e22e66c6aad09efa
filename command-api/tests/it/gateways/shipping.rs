//! Shipments by the adapter of the sandbox.

use command_api::port::shipping::{Made, Parcel, ShipmentId, ShipmentState, Shipping as _};
use command_api::port::{Code, GatewayError};
use domain::value::{AddressLine, Destination, PersonName, PostalAddress, Quantity};

use super::*;

fn parcel(order: Uuid, country: &str) -> Parcel {
    let line = |text| AddressLine::parse(text).unwrap();
    Parcel {
        order,
        address: PostalAddress {
            recipient: PersonName::parse("Canary Person").unwrap(),
            street: line("1 Canary Street"),
            city: line("Springfield"),
            postal_code: None,
        },
        destination: Destination { country: country.parse().unwrap(), region: None },
        items: vec![(Uuid::new_v4(), Quantity::new(2).unwrap())],
    }
}

#[tokio::test]
async fn a_shipment_is_requested_once_and_cancelled() {
    let (stand, order) = (Stand::new().await, Uuid::new_v4());
    let (shipments, request, cancel) = (stand.shipments(3), call(), call());
    assert_eq!(shipments.look_up(&request, &Made::Request).await, Ok(None));
    let shipment = shipments.request(&request, &parcel(order, "DE")).await.unwrap();
    assert_eq!((shipment.order, shipment.state), (order, ShipmentState::Requested));
    assert!(shipment.tracking.is_some());
    let found = shipments.look_up(&request, &Made::Request).await.unwrap();
    assert_eq!(found, Some(shipment.clone()));
    let made = Made::Cancellation(shipment.id.clone());
    assert_eq!(shipments.look_up(&cancel, &made).await, Ok(None));
    let cancelled = shipments.cancel(&cancel, &shipment.id).await.unwrap();
    assert_eq!(cancelled.state, ShipmentState::Cancelled);
    assert_eq!(shipments.look_up(&cancel, &made).await, Ok(Some(cancelled)));
    let counted = stand.order(order);
    assert_eq!((counted.shipped, counted.cancelled), (1, 1));
}

#[tokio::test]
async fn a_shipper_declines_and_says_why() {
    let (stand, order) = (Stand::new().await, Uuid::new_v4());
    let shipments = stand.shipments(3);
    let declined = |code| Err(GatewayError::Declined { code: Code::new(code) });
    let refused = shipments.request(&call(), &parcel(order, "AQ")).await;
    assert_eq!(refused, declined("not_deliverable"));
    let shipment = shipments.request(&call(), &parcel(order, "DE")).await.unwrap();
    stand.fault(Fault::Declined, "cancel_shipment").await;
    assert_eq!(shipments.cancel(&call(), &shipment.id).await, declined("dispatched"));
    let nobodys = ShipmentId::parse("shp_99").unwrap();
    let missing = shipments.cancel(&call(), &nobodys).await;
    assert_eq!(missing, Err(GatewayError::Invalid { code: Code::new("not_found") }));
}

#[tokio::test]
async fn every_fault_is_repeated_to_one_effect_or_looked_up() {
    let stand = Stand::new().await;
    for fault in [Fault::Error, Fault::Limited, Fault::Hang, Fault::Broken, Fault::Lost, Fault::Cut]
    {
        let (order, first) = (Uuid::new_v4(), call());
        stand.fault(fault, "ship").await;
        let shipment = stand.shipments(5).request(&first, &parcel(order, "DE")).await.unwrap();
        assert!(stand.count(&first).requests > 1, "{fault:?}");
        assert_eq!(stand.order(order).shipped, 1, "{fault:?}");
        let (other, second) = (Uuid::new_v4(), call());
        stand.fault(fault, "ship").await;
        let failed = stand.shipments(1).request(&second, &parcel(other, "DE")).await.unwrap_err();
        let is_effective = matches!(fault, Fault::Broken | Fault::Lost | Fault::Cut);
        let is_known = matches!(failed, GatewayError::Unavailable { .. });
        assert_eq!(is_known, fault == Fault::Limited, "{fault:?}: {failed}");
        let found = stand.shipments(1).look_up(&second, &Made::Request).await.unwrap();
        assert_eq!(found.is_some(), is_effective, "{fault:?}");
        stand.fault(fault, "cancel_shipment").await;
        let cancelled = stand.shipments(5).cancel(&call(), &shipment.id).await.unwrap();
        assert_eq!(cancelled.state, ShipmentState::Cancelled, "{fault:?}");
        assert_eq!(stand.order(order).cancelled, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn the_sandbox_keeps_no_address() {
    let stand = Stand::new().await;
    let request = parcel(Uuid::new_v4(), "DE");
    stand.shipments(3).request(&call(), &request).await.unwrap();
    let kept = std::fs::read_to_string(stand.folder.path().join("state")).unwrap();
    assert!(kept.contains("shp_1") && !kept.contains("Canary"), "{kept}");
    assert!(!format!("{request:?}").contains("Canary"), "{request:?}");
}
