//! The price of an order that is about to be confirmed, and where the order goes.

use std::collections::VecDeque;

use domain::Personal;
use domain::order::event::{OrderEvent, OrderPlaced, OrderPriced, OrderShippingAddressSet};
use domain::pricing::{
    CountryTax, Discount, LineToPrice, Off, OrderPricing, Period, PriceRequest, TaxMode, TaxRate,
    TaxTable,
};
use domain::value::{CustomerType, Destination, Rate, RateClass};
use rand::Rng;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::{at, postal};
use crate::support::{Happening, happening};

/// A tenth off for all, and 20 % of tax on top in Austria.
fn rules() -> OrderPricing {
    let rate = |parts| Rate::from_parts_per_million(parts).unwrap();
    let discount = Discount {
        discount_id: Uuid::from_u128(1),
        off: Off::Percent(rate(100_000)),
        customer_type: None,
        valid: Period::default(),
    };
    let tax = TaxRate { region: None, rate_class: RateClass::Standard, rate: rate(200_000) };
    let tax = CountryTax { mode: TaxMode::Exclusive, rates: vec![tax] };
    let taxes = TaxTable::new([("AT".parse().unwrap(), tax)]).unwrap();
    OrderPricing::new(vec![discount], taxes).unwrap()
}

/// Sends every other new order to Austria, at a price by the rules. An import keeps its own.
pub(super) fn agree_on(order: &mut OrderPlaced, random: &mut StdRng) -> VecDeque<Happening> {
    if order.ordered_at.is_some() || random.random_ratio(1, 2) {
        return VecDeque::new();
    }
    let (order_id, user_id) = (order.order_id, order.user_id);
    let destination = Destination { country: "AT".parse().unwrap(), region: None };
    let lines = order.lines.iter().map(|line| LineToPrice {
        line_id: line.line_id,
        rate_class: RateClass::Standard,
        list: line.unit_price.times(line.quantity).unwrap(),
    });
    let request = PriceRequest {
        at: at("2026-11-22T23:59:59.999999Z"),
        customer_type: CustomerType::Consumer,
        destination: Some(destination.clone()),
        lines: lines.collect(),
    };
    let price = rules().price(&request).unwrap();
    order.total = price.total;
    let postal = Personal::new(user_id, postal());
    [
        OrderEvent::ShippingAddressSet(OrderShippingAddressSet {
            order_id,
            user_id,
            postal,
            destination,
        }),
        OrderEvent::Priced(OrderPriced { order_id, user_id, pricing_version: 1, price }),
    ]
    .iter()
    .map(|event| happening("order", order_id, event))
    .collect()
}
