//! What follows the confirmation of an order, and the stock that it takes.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use domain::order::CancelReason;
use domain::order::event::{
    OrderConfirmed, OrderDelivered, OrderEvent, OrderPaid, OrderPaymentRequested, OrderPlaced,
    OrderRefunded, OrderSaleCancelled, OrderShipped,
};
use domain::product::event::{
    ProductEvent, ProductStockAdjusted, ProductStockReceived, ProductStockReleased,
    ProductStockReserved, ProductStockShipped,
};
use domain::value::{Evidence, Reason};
use rand::Rng;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::money;
use crate::support::{Happening, happening};

/// The units of a product: on hand, and those of them that are reserved.
#[derive(Default, Clone, Copy)]
struct Units {
    on_hand: i64,
    reserved: i64,
}

/// The stock of each product.
#[derive(Default)]
pub(super) struct Stock(BTreeMap<Uuid, Units>);

/// What an event of an order does to a product's stock: product, order, units.
type Moves = fn(&mut Stock, Uuid, Uuid, i64) -> Happening;

/// A confirmed order.
pub(super) struct Sale {
    order: OrderPlaced,
    units: u64,
    ordered_at: DateTime<Utc>,
    step: Step,
    refunded: i64,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Confirmed,
    Paid,
    Shipped,
    Delivered,
    Cancelled,
}

#[allow(clippy::needless_pass_by_value, reason = "reads better at every call")]
fn product(product_id: Uuid, event: ProductEvent) -> Happening {
    happening("product", product_id, &event)
}

impl Stock {
    pub(super) fn begin(&mut self, product_id: Uuid, on_hand: i64) {
        self.0.insert(product_id, Units { on_hand, reserved: 0 });
    }

    fn of(&mut self, product_id: Uuid) -> &mut Units {
        self.0.entry(product_id).or_default()
    }

    pub(super) fn receive(&mut self, product_id: Uuid, units: i64) -> ProductEvent {
        let stock = self.of(product_id);
        stock.on_hand += units;
        let stock = stock.on_hand;
        ProductEvent::StockReceived(ProductStockReceived { product_id, units, stock })
    }

    pub(super) fn adjust(&mut self, product_id: Uuid, delta: i64) -> ProductEvent {
        let units = self.of(product_id);
        let stock = units.reserved.max(units.on_hand + delta);
        let delta = stock - units.on_hand;
        units.on_hand = stock;
        ProductEvent::StockAdjusted(ProductStockAdjusted { product_id, delta, stock })
    }

    fn reserve(&mut self, product_id: Uuid, order_id: Uuid, units: i64) -> Happening {
        let stock = self.of(product_id);
        stock.reserved += units;
        let reserved = stock.reserved;
        let event = ProductStockReserved { product_id, order_id, units, reserved };
        product(product_id, ProductEvent::StockReserved(event))
    }

    fn release(&mut self, product_id: Uuid, order_id: Uuid, units: i64) -> Happening {
        let stock = self.of(product_id);
        stock.reserved -= units;
        let reserved = stock.reserved;
        let event = ProductStockReleased { product_id, order_id, units, reserved };
        product(product_id, ProductEvent::StockReleased(event))
    }

    fn ship(&mut self, product_id: Uuid, order_id: Uuid, units: i64) -> Happening {
        let units_of = self.of(product_id);
        (units_of.on_hand, units_of.reserved) =
            (units_of.on_hand - units, units_of.reserved - units);
        let Units { on_hand: stock, reserved } = *units_of;
        let event = ProductStockShipped { product_id, order_id, units, stock, reserved };
        product(product_id, ProductEvent::StockShipped(event))
    }
}

impl Sale {
    /// The sale of an order, and the events that make it one. What it lacks in stock arrives first.
    pub(super) fn of(
        order: OrderPlaced,
        confirmed: &OrderConfirmed,
        stock: &mut Stock,
    ) -> (Self, VecDeque<Happening>) {
        let sale = Self {
            units: confirmed.units,
            ordered_at: confirmed.ordered_at,
            step: Step::Confirmed,
            refunded: 0,
            order,
        };
        let (order_id, mut events) = (sale.order.order_id, VecDeque::new());
        for (product_id, units) in sale.taken() {
            let Units { on_hand, reserved } = *stock.of(product_id);
            let lacking = units - (on_hand - reserved);
            if lacking > 0 {
                events.push_back(product(product_id, stock.receive(product_id, lacking + 50)));
            }
        }
        events.push_back(happening("order", order_id, &OrderEvent::Confirmed(confirmed.clone())));
        let reserved = sale.taken().into_iter();
        events.extend(reserved.map(|(id, units)| stock.reserve(id, order_id, units)));
        (sale, events)
    }

