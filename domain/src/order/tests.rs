//! Tests of how an order reacts to commands.

#![allow(clippy::unwrap_used, reason = "tests")]

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::event::{OrderCancelled, OrderConfirmed, OrderLineAdded, OrderLineRemoved, OrderPlaced};
use super::{
    CancelReason, MAX_LINES, Order, OrderCommand, OrderError, OrderEvent, OrderLine, OrderStatus,
    PlaceOrder,
};
use crate::aggregate::scenario::given;
use crate::aggregate::{Aggregate, DomainEvent};
use crate::golden::GOLDEN;
use crate::personal::Personal;
use crate::user::event::UserRegistered;
use crate::user::{Customer, User, UserEvent};
use crate::value::{Email, Money, MoneyError, PersonName, ProductName, Quantity};

mod fulfilment;
mod pricing;
mod properties;

const ORDER: Uuid = Uuid::from_u128(100);
const ADA: Uuid = Uuid::from_u128(1);
const CD: Uuid = Uuid::from_u128(7);

fn money(text: &str, currency: &str) -> Money {
    Money::parse(text, currency.parse().unwrap()).unwrap()
}

fn usd(text: &str) -> Money {
    money(text, "USD")
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn line(id: u128, quantity: u32, unit_price: Money) -> OrderLine {
    OrderLine {
        line_id: Uuid::from_u128(id),
        product_id: CD,
        product_name: ProductName::parse("CD").unwrap(),
        quantity: Quantity::new(quantity).unwrap(),
        unit_price,
    }
}

fn ada() -> Customer {
    User::default()
        .evolve(UserEvent::Registered(UserRegistered {
            user_id: ADA,
            email: Personal::new(ADA, Email::parse("ada@example.com").unwrap()),
            name: Personal::new(ADA, PersonName::parse("Ada").unwrap()),
        }))
        .customer()
        .unwrap()
}

fn place(lines: Vec<OrderLine>) -> OrderCommand {
    OrderCommand::Place(PlaceOrder { order_id: ORDER, customer: ada(), lines, ordered_at: None })
}

fn placed(lines: Vec<OrderLine>, total: Money, ordered_at: Option<DateTime<Utc>>) -> OrderEvent {
    OrderEvent::Placed(OrderPlaced { order_id: ORDER, user_id: ADA, lines, total, ordered_at })
}

fn one_line() -> OrderEvent {
    placed(vec![line(1, 2, usd("14.67"))], usd("29.34"), None)
}

fn confirmed(total: Money, units: u64, at: &str) -> OrderEvent {
    OrderEvent::Confirmed(OrderConfirmed {
        order_id: ORDER,
        user_id: ADA,
        total,
        units,
        ordered_at: time(at),
        // An imported order has an earlier date.
        to_fulfil: at == NOON,
    })
}

fn cancel() -> OrderCommand {
    OrderCommand::Cancel(CancelReason::Customer.into())
}

fn cancelled() -> OrderEvent {
    let reason = Some(CancelReason::Customer);
    OrderEvent::Cancelled(OrderCancelled { order_id: ORDER, user_id: ADA, reason })
}

fn removed(id: u128, total: Money) -> OrderEvent {
    OrderEvent::LineRemoved(OrderLineRemoved {
        order_id: ORDER,
        line_id: Uuid::from_u128(id),
        total,
    })
}

const NOON: &str = "2026-01-05T12:00:00Z";

fn confirm() -> OrderCommand {
    OrderCommand::Confirm { at: time(NOON), rules: None }
}

#[test]
fn the_state_that_is_kept_is_what_it_was_in_its_shape() {
    let lines = vec![line(1, 2, usd("14.67")), line(2, 1, usd("1.00"))];
    let history = [
        placed(lines, usd("30.34"), Some(time(NOON))),
        removed(1, usd("1.00")),
        OrderEvent::LineAdded(OrderLineAdded {
            order_id: ORDER,
            line: line(3, 4, usd("2.00")),
            total: usd("9.00"),
        }),
        pricing::addressed("DE"),
        pricing::priced(usd("9.00")),
        confirmed(usd("9.00"), 5, NOON),
        fulfilment::payment_requested(),
        fulfilment::paid(),
        fulfilment::refunded("10.00", "10.00"),
    ];
    GOLDEN.check_kept::<Order>(&history.into_iter().fold(Order::default(), Order::evolve));
}

#[test]
fn an_order_is_placed_with_the_total_of_its_lines() {
    let lines = || vec![line(1, 2, usd("14.67")), line(2, 1, usd("0.00")), line(3, 3, usd("1.05"))];
    given::<Order>([]).when(place(lines())).then([placed(lines(), usd("32.49"), None)]);
}

#[test]
fn an_order_is_placed_once_and_with_one_line_at_least() {
    given::<Order>([one_line()])
        .when(place(vec![line(1, 1, usd("1"))]))
        .then_error(&OrderError::AlreadyPlaced);
    given::<Order>([]).when(place(Vec::new())).then_error(&OrderError::NoLines);
}

#[test]
fn an_order_has_a_limited_number_of_lines() {
    let lines = |n: usize| (0..n).map(|i| line(i as u128, 1, usd("1"))).collect::<Vec<_>>();
    given::<Order>([]).when(place(lines(MAX_LINES + 1))).then_error(&OrderError::TooManyLines);
    given::<Order>([placed(lines(MAX_LINES), usd("100"), None)])
        .when(OrderCommand::AddLine { line: line(9999, 1, usd("1")) })
        .then_error(&OrderError::TooManyLines);
}

#[test]
fn currencies_never_mix_in_an_order() {
    let reason = MoneyError::Mixed { left: "USD".parse().unwrap(), right: "EUR".parse().unwrap() };
    given::<Order>([])
        .when(place(vec![line(1, 1, usd("1")), line(2, 1, money("1", "EUR"))]))
        .then_error(&OrderError::Total { line: 1, reason });
    given::<Order>([one_line(), removed(1, usd("0"))])
        .when(OrderCommand::AddLine { line: line(2, 1, money("1", "EUR")) })
        .then_error(&OrderError::Total { line: 0, reason });
}

#[test]
fn a_total_past_the_limit_is_refused() {
    let huge = Money::from_minor(Money::MAX_MINOR, "USD".parse().unwrap()).unwrap();
    given::<Order>([])
        .when(place(vec![line(1, 1, huge), line(2, 1, usd("0.01"))]))
        .then_error(&OrderError::Total { line: 1, reason: MoneyError::TooLarge });
}

#[test]
fn lines_come_and_go_while_the_order_is_pending() {
    let second = || line(2, 1, usd("5.00"));
    let added = || {
        OrderEvent::LineAdded(OrderLineAdded {
            order_id: ORDER,
            line: second(),
            total: usd("34.34"),
        })
    };
    given::<Order>([one_line()]).when(OrderCommand::AddLine { line: second() }).then([added()]);
    given::<Order>([one_line(), added()])
        .when(OrderCommand::RemoveLine { line_id: Uuid::from_u128(1) })
        .then([removed(1, usd("5.00"))]);
    given::<Order>([one_line()])
        .when(OrderCommand::RemoveLine { line_id: Uuid::from_u128(1) })
        .then([removed(1, usd("0.00"))]);
    given::<Order>([one_line()])
        .when(OrderCommand::RemoveLine { line_id: Uuid::from_u128(77) })
        .then_error(&OrderError::UnknownLine);
}

#[test]
fn a_pending_order_is_confirmed_at_the_time_of_the_confirmation() {
    given::<Order>([one_line()]).when(confirm()).then([confirmed(usd("29.34"), 2, NOON)]);
}

#[test]
fn an_order_that_was_taken_over_counts_for_its_own_day() {
    let history =
        placed(vec![line(1, 2, usd("14.67"))], usd("29.34"), Some(time("1997-01-12T00:00:00Z")));
    given::<Order>([history]).when(confirm()).then([confirmed(
        usd("29.34"),
        2,
        "1997-01-12T00:00:00Z",
    )]);
}

#[test]
fn an_empty_order_is_never_confirmed_but_can_be_cancelled() {
    given::<Order>([one_line(), removed(1, usd("0"))])
        .when(confirm())
        .then_error(&OrderError::Empty);
    given::<Order>([one_line(), removed(1, usd("0"))]).when(cancel()).then([cancelled()]);
}

#[test]
fn a_free_order_can_be_confirmed() {
    given::<Order>([placed(vec![line(1, 1, usd("0.00"))], usd("0.00"), None)])
        .when(confirm())
        .then([confirmed(usd("0.00"), 1, NOON)]);
}

#[test]
fn only_a_pending_order_changes() {
    for (ending, status) in [
        (confirmed(usd("29.34"), 2, NOON), OrderStatus::Confirmed),
        (cancelled(), OrderStatus::Cancelled),
    ] {
        for command in [
            OrderCommand::AddLine { line: line(2, 1, usd("1")) },
            OrderCommand::RemoveLine { line_id: Uuid::from_u128(1) },
            confirm(),
        ] {
            given::<Order>([one_line(), ending.clone()])
                .when(command)
                .then_error(&OrderError::NotPending { status });
        }
    }
}

#[test]
fn an_order_that_was_never_placed_is_unknown() {
    for command in [
        OrderCommand::AddLine { line: line(2, 1, usd("1")) },
        OrderCommand::RemoveLine { line_id: Uuid::from_u128(1) },
        confirm(),
        cancel(),
    ] {
        given::<Order>([]).when(command).then_error(&OrderError::Unknown);
    }
}

#[test]
fn events_that_name_the_user_are_labelled_with_the_user() {
    assert_eq!(one_line().tags(), [("order", ORDER), ("user", ADA)]);
    assert_eq!(removed(1, usd("0")).tags(), [("order", ORDER)]);
}
