//! Tests of the rules for receiving, reserving, releasing and shipping stock.

use proptest::prelude::*;
use uuid::Uuid;

use super::super::event::{ProductStockReceived, ProductStockReleased, ProductStockShipped};
use super::super::{
    MAX_RESERVATIONS, MAX_STOCK, Product, ProductCommand, ProductError, ProductEvent,
};
use super::{CD, ORDER, added, adjusted, reserved};
use crate::aggregate::Aggregate;
use crate::aggregate::scenario::given;

const OTHER: Uuid = Uuid::from_u128(101);

fn receive(units: i64) -> ProductCommand {
    ProductCommand::ReceiveStock { units }
}

fn reserve(order_id: Uuid, units: i64) -> ProductCommand {
    ProductCommand::ReserveStock { order_id, units }
}

fn release(order_id: Uuid) -> ProductCommand {
    ProductCommand::ReleaseStock { order_id }
}

fn ship(order_id: Uuid, units: i64) -> ProductCommand {
    ProductCommand::ShipStock { order_id, units }
}

fn received(units: i64, stock: i64) -> ProductEvent {
    ProductEvent::StockReceived(ProductStockReceived { product_id: CD, units, stock })
}

fn released(order_id: Uuid, units: i64, reserved: i64) -> ProductEvent {
    ProductEvent::StockReleased(ProductStockReleased { product_id: CD, order_id, units, reserved })
}

fn shipped(order_id: Uuid, units: i64, stock: i64, reserved: i64) -> ProductEvent {
    let product_id = CD;
    let shipped = ProductStockShipped { product_id, order_id, units, stock, reserved };
    ProductEvent::StockShipped(shipped)
}

#[test]
fn units_that_arrive_are_on_hand() {
    given::<Product>([added(5)]).when(receive(3)).then([received(3, 8)]);
    given::<Product>([added(5), received(3, 8)])
        .when(reserve(ORDER, 8))
        .then([reserved(ORDER, 8, 8)]);
    for units in [0, -1, i64::MIN] {
        given::<Product>([added(5)])
            .when(receive(units))
            .then_error(&ProductError::UnitsOutOfRange);
    }
    for units in [MAX_STOCK, i64::MAX] {
        given::<Product>([added(5)]).when(receive(units)).then_error(&ProductError::StockTooLarge);
    }
}

#[test]
fn only_available_units_are_reserved() {
    given::<Product>([added(5)]).when(reserve(ORDER, 5)).then([reserved(ORDER, 5, 5)]);
    given::<Product>([added(5)])
        .when(reserve(ORDER, 6))
        .then_error(&ProductError::NotEnoughStock { available: 5 });
    given::<Product>([added(5), reserved(ORDER, 4, 4)])
        .when(reserve(OTHER, 2))
        .then_error(&ProductError::NotEnoughStock { available: 1 });
    given::<Product>([added(5)])
        .when(reserve(ORDER, i64::MAX))
        .then_error(&ProductError::NotEnoughStock { available: 5 });
    given::<Product>([added(5)]).when(reserve(ORDER, 0)).then_error(&ProductError::UnitsOutOfRange);
}

#[test]
fn an_order_reserves_a_product_once() {
    given::<Product>([added(5), reserved(ORDER, 4, 4)]).when(reserve(ORDER, 4)).then([]);
    given::<Product>([added(5), reserved(ORDER, 4, 4), released(ORDER, 4, 0)])
        .when(reserve(ORDER, 5))
        .then([reserved(ORDER, 5, 5)]);
}

#[test]
fn released_units_are_available_again() {
    let history = || [added(5), reserved(ORDER, 3, 3), reserved(OTHER, 2, 5)];
    given::<Product>(history()).when(release(ORDER)).then([released(ORDER, 3, 2)]);
    given::<Product>(history().into_iter().chain([released(ORDER, 3, 2)]))
        .when(reserve(ORDER, 4))
        .then_error(&ProductError::NotEnoughStock { available: 3 });
    given::<Product>([added(5)]).when(release(ORDER)).then([]);
}

#[test]
fn shipped_units_are_neither_on_hand_nor_reserved() {
    let history = || [added(5), reserved(ORDER, 3, 3), reserved(OTHER, 1, 4)];
    given::<Product>(history()).when(ship(ORDER, 3)).then([shipped(ORDER, 3, 2, 1)]);
    let then = || history().into_iter().chain([shipped(ORDER, 3, 2, 1)]);
    given::<Product>(then())
        .when(reserve(ORDER, 2))
        .then_error(&ProductError::NotEnoughStock { available: 1 });
}

