//! The rows of orders that have a shipping address and a price by the rules of the shop.

use domain::order::event::{OrderEvent, OrderPriced, OrderShippingAddressSet};
use domain::pricing::{
    CountryTax, Discount, LineToPrice, Off, OrderPricing, Period, Price, PriceRequest, PricedLine,
    TaxMode, TaxRate, TaxTable,
};
use domain::value::{
    AddressLine, CustomerType, Destination, PersonName, PostalAddress, Rate, RateClass, Region,
};
use domain::{DomainEvent as _, Personal};
use serde_json::json;
use uuid::Uuid;

use super::{FIRST, ORDER, Story, USER, at, confirmed, money, order, placed, story, with};
use crate::erasure::World;
use crate::support::{Happening, append, everything};

const DAY: &str = "1997-05-05T00:00:00Z";

fn destination() -> Destination {
    Destination { country: "US".parse().unwrap(), region: Some(Region::parse("CA").unwrap()) }
}

fn addressed() -> Happening {
    let postal = PostalAddress {
        recipient: PersonName::parse("Ada").unwrap(),
        street: AddressLine::parse("Ring 1").unwrap(),
        city: AddressLine::parse("Wien").unwrap(),
        postal_code: None,
    };
    order(OrderEvent::ShippingAddressSet(OrderShippingAddressSet {
        order_id: ORDER,
        user_id: USER,
        postal: Personal::new(USER, postal),
        destination: destination(),
    }))
}

/// Two dollars, less 50 cents, with 30 cents of tax on top.
pub(super) fn priced() -> Happening {
    let line = PricedLine {
        line_id: FIRST,
        rate_class: RateClass::Standard,
        list: money(200, "USD"),
        discount: money(50, "USD"),
    };
    let price = Price {
        priced_at: at(DAY),
        customer_type: CustomerType::Consumer,
        destination: Some(destination()),
        lines: vec![line],
        discounts: Vec::new(),
        tax_mode: TaxMode::Exclusive,
        taxes: Vec::new(),
        list: money(200, "USD"),
        discount: money(50, "USD"),
        tax: money(30, "USD"),
        total: money(180, "USD"),
    };
    order(OrderEvent::Priced(OrderPriced {
        order_id: ORDER,
        user_id: USER,
        pricing_version: 1,
        price,
    }))
}

pub(super) fn stories() -> Vec<Story> {
    let first = super::of_orders().remove(0).row;
    let addressed_row = with(
        &first,
        json!({"shipping_country": "US", "shipping_region": "CA", "updated_at": "@2",
            "version": 2, "position": 2}),
    );
    let priced_row = with(
        &addressed_row,
        json!({"discount_minor": 50, "tax_minor": 30, "total_minor": 180, "updated_at": "@3",
            "version": 3, "position": 3}),
    );
    let sold_row = with(
        &priced_row,
        json!({"status": "confirmed", "confirmed_at": "@4", "updated_at": "@4", "version": 4,
            "position": 4}),
    );
    let all = [placed(), addressed(), priced(), confirmed(180, 2, DAY)];
    let until = |count: usize| all[..count].to_vec();
    // The row has nothing personal, so it stays as it is when the user is erased.
    let erased = Story { erased: true, ..story("orders", until(4), sold_row.clone()) };
    vec![
        story("orders", until(2), addressed_row),
        story("orders", until(3), priced_row),
        story("orders", until(4), sold_row),
        erased,
    ]
}

/// A price by real rules: a tenth off, and 20 % of tax on top.
fn computed() -> Price {
    let rate = |parts| Rate::from_parts_per_million(parts).unwrap();
    let discount = Discount {
        discount_id: Uuid::from_u128(9),
        off: Off::Percent(rate(100_000)),
        customer_type: None,
        valid: Period::default(),
    };
    let class = RateClass::Standard;
    let tax = TaxRate { region: None, rate_class: class, rate: rate(200_000) };
    let tax = CountryTax { mode: TaxMode::Exclusive, rates: vec![tax] };
    let taxes = TaxTable::new([("US".parse().unwrap(), tax)]).unwrap();
    let line = LineToPrice { line_id: FIRST, rate_class: class, list: money(200, "USD") };
    let request = PriceRequest {
        at: at(DAY),
        customer_type: CustomerType::Consumer,
        destination: Some(destination()),
        lines: vec![line],
    };
    OrderPricing::new(vec![discount], taxes).unwrap().price(&request).unwrap()
}

#[tokio::test]
async fn p7_a_price_is_reproduced_from_the_log_after_the_user_was_erased() {
    let world = World::new();
    let price = computed();
    let priced =
        OrderPriced { order_id: ORDER, user_id: USER, pricing_version: 1, price: price.clone() };
    let sold = confirmed(216, 2, DAY);
    let happened = vec![placed(), addressed(), order(OrderEvent::Priced(priced)), sold];
    append(&world.encrypted, happened).await;
    world.erase(USER).await;
    // As it is stored, without any key.
    let stored = everything(world.log.as_ref()).await;
    let stored = stored.iter().find(|event| event.event_type.as_str() == "order.priced").unwrap();
    let event = OrderEvent::from_parts("order.priced", 1, stored.data.get()).unwrap().unwrap();
    let OrderEvent::Priced(found) = event else { panic!("{event:?}") };
    assert_eq!(found.price, price);
    assert_eq!(found.price.again().unwrap(), price);
}
