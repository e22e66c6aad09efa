//! Tests of what happens to an order after its confirmation.

use uuid::Uuid;

use super::super::command::Record;
use super::super::event::{
    OrderDelivered, OrderPaid, OrderPaymentRequested, OrderRefunded, OrderSaleCancelled,
    OrderShipped,
};
use super::super::{
    CancelReason, Cancellation, Order, OrderCommand, OrderError, OrderEvent, OrderStatus,
};
use super::{
    ADA, CD, NOON, ORDER, cancel, cancelled, confirmed, line, money, one_line, placed, time, usd,
};
use crate::aggregate::Aggregate;
use crate::aggregate::scenario::given;
use crate::value::{Evidence, Money, MoneyError, Reason};

pub(super) const STAFF: Uuid = Uuid::from_u128(2);

pub(super) fn record_by(by: Uuid) -> Record {
    Record {
        by: Some(by),
        reason: Reason::parse("seen").unwrap(),
        evidence: Some(Evidence::parse("pay_7").unwrap()),
    }
}

pub(super) fn record() -> Record {
    record_by(STAFF)
}

fn refund(amount: Money) -> OrderCommand {
    OrderCommand::Refund { amount, record: record() }
}

fn sold() -> OrderEvent {
    confirmed(usd("29.34"), 2, NOON)
}

pub(super) fn paid() -> OrderEvent {
    let Record { reason, evidence, .. } = record();
    let (order_id, user_id, amount, ordered_at) = (ORDER, ADA, usd("29.34"), time(NOON));
    OrderEvent::Paid(OrderPaid { order_id, user_id, amount, ordered_at, reason, evidence })
}

fn shipped() -> OrderEvent {
    let Record { reason, evidence, .. } = record();
    OrderEvent::Shipped(OrderShipped { order_id: ORDER, user_id: ADA, reason, evidence })
}

fn delivered() -> OrderEvent {
    let Record { reason, evidence, .. } = record();
    OrderEvent::Delivered(OrderDelivered { order_id: ORDER, user_id: ADA, reason, evidence })
}

pub(super) fn refunded(amount: &str, so_far: &str) -> OrderEvent {
    let Record { reason, evidence, .. } = record();
    OrderEvent::Refunded(OrderRefunded {
        order_id: ORDER,
        user_id: ADA,
        amount: usd(amount),
        refunded: usd(so_far),
        ends_order: so_far == "29.34",
        ordered_at: time(NOON),
        reason,
        evidence,
    })
}

fn sale_cancelled() -> OrderEvent {
    OrderEvent::SaleCancelled(OrderSaleCancelled {
        order_id: ORDER,
        user_id: ADA,
        total: usd("29.34"),
        units: 2,
        ordered_at: time(NOON),
        reason: Some(CancelReason::Customer),
        products: Vec::new(),
    })
}

pub(super) fn payment_requested() -> OrderEvent {
    let (order_id, user_id, amount) = (ORDER, ADA, usd("29.34"));
    OrderEvent::PaymentRequested(OrderPaymentRequested { order_id, user_id, amount })
}

/// The events that bring an order to each status.
fn histories() -> Vec<(OrderStatus, Vec<OrderEvent>)> {
    let all = [one_line(), sold(), paid(), shipped(), delivered(), refunded("29.34", "29.34")];
    let until = |count: usize| all[..count].to_vec();
    vec![
        (OrderStatus::Pending, until(1)),
        (OrderStatus::Confirmed, until(2)),
        (OrderStatus::Paid, until(3)),
        (OrderStatus::Shipped, until(4)),
        (OrderStatus::Delivered, until(5)),
        (OrderStatus::Refunded, until(6)),
        (OrderStatus::Cancelled, vec![one_line(), cancelled()]),
        (OrderStatus::Cancelled, vec![one_line(), sold(), sale_cancelled()]),
    ]
}

#[test]
fn every_step_is_taken_from_the_status_before_it_and_from_no_other() {
    type Step = (fn() -> OrderCommand, OrderStatus, fn() -> OrderEvent);
    let steps: [Step; 4] = [
        (|| OrderCommand::RequestPayment, OrderStatus::Confirmed, payment_requested),
        (|| OrderCommand::RecordPayment(record()), OrderStatus::Confirmed, paid),
        (|| OrderCommand::Ship(record()), OrderStatus::Paid, shipped),
        (|| OrderCommand::Deliver(record()), OrderStatus::Shipped, delivered),
    ];
    assert_eq!(histories().len(), OrderStatus::ALL.len() + 1, "each status, one of them twice");
    for (command, needed, event) in steps {
        for (status, history) in histories() {
            let outcome = given::<Order>(history).when(command());
            if status == needed {
                outcome.then([event()]);
            } else {
                outcome.then_error(&OrderError::OtherStatus { status, needed });
            }
        }
    }
}

#[test]
fn an_order_is_cancelled_until_it_is_shipped() {
    for (status, history) in histories() {
        let outcome = given::<Order>(history).when(cancel());
        match status {
            OrderStatus::Pending => outcome.then([cancelled()]),
            OrderStatus::Confirmed | OrderStatus::Paid => outcome.then([sale_cancelled()]),
            _ => outcome.then_error(&OrderError::NotCancellable { status }),
        }
    }
}

