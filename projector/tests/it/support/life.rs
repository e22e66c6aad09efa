//! A shop's random life: users, products and orders, events that no projection knows, and those of
//! every other aggregate that there is, in an order that could be.

use std::collections::VecDeque;

use chrono::{DateTime, Duration, Utc};
use domain::Personal;
use domain::order::CancelReason;
use domain::order::event::{
    OrderCancelled, OrderConfirmed, OrderEvent, OrderLine, OrderLineAdded, OrderLineRemoved,
    OrderPlaced,
};
use domain::product::event::{
    ProductAdded, ProductClassified, ProductEvent, ProductRenamed, ProductRepriced,
};
use domain::user::event::{
    UserAddressAdded, UserAddressChanged, UserAddressRemoved, UserClassified, UserDeactivated,
    UserEmailChanged, UserEvent, UserPreferencesChanged, UserProfileChanged, UserReactivated,
    UserRegistered, UserRenamed,
};
use domain::user::{Address, Preferences, Profile};
use domain::value::{
    AddressLine, Currency, CustomerType, Destination, Email, Money, PersonName, PostalAddress,
    ProductName, Quantity, RateClass,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use super::golden::Others;
use super::{Happening, happening, happening_of};
use sale::{Sale, Stock};

mod price;
mod sale;

/// Most orders that are open at once; the oldest is then confirmed.
const OPEN: usize = 8;
/// Most sales that go on at once; what else happens to the oldest is then not told.
const SALES: usize = 12;
/// Keeps the ids of a life apart from those that a test draws from a generator of the same seed: a
/// "stranger" of the test would otherwise now and then be a user of this life.
const ITS_OWN: u64 = 0x6c69_6665;

pub(crate) struct Life {
    random: StdRng,
    users: Vec<Uuid>,
    products: Vec<Uuid>,
    open: VecDeque<OrderPlaced>,
    sales: VecDeque<Sale>,
    stock: Stock,
    /// What happens next, because it is of one append with what happened last.
    due: VecDeque<Happening>,
    others: Others,
}

pub(crate) fn money(minor: i64, currency: &str) -> Money {
    Money::from_minor(minor, currency.parse::<Currency>().unwrap()).unwrap()
}

pub(crate) fn line(random: &mut StdRng, product_id: Uuid, currency: &str) -> OrderLine {
    OrderLine {
        line_id: id(random),
        product_id,
        product_name: ProductName::parse("cd").unwrap(),
        quantity: Quantity::new(random.random_range(1..5)).unwrap(),
        unit_price: money(random.random_range(0..5_000), currency),
    }
}

fn id(random: &mut StdRng) -> Uuid {
    Uuid::from_u128(random.random())
}

fn total(lines: &[OrderLine], currency: &str) -> Money {
    money(
        lines.iter().map(|line| line.unit_price.minor() * i64::from(line.quantity.get())).sum(),
        currency,
    )
}

pub(crate) fn registered(user_id: Uuid) -> UserEvent {
    UserEvent::Registered(UserRegistered {
        user_id,
        email: Personal::new(
            user_id,
            Email::parse(&format!("u{}@example.com", user_id.simple())).unwrap(),
        ),
        name: Personal::new(user_id, PersonName::parse("Ada").unwrap()),
    })
}

fn postal() -> PostalAddress {
    let line = |text| AddressLine::parse(text).unwrap();
    PostalAddress {
        recipient: PersonName::parse("Ada").unwrap(),
        street: line("Ring 1"),
        city: line("Wien"),
        postal_code: None,
    }
}

fn address(user_id: Uuid, address_id: Uuid) -> Address {
    Address {
        address_id,
        label: None,
        postal: Personal::new(user_id, postal()),
        destination: Destination { country: "AT".parse().unwrap(), region: None },
    }
}

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

impl Life {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed ^ ITS_OWN),
            users: Vec::new(),
            products: Vec::new(),
            open: VecDeque::new(),
            sales: VecDeque::new(),
            stock: Stock::default(),
            due: VecDeque::new(),
            others: Others::but(&["user", "product", "order"]),
        }
    }

    /// The next events.
    pub(crate) fn goes_on(&mut self, count: usize) -> Vec<Happening> {
        (0..count).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> Happening {
        if let Some(due) = self.due.pop_front() {
            return due;
        }
        if self.users.len() < 2 || self.random.random_ratio(1, 12) {
            let user = id(&mut self.random);
            self.users.push(user);
            return happening("user", user, &registered(user));
        }
        if self.products.len() < 2 || self.random.random_ratio(1, 20) {
            return self.new_product();
        }
        if self.open.len() >= OPEN {
            return self.order_ends();
        }
        if !self.others.is_empty() && self.random.random_ratio(1, 8) {
            return self.others.next(&mut self.random);
        }
        match self.random.random_range(0..14) {
            0 => self.user_changes(),
            1 => self.product_changes(),
            2 => happening_of(
                "parcel",
                id(&mut self.random),
                "parcel.sent",
                1,
                &serde_json::json!({"weight": 3}),
                Vec::new(),
            ),
            3..=5 => self.order_begins(),
            6 | 7 => self.order_changes(),
            8..=11 => self.sale_goes_on(),
            _ => self.order_ends(),
        }
    }

    fn user(&mut self) -> Uuid {
        self.users[self.random.random_range(0..self.users.len())]
    }

    fn product(&mut self) -> Uuid {
        self.products[self.random.random_range(0..self.products.len())]
    }

    fn new_product(&mut self) -> Happening {
        let product_id = id(&mut self.random);
        self.products.push(product_id);
        self.stock.begin(product_id, 100);
        let unit_price = money(self.random.random_range(0..5_000), "USD");
        let added = ProductAdded {
            product_id,
            name: ProductName::parse("cd").unwrap(),
            unit_price,
            stock: 100,
        };
        happening("product", product_id, &ProductEvent::Added(added))
    }

    fn user_changes(&mut self) -> Happening {
        let user_id = self.user();
        let event = match self.random.random_range(0..12) {
            0 => UserEvent::Renamed(UserRenamed {
                user_id,
                name: Personal::new(
                    user_id,
                    PersonName::parse(&format!("Ada {}", self.random.random::<u16>())).unwrap(),
                ),
            }),
            1 => UserEvent::EmailChanged(UserEmailChanged {
                user_id,
                email: Personal::new(
                    user_id,
                    Email::parse(&format!("n{}@example.com", self.random.random::<u32>())).unwrap(),
                ),
            }),
            2 => UserEvent::ProfileChanged(UserProfileChanged {
                user_id,
                profile: Profile {
                    display_name: Some(Personal::new(user_id, PersonName::parse("A").unwrap())),
                    ..Profile::default()
                },
            }),
            3 => UserEvent::Classified(UserClassified {
                user_id,
                customer_type: CustomerType::ALL[self.random.random_range(0..3)],
            }),
            4 | 5 => UserEvent::AddressAdded(UserAddressAdded {
                user_id,
                address: address(user_id, Uuid::from_u128(self.random.random_range(0..3))),
            }),
            6 | 7 => UserEvent::AddressChanged(UserAddressChanged {
                user_id,
                address: address(user_id, Uuid::from_u128(self.random.random_range(0..3))),
            }),
            8 => UserEvent::AddressRemoved(UserAddressRemoved {
                user_id,
                address_id: Uuid::from_u128(self.random.random_range(0..3)),
            }),
            9 => UserEvent::PreferencesChanged(UserPreferencesChanged {
                user_id,
                preferences: Preferences {
                    newsletter: self.random.random(),
                    ..Preferences::default()
                },
            }),
            10 => UserEvent::Reactivated(UserReactivated { user_id }),
            _ => UserEvent::Deactivated(UserDeactivated { user_id }),
        };
        happening("user", user_id, &event)
    }

    fn product_changes(&mut self) -> Happening {
        let product_id = self.product();
        let event = match self.random.random_range(0..5) {
            0 => ProductEvent::Renamed(ProductRenamed {
                product_id,
                name: ProductName::parse("record").unwrap(),
            }),
            1 => {
                ProductEvent::Repriced(ProductRepriced { product_id, unit_price: money(99, "EUR") })
            }
            2 => ProductEvent::Classified(ProductClassified {
                product_id,
                rate_class: RateClass::Reduced,
            }),
            3 => self.stock.receive(product_id, self.random.random_range(1..20)),
            _ => self.stock.adjust(product_id, self.random.random_range(-20..20)),
        };
        happening("product", product_id, &event)
    }

    fn order_begins(&mut self) -> Happening {
        let currency = if self.random.random_ratio(1, 4) { "EUR" } else { "USD" };
        let (user_id, product) = (self.user(), self.product());
        let lines = vec![line(&mut self.random, product, currency)];
        let ordered_at = self.random.random_ratio(1, 2).then(|| {
            at("1997-12-31T22:00:00Z") + Duration::minutes(self.random.random_range(0..4_000))
        });
        let placed = OrderPlaced {
            order_id: id(&mut self.random),
            user_id,
            total: total(&lines, currency),
            lines,
            ordered_at,
        };
        self.open.push_back(placed.clone());
        happening("order", placed.order_id, &OrderEvent::Placed(placed))
    }

    fn order_changes(&mut self) -> Happening {
        let product = self.product();
        let Some(mut order) = self.open.pop_back() else { return self.order_begins() };
        let (order_id, currency) = (order.order_id, order.total.currency().code());
        let event = if order.lines.len() > 1 {
            let line_id = order.lines.remove(0).line_id;
            OrderEvent::LineRemoved(OrderLineRemoved {
                order_id,
                line_id,
                total: total(&order.lines, currency),
            })
        } else {
            order.lines.push(line(&mut self.random, product, currency));
            let line = order.lines[1].clone();
            OrderEvent::LineAdded(OrderLineAdded {
                order_id,
                line,
                total: total(&order.lines, currency),
            })
        };
        order.total = total(&order.lines, currency);
        self.open.push_back(order);
        happening("order", order_id, &event)
    }

    fn order_ends(&mut self) -> Happening {
        let Some(mut order) = self.open.pop_front() else { return self.order_begins() };
        let (order_id, user_id) = (order.order_id, order.user_id);
        if self.random.random_ratio(1, 5) {
            let reason = Some(CancelReason::Customer);
            let cancelled = OrderEvent::Cancelled(OrderCancelled { order_id, user_id, reason });
            return happening("order", order_id, &cancelled);
        }
        let mut due = price::agree_on(&mut order, &mut self.random);
        let confirmed = OrderConfirmed {
            order_id,
            user_id,
            total: order.total,
            units: order.lines.iter().map(|line| u64::from(line.quantity.get())).sum(),
            ordered_at: order.ordered_at.unwrap_or(at("2026-11-22T23:59:59.999999Z")),
            to_fulfil: order.ordered_at.is_none(),
        };
        let (sale, sold) = Sale::of(order, &confirmed, &mut self.stock);
        due.extend(sold);
        self.sales.push_back(sale);
        if self.sales.len() > SALES {
            self.sales.pop_front();
        }
        self.begin(due)
    }

    /// The next event of a sale. A sale to which nothing more can happen makes way for an order.
    fn sale_goes_on(&mut self) -> Happening {
        if self.sales.is_empty() {
            return self.order_ends();
        }
        let at = self.random.random_range(0..self.sales.len());
        match self.sales[at].goes_on(&mut self.random, &mut self.stock) {
            Some(due) => self.begin(due),
            None => self.order_begins(),
        }
    }

    fn begin(&mut self, due: VecDeque<Happening>) -> Happening {
        self.due = due;
        self.due.pop_front().expect("an append has an event")
    }
}
