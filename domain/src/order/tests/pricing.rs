//! Tests of what an order costs when it is confirmed, and of where it goes.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::event::{OrderPriced, OrderShippingAddressSet};
use super::super::{Order, OrderCommand, OrderError, OrderEvent, OrderLine, OrderStatus, Rules};
use super::fulfilment::record;
use super::{
    ADA, NOON, ORDER, cancel, cancelled, confirm, confirmed, line, one_line, placed, time, usd,
};
use crate::aggregate::Aggregate;
use crate::aggregate::scenario::given;
use crate::personal::Personal;
use crate::pricing::{
    CountryTax, Discount, Off, OrderPricing, Period, Price, PricedLine, PricingError, TaxMode,
    TaxRate, TaxTable,
};
use crate::value::{
    AddressLine, CustomerType, Destination, Money, PersonName, PostalAddress, Rate, RateClass,
};

fn to(country: &str) -> Destination {
    Destination { country: country.parse().unwrap(), region: None }
}

fn postal() -> PostalAddress {
    PostalAddress {
        recipient: PersonName::parse("Ada").unwrap(),
        street: AddressLine::parse("Ring 1").unwrap(),
        city: AddressLine::parse("Wien").unwrap(),
        postal_code: None,
    }
}

pub(super) fn address(country: &str) -> OrderCommand {
    OrderCommand::SetShippingAddress { postal: postal(), destination: to(country) }
}

pub(super) fn addressed(country: &str) -> OrderEvent {
    let (postal, destination) = (Personal::new(ADA, postal()), to(country));
    let set = OrderShippingAddressSet { order_id: ORDER, user_id: ADA, postal, destination };
    OrderEvent::ShippingAddressSet(set)
}

/// 25 % off for resellers, 5 dollars off for all; in Germany 19 % of tax in the prices, in France
/// 20 % on top, and no tax for the class zero.
pub(super) fn rules(customer_type: CustomerType) -> Rules {
    let rate = |parts| Rate::from_parts_per_million(parts).unwrap();
    let discount = |id, off, customer_type| Discount {
        discount_id: Uuid::from_u128(id),
        off,
        customer_type,
        valid: Period::default(),
    };
    let discounts = vec![
        discount(1, Off::Percent(rate(250_000)), Some(CustomerType::Reseller)),
        discount(2, Off::Amount(usd("5.00")), None),
    ];
    let of_class = |rate_class, parts| TaxRate { region: None, rate_class, rate: rate(parts) };
    let tax = |mode, parts| CountryTax {
        mode,
        rates: vec![of_class(RateClass::Standard, parts), of_class(RateClass::Zero, 0)],
    };
    let taxes = TaxTable::new([
        ("DE".parse().unwrap(), tax(TaxMode::Inclusive, 190_000)),
        ("FR".parse().unwrap(), tax(TaxMode::Exclusive, 200_000)),
    ]);
    let pricing = OrderPricing::new(discounts, taxes.unwrap()).unwrap();
    Rules { version: 7, pricing, customer_type, rate_classes: BTreeMap::new() }
}

pub(super) fn confirm_by(rules: Rules) -> OrderCommand {
    OrderCommand::Confirm { at: time(NOON), rules: Some(rules) }
}

/// An order of one line of 1.00 US dollar that costs this.
pub(super) fn priced(total: Money) -> OrderEvent {
    let price = Price {
        priced_at: time(NOON),
        customer_type: CustomerType::Consumer,
        destination: None,
        lines: vec![PricedLine {
            line_id: Uuid::from_u128(1),
            rate_class: RateClass::Standard,
            list: usd("1.00"),
            discount: usd("0.00"),
        }],
        discounts: Vec::new(),
        tax_mode: TaxMode::Exclusive,
        taxes: Vec::new(),
        list: usd("1.00"),
        discount: usd("0.00"),
        tax: usd("0.00"),
        total,
    };
    OrderEvent::Priced(OrderPriced { order_id: ORDER, user_id: ADA, pricing_version: 1, price })
}

/// The price and the total with which the order of this history is confirmed.
fn sold(history: &[OrderEvent], rules: Rules) -> (OrderPriced, Money) {
    let order = history.iter().cloned().fold(Order::default(), Order::evolve);
    match order.decide(confirm_by(rules)).unwrap().as_slice() {
        [OrderEvent::Priced(priced), OrderEvent::Confirmed(confirmed)] => {
            (priced.clone(), confirmed.total)
        }
        events => panic!("{events:?}"),
    }
}