#[test]
fn units_without_a_reservation_are_shipped_if_they_are_available() {
    let history = || [added(5), reserved(OTHER, 3, 3)];
    given::<Product>(history()).when(ship(ORDER, 2)).then([shipped(ORDER, 2, 3, 3)]);
    given::<Product>(history())
        .when(ship(ORDER, 3))
        .then_error(&ProductError::NotEnoughStock { available: 2 });
    given::<Product>(history()).when(ship(ORDER, 0)).then_error(&ProductError::UnitsOutOfRange);
    // The reserved units count, not those that the command names.
    given::<Product>(history()).when(ship(OTHER, 1)).then([shipped(OTHER, 3, 2, 0)]);
}

#[test]
fn a_correction_does_not_take_reserved_units() {
    let history = || [added(5), reserved(ORDER, 3, 3)];
    let adjust = |delta| ProductCommand::AdjustStock { delta };
    given::<Product>(history()).when(adjust(-2)).then([adjusted(-2, 3)]);
    given::<Product>(history())
        .when(adjust(-3))
        .then_error(&ProductError::NotEnoughStock { available: 2 });
}

#[test]
fn the_number_of_reservations_is_limited() {
    let units = i64::try_from(MAX_RESERVATIONS).unwrap();
    let reservations = (1..=units)
        .map(|number| reserved(Uuid::from_u128(u128::try_from(number).unwrap()), 1, number));
    given::<Product>([added(units + 1)].into_iter().chain(reservations))
        .when(reserve(Uuid::from_u128(0), 1))
        .then_error(&ProductError::TooManyReservations);
}

#[test]
fn a_product_that_was_never_added_has_no_stock() {
    for command in [receive(1), reserve(ORDER, 1), release(ORDER), ship(ORDER, 1)] {
        given::<Product>([]).when(command).then_error(&ProductError::Unknown);
    }
}

/// A command, of one of a few orders.
fn any_command() -> impl Strategy<Value = ProductCommand> {
    let order = || (0..4_u128).prop_map(Uuid::from_u128);
    prop_oneof![
        (-9..9_i64).prop_map(|delta| ProductCommand::AdjustStock { delta }),
        (-1..9_i64).prop_map(receive),
        (order(), -1..9_i64).prop_map(|(order, units)| reserve(order, units)),
        order().prop_map(release),
        (order(), -1..9_i64).prop_map(|(order, units)| ship(order, units)),
    ]
}

/// The units of a product as a test counts them: on hand, and for each order.
#[derive(Debug, Default)]
struct Count {
    on_hand: i64,
    by_order: std::collections::BTreeMap<Uuid, i64>,
}

impl Count {
    fn reserved(&self) -> i64 {
        self.by_order.values().sum()
    }

    /// Counts what an event moves, and checks the totals that it names.
    fn follow(&mut self, event: &ProductEvent) {
        match event {
            ProductEvent::Added(_)
            | ProductEvent::Renamed(_)
            | ProductEvent::Repriced(_)
            | ProductEvent::Classified(_) => {}
            ProductEvent::StockAdjusted(event) => {
                self.on_hand += event.delta;
                assert_eq!(event.stock, self.on_hand);
            }
            ProductEvent::StockReceived(event) => {
                self.on_hand += event.units;
                assert_eq!(event.stock, self.on_hand);
            }
            ProductEvent::StockReserved(event) => {
                assert_eq!(self.by_order.insert(event.order_id, event.units), None);
                assert_eq!(event.reserved, self.reserved());
            }
            ProductEvent::StockReleased(event) => {
                assert_eq!(self.by_order.remove(&event.order_id), Some(event.units));
                assert_eq!(event.reserved, self.reserved());
            }
            ProductEvent::StockShipped(event) => {
                let reserved = self.by_order.remove(&event.order_id);
                assert!(reserved.is_none_or(|units| units == event.units));
                self.on_hand -= event.units;
                assert_eq!((event.stock, event.reserved), (self.on_hand, self.reserved()));
            }
        }
        assert!(self.reserved() >= 0 && self.on_hand >= self.reserved(), "{self:?}");
    }
}

proptest! {
    #[test]
    fn stock_is_never_negative_whatever_is_asked(
        commands in prop::collection::vec(any_command(), 0..60)
    ) {
        let (mut product, mut count) = (Product::default().evolve(added(5)), Count::default());
        count.on_hand = 5;
        for command in commands {
            for event in product.decide(command).unwrap_or_default() {
                count.follow(&event);
                product = product.evolve(event);
            }
        }
    }
}