    /// The units of each product. An import takes none.
    fn taken(&self) -> BTreeMap<Uuid, i64> {
        let mut taken = BTreeMap::new();
        for line in self.order.lines.iter().filter(|_| self.order.ordered_at.is_none()) {
            *taken.entry(line.product_id).or_default() += i64::from(line.quantity.get());
        }
        taken
    }

    /// The next events, until nothing more can happen to the order.
    pub(super) fn goes_on(
        &mut self,
        random: &mut StdRng,
        stock: &mut Stock,
    ) -> Option<VecDeque<Happening>> {
        let (order_id, choice) = (self.order.order_id, random.random_range(0..4));
        let (event, moves): (_, Option<Moves>) = match (self.step, choice) {
            (Step::Confirmed, 0) => (self.payment_requested(), None),
            (Step::Confirmed, 1 | 2) => (self.paid(), None),
            (Step::Confirmed | Step::Paid, 3) => (self.cancelled(), Some(Stock::release)),
            (Step::Paid, 1 | 2) => (self.shipped(), Some(Stock::ship)),
            (Step::Shipped, 2 | 3) => (self.delivered(), None),
            _ => (self.refunded(random)?, None),
        };
        let mut events = VecDeque::from([happening("order", order_id, &event)]);
        if let Some(moves) = moves {
            events.extend(
                self.taken().into_iter().map(|(id, units)| moves(stock, id, order_id, units)),
            );
        }
        Some(events)
    }

    fn payment_requested(&self) -> OrderEvent {
        let OrderPlaced { order_id, user_id, total: amount, .. } = self.order;
        OrderEvent::PaymentRequested(OrderPaymentRequested { order_id, user_id, amount })
    }

    fn paid(&mut self) -> OrderEvent {
        self.step = Step::Paid;
        let OrderPlaced { order_id, user_id, total: amount, .. } = self.order;
        let ((reason, evidence), ordered_at) = (note(), self.ordered_at);
        OrderEvent::Paid(OrderPaid { order_id, user_id, amount, ordered_at, reason, evidence })
    }

    fn shipped(&mut self) -> OrderEvent {
        self.step = Step::Shipped;
        let (OrderPlaced { order_id, user_id, .. }, (reason, evidence)) =
            (self.order.clone(), note());
        OrderEvent::Shipped(OrderShipped { order_id, user_id, reason, evidence })
    }

    fn delivered(&mut self) -> OrderEvent {
        self.step = Step::Delivered;
        let (OrderPlaced { order_id, user_id, .. }, (reason, evidence)) =
            (self.order.clone(), note());
        OrderEvent::Delivered(OrderDelivered { order_id, user_id, reason, evidence })
    }

    fn cancelled(&mut self) -> OrderEvent {
        if self.step == Step::Confirmed {
            // Nothing was paid, so nothing can be given back.
            self.refunded = self.order.total.minor();
        }
        self.step = Step::Cancelled;
        let OrderPlaced { order_id, user_id, total, .. } = self.order;
        let (units, ordered_at) = (self.units, self.ordered_at);
        OrderEvent::SaleCancelled(OrderSaleCancelled {
            order_id,
            user_id,
            total,
            units,
            ordered_at,
            reason: Some(CancelReason::OutOfStock),
            products: self.order.lines.iter().map(|line| line.product_id).take(1).collect(),
        })
    }

    /// A part of the payment, or the rest of it unless the order waits for its shipment.
    fn refunded(&mut self, random: &mut StdRng) -> Option<OrderEvent> {
        let OrderPlaced { order_id, user_id, total, .. } = self.order;
        let left = total.minor() - self.refunded;
        let most = if self.step == Step::Paid { left - 1 } else { left };
        let least = if most > 3 { most / 2 } else { most };
        let amount = (most > 0).then(|| random.random_range(least..=most))?;
        self.refunded += amount;
        let (currency, (reason, evidence)) = (total.currency().code(), note());
        let is_whole = self.refunded == total.minor();
        Some(OrderEvent::Refunded(OrderRefunded {
            order_id,
            user_id,
            amount: money(amount, currency),
            refunded: money(self.refunded, currency),
            ends_order: is_whole && self.step != Step::Cancelled,
            ordered_at: self.ordered_at,
            reason,
            evidence,
        }))
    }
}

fn note() -> (Reason, Option<Evidence>) {
    (Reason::parse("seen").unwrap(), Some(Evidence::parse("pay_7").unwrap()))
}