#[test]
fn the_price_is_fixed_when_the_order_is_confirmed() {
    // 29.34 - 25 % (7.34, rounded up from 7.335) - 5.00 = 17.00, and 20 % on top.
    let history = [one_line(), addressed("FR")];
    let (priced, total) = sold(&history, rules(CustomerType::Reseller));
    let price = &priced.price;
    assert_eq!((price.list, price.discount, price.tax), (usd("29.34"), usd("12.34"), usd("3.40")));
    assert_eq!((price.total, total), (usd("20.40"), usd("20.40")));
    assert_eq!((priced.pricing_version, price.destination.as_ref()), (7, Some(&to("FR"))));
    assert_eq!(price.customer_type, CustomerType::Reseller);
    let used: Vec<_> = price.discounts.iter().map(|used| used.rule.discount_id).collect();
    assert_eq!(used, [Uuid::from_u128(1), Uuid::from_u128(2)]);
    assert_eq!(price.lines[0].rate_class, RateClass::Standard);
    // A consumer gets the amount alone, and German prices contain the tax.
    let history = [one_line(), addressed("FR"), addressed("DE")];
    let (priced, total) = sold(&history, rules(CustomerType::Consumer));
    assert_eq!((priced.price.discount, priced.price.tax), (usd("5.00"), usd("3.89")));
    assert_eq!(total, usd("24.34"));
}

#[test]
fn each_line_has_the_rate_class_of_its_product() {
    let (cd, lp) = (line(1, 1, usd("10.00")), line(2, 1, usd("30.00")));
    let lp = OrderLine { product_id: Uuid::from_u128(8), ..lp };
    let history = [placed(vec![cd, lp], usd("40.00"), None), addressed("FR")];
    let rate_classes = BTreeMap::from([(Uuid::from_u128(8), RateClass::Zero)]);
    let rules = Rules { rate_classes, ..rules(CustomerType::Consumer) };
    let (OrderPriced { price, .. }, total) = sold(&history, rules);
    let classes: Vec<_> = price.lines.iter().map(|line| line.rate_class).collect();
    assert_eq!(classes, [RateClass::Standard, RateClass::Zero]);
    // A quarter of the 5.00 off is the CD's: 20 % of 8.75 is 1.75.
    assert_eq!((price.tax, total), (usd("1.75"), usd("36.75")));
}

#[test]
fn what_is_paid_and_given_back_is_the_agreed_total() {
    let history = [one_line(), addressed("FR")];
    let (priced, total) = sold(&history, rules(CustomerType::Reseller));
    let sold = || {
        let events = [OrderEvent::Priced(priced.clone()), confirmed(total, 2, NOON)];
        history.iter().cloned().chain(events).fold(Order::default(), Order::evolve)
    };
    let amount = |command| match sold().decide(command).unwrap().as_slice() {
        [OrderEvent::PaymentRequested(requested)] => requested.amount,
        [OrderEvent::Paid(paid)] => paid.amount,
        [OrderEvent::SaleCancelled(cancelled)] => cancelled.total,
        events => panic!("{events:?}"),
    };
    for command in [OrderCommand::RequestPayment, OrderCommand::RecordPayment(record()), cancel()] {
        assert_eq!(amount(command), usd("20.40"));
    }
}

#[test]
fn without_rules_an_order_costs_the_sum_of_its_lines() {
    let none = Rules { pricing: OrderPricing::default(), ..rules(CustomerType::Consumer) };
    given::<Order>([one_line()]).when(confirm_by(none)).then([confirmed(usd("29.34"), 2, NOON)]);
    given::<Order>([one_line()]).when(confirm()).then([confirmed(usd("29.34"), 2, NOON)]);
}

#[test]
fn an_imported_order_keeps_its_price() {
    let date = "2020-02-29T12:00:00Z";
    let imported = placed(vec![line(1, 2, usd("14.67"))], usd("29.34"), Some(time(date)));
    let rules = rules(CustomerType::Reseller);
    let confirmed = confirmed(usd("29.34"), 2, date);
    given::<Order>([imported]).when(confirm_by(rules)).then([confirmed]);
}

#[test]
fn an_order_that_cannot_be_priced_is_not_confirmed() {
    let country = "AT".parse().unwrap();
    for (history, reason) in [
        (vec![one_line()], PricingError::NoDestination),
        (
            vec![one_line(), addressed("AT")],
            PricingError::NoTaxRate { country, rate_class: RateClass::Standard },
        ),
    ] {
        given::<Order>(history)
            .when(confirm_by(rules(CustomerType::Consumer)))
            .then_error(&OrderError::NotPriced { reason });
    }
}

#[test]
fn the_shipping_address_changes_while_the_order_is_pending() {
    given::<Order>([one_line()]).when(address("DE")).then([addressed("DE")]);
    given::<Order>([one_line(), addressed("DE")]).when(address("FR")).then([addressed("FR")]);
    given::<Order>([]).when(address("DE")).then_error(&OrderError::Unknown);
    for (ending, status) in [
        (confirmed(usd("29.34"), 2, NOON), OrderStatus::Confirmed),
        (cancelled(), OrderStatus::Cancelled),
    ] {
        given::<Order>([one_line(), ending])
            .when(address("DE"))
            .then_error(&OrderError::NotPending { status });
    }
}
