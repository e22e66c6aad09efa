//! Properties of orders over random sequences of commands.

use proptest::prelude::*;
use uuid::Uuid;

use super::super::{Order, OrderCommand, OrderEvent, OrderLine, OrderStatus};
use super::fulfilment::{STAFF, record, record_by};
use super::pricing::{address, confirm_by, rules};
use super::{ADA, cancel, confirm, line, place, usd};
use crate::aggregate::Aggregate;
use crate::pricing::{Price, TaxMode};
use crate::value::{CustomerType, Money};

fn cents(minor: i64) -> Money {
    Money::from_minor(minor, "USD".parse().unwrap()).unwrap()
}

fn any_line() -> impl Strategy<Value = OrderLine> {
    (0..6_u128, 1..5_u32, 0..500_i64)
        .prop_map(|(id, quantity, price)| line(id, quantity, cents(price)))
}

/// A command, sometimes of the owner of the order.
fn any_command() -> impl Strategy<Value = OrderCommand> {
    let by = || prop_oneof![9 => Just(STAFF), 1 => Just(ADA)].prop_map(record_by);
    prop_oneof![
        2 => any_line().prop_map(|line| OrderCommand::AddLine { line }),
        1 => (0..6_u128).prop_map(|id| OrderCommand::RemoveLine { line_id: Uuid::from_u128(id) }),
        2 => Just(confirm()),
        2 => prop::sample::select(CustomerType::ALL.to_vec())
            .prop_map(|customer| confirm_by(rules(customer))),
        2 => prop::sample::select(vec!["DE", "FR", "AT"]).prop_map(address),
        1 => Just(cancel()),
        2 => Just(OrderCommand::RequestPayment),
        4 => by().prop_map(OrderCommand::RecordPayment),
        3 => by().prop_map(OrderCommand::Ship),
        3 => by().prop_map(OrderCommand::Deliver),
        4 => (-1..700_i64, by()).prop_map(|(minor, record)| {
            let amount = Money::from_minor(minor, "USD".parse().unwrap()).unwrap_or(usd("0"));
            OrderCommand::Refund { amount, record }
        }),
    ]
}

/// What a test knows of an order from its events alone.
#[derive(Debug, Default)]
struct Book {
    lines: Vec<OrderLine>,
    /// The total of its price, if it has one.
    agreed: Option<i64>,
    /// What the order counts for as a sale.
    sales: i64,
    paid: i64,
    refunded: i64,
    is_cancelled: bool,
    has_left: bool,
}

impl Book {
    fn sum(&self) -> i64 {
        let amount = |line: &OrderLine| line.unit_price.minor() * i64::from(line.quantity.get());
        self.lines.iter().map(amount).sum()
    }

    /// What the customer pays.
    fn due(&self) -> i64 {
        self.agreed.unwrap_or(self.sum())
    }

    /// Checks that a price adds up, and that the events alone reproduce it.
    fn agree_on(&mut self, price: &Price) {
        let lines = self
            .lines
            .iter()
            .map(|line| (line.line_id, line.unit_price.minor() * i64::from(line.quantity.get())));
        let priced = price.lines.iter().map(|line| (line.line_id, line.list.minor()));
        assert_eq!(priced.collect::<Vec<_>>(), lines.collect::<Vec<_>>());
        let stored: Price = serde_json::from_str(&serde_json::to_string(price).unwrap()).unwrap();
        assert_eq!(&stored.again().unwrap(), price);
        let added = if price.tax_mode == TaxMode::Exclusive { price.tax.minor() } else { 0 };
        assert_eq!(price.list.minor(), self.sum());
        assert_eq!(price.total.minor(), self.sum() - price.discount.minor() + added);
        assert!(self.agreed.replace(price.total.minor()).is_none(), "{self:?}");
    }

    fn follow(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Placed(event) => {
                self.lines.clone_from(&event.lines);
                assert_eq!(event.total.minor(), self.sum());
            }
            OrderEvent::LineAdded(event) => {
                self.lines.push(event.line.clone());
                assert_eq!(event.total.minor(), self.sum());
            }
            OrderEvent::LineRemoved(event) => {
                self.lines.retain(|line| line.line_id != event.line_id);
                assert_eq!(event.total.minor(), self.sum());
            }
            OrderEvent::ShippingAddressSet(_) => assert_eq!(self.sales, 0),
            OrderEvent::Priced(event) => self.agree_on(&event.price),
            OrderEvent::Confirmed(event) => {
                assert_eq!(event.total.minor(), self.due());
                self.sales += event.total.minor();
            }
            OrderEvent::SaleCancelled(event) => {
                self.sales -= event.total.minor();
                assert_eq!((self.sales, self.has_left), (0, false));
                self.is_cancelled = true;
            }
            OrderEvent::Cancelled(_) => self.is_cancelled = true,
            OrderEvent::PaymentRequested(event) => assert_eq!(event.amount.minor(), self.due()),
            OrderEvent::Paid(event) => {
                assert_eq!((self.paid, event.amount.minor()), (0, self.due()));
                self.paid = event.amount.minor();
            }
            OrderEvent::Shipped(_) => self.has_left = true,
            OrderEvent::Delivered(_) => assert!(self.has_left),
            OrderEvent::Refunded(event) => {
                self.refunded += event.amount.minor();
                assert_eq!(event.refunded.minor(), self.refunded);
            }
        }
        assert!(self.sales >= 0 && self.refunded >= 0, "{self:?}");
        assert!(self.refunded <= self.paid, "more is given back than was paid: {self:?}");
        let keeps_goods_for_nothing = self.has_left && !self.is_cancelled && self.sales == 0;
        assert!(!keeps_goods_for_nothing || self.due() == 0, "{self:?}");
    }

    /// Whether nothing may happen to the order any more.
    fn is_closed(&self) -> bool {
        let all_is_back = self.paid == self.refunded;
        (self.is_cancelled && all_is_back) || (self.has_left && self.paid > 0 && all_is_back)
    }
}

fn status(order: &Order) -> Option<OrderStatus> {
    order.placed.as_ref().map(|order| order.status)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn totals_are_sums_money_is_conserved_and_a_closed_order_does_not_change(
        lines in prop::collection::vec(any_line(), 1..4),
        commands in prop::collection::vec(any_command(), 0..40),
    ) {
        let (mut order, mut book) = (Order::default(), Book::default());
        for command in std::iter::once(place(lines)).chain(commands) {
            let closed = book.is_closed();
            let is_confirmed = !matches!(status(&order), None | Some(OrderStatus::Pending));
            for event in order.decide(command).unwrap_or_default() {
                prop_assert!(!closed, "{event:?} after {book:?}");
                let changes_price = matches!(
                    event,
                    OrderEvent::LineAdded(_)
                        | OrderEvent::LineRemoved(_)
                        | OrderEvent::ShippingAddressSet(_)
                        | OrderEvent::Priced(_)
                );
                prop_assert!(!(is_confirmed && changes_price), "{event:?}");
                book.follow(&event);
                order = order.evolve(event);
            }
        }
    }

    #[test]
    fn an_order_is_fulfilled_whatever_it_has(lines in prop::collection::vec(any_line(), 1..4)) {
        let mut order = Order::default();
        for command in [
            place(lines),
            confirm(),
            OrderCommand::RequestPayment,
            OrderCommand::RecordPayment(record()),
            OrderCommand::Ship(record()),
            OrderCommand::Deliver(record()),
        ] {
            let events = order.decide(command).unwrap();
            order = events.into_iter().fold(order, Order::evolve);
        }
        prop_assert_eq!(status(&order), Some(OrderStatus::Delivered));
    }
}