#[test]
fn a_cancelled_sale_says_why_and_which_products_it_is_about() {
    let reason = CancelReason::OutOfStock;
    let command = OrderCommand::Cancel(Cancellation { reason, products: vec![CD] });
    let event = match sale_cancelled() {
        OrderEvent::SaleCancelled(event) => OrderEvent::SaleCancelled(OrderSaleCancelled {
            reason: Some(reason),
            products: vec![CD],
            ..event
        }),
        event => event,
    };
    given::<Order>([one_line(), sold()]).when(command).then([event]);
}

#[test]
fn what_was_paid_is_held_until_it_is_refunded() {
    let held = |history: &[OrderEvent]| {
        let order = history.iter().cloned().fold(Order::default(), Order::evolve);
        (order.status(), order.held())
    };
    assert_eq!(held(&[]), (None, None));
    assert_eq!(held(&[one_line(), sold()]), (Some(OrderStatus::Confirmed), None));
    let paid = [one_line(), sold(), paid(), shipped(), refunded("10.00", "10.00")];
    assert_eq!(held(&paid[..3]), (Some(OrderStatus::Paid), Some(usd("29.34"))));
    assert_eq!(held(&paid), (Some(OrderStatus::Shipped), Some(usd("19.34"))));
}

#[test]
fn a_user_asks_to_pay_once() {
    given::<Order>([one_line(), sold(), payment_requested()])
        .when(OrderCommand::RequestPayment)
        .then([]);
}

#[test]
fn nobody_records_anything_about_their_own_order() {
    let own = || record_by(ADA);
    for command in [
        OrderCommand::RecordPayment(own()),
        OrderCommand::Ship(own()),
        OrderCommand::Deliver(own()),
        OrderCommand::Refund { amount: usd("1"), record: own() },
    ] {
        for (_, history) in histories() {
            given::<Order>(history).when(command.clone()).then_error(&OrderError::OwnOrder);
        }
    }
    let system = Record { by: None, ..record() };
    given::<Order>([one_line(), sold()]).when(OrderCommand::RecordPayment(system)).then([paid()]);
}

#[test]
fn refunds_never_exceed_the_payment() {
    let history = || [one_line(), sold(), paid(), shipped(), refunded("10.00", "10.00")];
    let more = |amount| given::<Order>(history()).when(refund(usd(amount)));
    more("19.33").then([refunded("19.33", "29.33")]);
    more("19.34").then([refunded("19.34", "29.34")]);
    more("19.35").then_error(&OrderError::RefundTooLarge { left: usd("19.34") });
    more("0.00").then_error(&OrderError::EmptyRefund);
    let reason = MoneyError::Mixed { left: "USD".parse().unwrap(), right: "EUR".parse().unwrap() };
    given::<Order>(history())
        .when(refund(money("1", "EUR")))
        .then_error(&OrderError::Refund { reason });
    let most = Money::from_minor(Money::MAX_MINOR, "USD".parse().unwrap()).unwrap();
    given::<Order>(history())
        .when(refund(most))
        .then_error(&OrderError::Refund { reason: MoneyError::TooLarge });
}

#[test]
fn what_was_not_paid_is_not_refunded() {
    for (status, history) in histories() {
        let is_paid = history.iter().any(|event| matches!(event, OrderEvent::Paid(_)));
        if !is_paid {
            given::<Order>(history).when(refund(usd("1.00"))).then_error(&OrderError::NothingPaid);
        } else if status != OrderStatus::Refunded {
            given::<Order>(history).when(refund(usd("1.00"))).then([refunded("1.00", "1.00")]);
        }
    }
}

#[test]
fn a_paid_order_is_cancelled_before_all_its_money_is_given_back() {
    let all_back = || match refunded("29.34", "29.34") {
        OrderEvent::Refunded(event) => {
            OrderEvent::Refunded(OrderRefunded { ends_order: false, ..event })
        }
        event => event,
    };
    given::<Order>([one_line(), sold(), paid()])
        .when(refund(usd("29.34")))
        .then_error(&OrderError::CancelFirst);
    given::<Order>([one_line(), sold(), paid(), sale_cancelled()])
        .when(refund(usd("29.34")))
        .then([all_back()]);
    given::<Order>([one_line(), sold(), paid(), sale_cancelled(), all_back()])
        .when(refund(usd("0.01")))
        .then_error(&OrderError::RefundTooLarge { left: usd("0.00") });
}

#[test]
fn an_order_that_was_never_placed_is_not_recorded_about() {
    for command in [
        OrderCommand::RequestPayment,
        OrderCommand::RecordPayment(record()),
        OrderCommand::Ship(record()),
        OrderCommand::Deliver(record()),
        refund(usd("1")),
    ] {
        given::<Order>([]).when(command).then_error(&OrderError::Unknown);
    }
}

#[test]
fn an_order_takes_the_sum_of_its_lines_of_each_product() {
    let (lp, mut other) = (Uuid::from_u128(3), line(3, 5, usd("1")));
    other.product_id = lp;
    let lines = || vec![line(1, 2, usd("1")), other.clone(), line(2, 4, usd("1"))];
    let order = Order::default().evolve(placed(lines(), usd("11"), None));
    assert_eq!(Vec::from_iter(order.units_by_product()), [(lp, 5), (CD, 6)]);
    let line_of = |available| order.line_beyond(CD, available).map(|(index, _)| index);
    assert_eq!([line_of(6), line_of(5), line_of(2), line_of(1)], [None, Some(2), Some(2), Some(0)]);
    let imported = Order::default().evolve(placed(lines(), usd("11"), Some(time(NOON))));
    assert!(imported.units_by_product().is_empty());
    assert!(Order::default().units_by_product().is_empty());
}
