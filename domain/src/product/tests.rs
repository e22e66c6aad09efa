//! Tests of how a product reacts to commands.

#![allow(clippy::unwrap_used, reason = "tests")]

use uuid::Uuid;

use super::event::{
    ProductAdded, ProductClassified, ProductRenamed, ProductRepriced, ProductStockAdjusted,
    ProductStockReserved,
};
use super::{MAX_STOCK, Product, ProductCommand, ProductError, ProductEvent};
use crate::aggregate::Aggregate;
use crate::aggregate::scenario::given;
use crate::golden::GOLDEN;
use crate::value::{Money, ProductName, RateClass};

mod stock;

const CD: Uuid = Uuid::from_u128(7);
const ORDER: Uuid = Uuid::from_u128(100);

fn name(text: &str) -> ProductName {
    ProductName::parse(text).unwrap()
}

fn usd(text: &str) -> Money {
    Money::parse(text, "USD".parse().unwrap()).unwrap()
}

fn added(stock: i64) -> ProductEvent {
    ProductEvent::Added(ProductAdded {
        product_id: CD,
        name: name("CD"),
        unit_price: usd("14.67"),
        stock,
    })
}

fn adjusted(delta: i64, stock: i64) -> ProductEvent {
    ProductEvent::StockAdjusted(ProductStockAdjusted { product_id: CD, delta, stock })
}

fn classified(rate_class: RateClass) -> ProductEvent {
    ProductEvent::Classified(ProductClassified { product_id: CD, rate_class })
}

fn reserved(order_id: Uuid, units: i64, reserved: i64) -> ProductEvent {
    ProductEvent::StockReserved(ProductStockReserved { product_id: CD, order_id, units, reserved })
}

fn add(stock: i64) -> ProductCommand {
    ProductCommand::Add { product_id: CD, name: name("CD"), unit_price: usd("14.67"), stock }
}

#[test]
fn the_state_that_is_kept_is_what_it_was_in_its_shape() {
    let history = [
        added(5),
        adjusted(-2, 3),
        reserved(ORDER, 2, 2),
        ProductEvent::Renamed(ProductRenamed { product_id: CD, name: name("LP") }),
        ProductEvent::Repriced(ProductRepriced { product_id: CD, unit_price: usd("9.00") }),
        classified(RateClass::Zero),
    ];
    GOLDEN.check_kept::<Product>(&history.into_iter().fold(Product::default(), Product::evolve));
}

#[test]
fn a_product_is_added_once() {
    given::<Product>([]).when(add(5)).then([added(5)]);
    given::<Product>([added(5)]).when(add(5)).then_error(&ProductError::AlreadyAdded);
}

#[test]
fn a_product_begins_with_no_debt_and_no_endless_stock() {
    given::<Product>([]).when(add(-1)).then_error(&ProductError::NotEnoughStock { available: 0 });
    given::<Product>([]).when(add(MAX_STOCK + 1)).then_error(&ProductError::StockTooLarge);
}

#[test]
fn a_product_can_take_another_name_and_another_price() {
    given::<Product>([added(5)]).when(ProductCommand::Rename { name: name("Compact disc") }).then(
        [ProductEvent::Renamed(ProductRenamed { product_id: CD, name: name("Compact disc") })],
    );
    given::<Product>([added(5)]).when(ProductCommand::Reprice { unit_price: usd("0.00") }).then([
        ProductEvent::Repriced(ProductRepriced { product_id: CD, unit_price: usd("0.00") }),
    ]);
}

#[test]
fn a_product_is_standard_until_it_is_classified() {
    let classify = |rate_class| ProductCommand::Classify { rate_class };
    given::<Product>([added(5)]).when(classify(RateClass::Standard)).then([]);
    let reduced = || classified(RateClass::Reduced);
    given::<Product>([added(5)]).when(classify(RateClass::Reduced)).then([reduced()]);
    given::<Product>([added(5), reduced()]).when(classify(RateClass::Reduced)).then([]);
    given::<Product>([added(5), reduced()])
        .when(classify(RateClass::Standard))
        .then([classified(RateClass::Standard)]);
    given::<Product>([]).when(classify(RateClass::Zero)).then_error(&ProductError::Unknown);
    let class = |history: &[ProductEvent]| {
        history.iter().cloned().fold(Product::default(), Product::evolve).rate_class()
    };
    assert_eq!(class(&[added(5)]), RateClass::Standard);
    assert_eq!(class(&[added(5), reduced()]), RateClass::Reduced);
}

#[test]
fn the_same_name_price_or_stock_again_changes_nothing() {
    given::<Product>([added(5)]).when(ProductCommand::Rename { name: name("CD") }).then([]);
    given::<Product>([added(5)])
        .when(ProductCommand::Reprice { unit_price: usd("14.67") })
        .then([]);
    given::<Product>([added(5)]).when(ProductCommand::AdjustStock { delta: 0 }).then([]);
}

#[test]
fn stock_goes_up_and_down_and_never_below_zero() {
    given::<Product>([added(5)])
        .when(ProductCommand::AdjustStock { delta: 3 })
        .then([adjusted(3, 8)]);
    given::<Product>([added(5), adjusted(3, 8)])
        .when(ProductCommand::AdjustStock { delta: -8 })
        .then([adjusted(-8, 0)]);
    given::<Product>([added(5)])
        .when(ProductCommand::AdjustStock { delta: -6 })
        .then_error(&ProductError::NotEnoughStock { available: 5 });
    given::<Product>([added(0)])
        .when(ProductCommand::AdjustStock { delta: i64::MIN })
        .then_error(&ProductError::NotEnoughStock { available: 0 });
}

#[test]
fn stock_past_the_limit_is_refused_and_never_overflows() {
    given::<Product>([added(5)])
        .when(ProductCommand::AdjustStock { delta: i64::MAX })
        .then_error(&ProductError::StockTooLarge);
    given::<Product>([added(1)])
        .when(ProductCommand::AdjustStock { delta: MAX_STOCK })
        .then_error(&ProductError::StockTooLarge);
}

#[test]
fn what_was_never_added_is_unknown() {
    given::<Product>([])
        .when(ProductCommand::Rename { name: name("B") })
        .then_error(&ProductError::Unknown);
    given::<Product>([])
        .when(ProductCommand::Reprice { unit_price: usd("1") })
        .then_error(&ProductError::Unknown);
    given::<Product>([])
        .when(ProductCommand::AdjustStock { delta: 1 })
        .then_error(&ProductError::Unknown);
    assert_eq!(Product::default().offer(), Err(ProductError::Unknown));
}

#[test]
fn an_offer_is_made_at_the_latest_price() {
    let repriced =
        ProductEvent::Repriced(ProductRepriced { product_id: CD, unit_price: usd("9.99") });
    let product = [added(5), repriced].into_iter().fold(Product::default(), Product::evolve);
    let offer = product.offer().unwrap();
    assert_eq!(
        (offer.product_id(), offer.name().as_str(), offer.unit_price()),
        (CD, "CD", usd("9.99"))
    );
    assert_eq!(offer.at(usd("0.00")).unit_price(), usd("0.00"));
}
