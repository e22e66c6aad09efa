//! Generates the events of projected logs: about half like an import, and half like a running shop.
//!
//! Of a hundred decisions, 3 register a user and 1 adds a product. 29 import an order, which is
//! placed with its historical date and confirmed at once. The others continue one of a thousand
//! open orders: place a new one, add or remove a line, or end it. At most one in eight ends is a
//! cancellation; the others are confirmations.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

/// The number of open orders.
const OPEN: usize = 1_000;
/// A generated event.
pub(super) struct Event {
    pub(super) version: i64,
    pub(super) stream: String,
    pub(super) kind: &'static str,
    pub(super) data: Value,
    /// The tags, separated by blanks.
    pub(super) tags: String,
}

struct Line {
    id: Uuid,
    quantity: i64,
    price: i64,
}

struct Order {
    id: Uuid,
    user: Uuid,
    version: i64,
    lines: Vec<Line>,
}

/// An endless generator. The same seed gives the same events, except for their ids.
pub(super) struct Mix {
    random: StdRng,
    users: Vec<Uuid>,
    products: Vec<Uuid>,
    open: Vec<Order>,
    pub(super) made: Vec<Event>,
}

fn money(minor: i64) -> Value {
    json!({"minor": minor, "currency": "USD"})
}

impl Mix {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            users: vec![],
            products: vec![],
            open: vec![],
            made: vec![],
        }
    }

    fn id(&mut self) -> Uuid {
        // Ids grow with time, so that indexes grow at one end as in real use.
        Uuid::from_u128(
            (Uuid::now_v7().as_u128() & !0xffff_ffff) | u128::from(self.random.random::<u32>()),
        )
    }

    /// Generates the events of the next decision: one or a few, all of one stream.
    pub(super) fn decide(&mut self) {
        match self.random.random_range(0..100) {
            _ if self.users.is_empty() => self.user(),
            _ if self.products.is_empty() => self.product(),
            0..3 => self.user(),
            3 => self.product(),
            4..33 => self.import(),
            _ => self.shop(),
        }
    }

    fn user(&mut self) {
        let user = self.id();
        self.users.push(user);
        let personal = |value: String| json!({"$subject": user, "$personal": value});
        let data = json!({"user_id": user, "email": personal(format!("{user}@example.com")),
            "name": personal("Ada".to_owned())});
        let stream = format!("user-{user}");
        self.made.push(Event {
            version: 1,
            stream,
            kind: "user.registered",
            data,
            tags: format!("user:{user}"),
        });
    }

    fn product(&mut self) {
        let product = self.id();
        self.products.push(product);
        let data =
            json!({"product_id": product, "name": "cd", "unit_price": money(1467), "stock": 100});
        let (stream, tags) = (format!("product-{product}"), format!("product:{product}"));
        self.made.push(Event { version: 1, stream, kind: "product.added", data, tags });
    }

    fn import(&mut self) {
        let mut order = self.placed(Some("1997-01-12T00:00:00Z"));
        self.confirmed(&mut order, "1997-01-12T00:00:00Z");
    }

    fn shop(&mut self) {
        if self.open.len() < OPEN {
            let order = self.placed(None);
            return self.open.push(order);
        }
        let at = self.random.random_range(0..self.open.len());
        let mut order = self.open.swap_remove(at);
        match self.random.random_range(0..10) {
            0..4 => self.line_added(&mut order),
            4..6 if order.lines.len() > 1 => self.line_removed(&mut order),
            6 if self.random.random_ratio(1, 2) => return self.cancelled(&mut order),
            _ => return self.confirmed(&mut order, "2026-01-01T12:00:00Z"),
        }
        self.open.push(order);
    }

    fn line(&mut self) -> (Line, Value) {
        let (id, product) =
            (self.id(), self.products[self.random.random_range(0..self.products.len())]);
        let (quantity, price) =
            (self.random.random_range(1..5), self.random.random_range(100..5_000));
        let data = json!({"line_id": id, "product_id": product, "product_name": "cd",
            "quantity": quantity, "unit_price": money(price)});
        (Line { id, quantity, price }, data)
    }

    fn placed(&mut self, ordered_at: Option<&str>) -> Order {
        let (id, user) = (self.id(), self.users[self.random.random_range(0..self.users.len())]);
        let (lines, shown): (Vec<Line>, Vec<Value>) =
            (0..self.random.random_range(1..4)).map(|_| self.line()).unzip();
        let mut order = Order { id, user, version: 0, lines };
        let mut data =
            json!({"order_id": id, "user_id": user, "lines": shown, "total": order.total()});
        if let Some(ordered_at) = ordered_at {
            data["ordered_at"] = ordered_at.into();
        }
        self.happened(&mut order, "order.placed", data, true);
        order
    }

    fn line_added(&mut self, order: &mut Order) {
        let (line, shown) = self.line();
        order.lines.push(line);
        let data = json!({"order_id": order.id, "line": shown, "total": order.total()});
        self.happened(order, "order.line_added", data, false);
    }

    fn line_removed(&mut self, order: &mut Order) {
        let line = order.lines.remove(self.random.random_range(0..order.lines.len()));
        let data = json!({"order_id": order.id, "line_id": line.id, "total": order.total()});
        self.happened(order, "order.line_removed", data, false);
    }

    fn confirmed(&mut self, order: &mut Order, ordered_at: &str) {
        let units: i64 = order.lines.iter().map(|line| line.quantity).sum();
        let (id, user, total) = (order.id, order.user, order.total());
        let data = json!({"order_id": id, "user_id": user, "total": total, "units": units,
            "ordered_at": ordered_at});
        self.happened(order, "order.confirmed", data, true);
    }

    fn cancelled(&mut self, order: &mut Order) {
        let data = json!({"order_id": order.id, "user_id": order.user});
        self.happened(order, "order.cancelled", data, true);
    }

    fn happened(&mut self, order: &mut Order, kind: &'static str, data: Value, of_user: bool) {
        order.version += 1;
        let mut tags = format!("order:{}", order.id);
        if of_user {
            tags = format!("{tags} user:{}", order.user);
        }
        self.made.push(Event {
            version: order.version,
            stream: format!("order-{}", order.id),
            kind,
            data,
            tags,
        });
    }
}

impl Order {
    fn total(&self) -> Value {
        money(self.lines.iter().map(|line| line.quantity * line.price).sum())
    }
}
