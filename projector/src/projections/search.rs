//! `search`: one row per user, order and product, with the words that it is found by: names and
//! e-mail address of a user, the name of a product, the names of the products in an order.

use std::collections::{BTreeMap, BTreeSet};

use domain::DomainEvent;
use domain::order::event::{OrderEvent, OrderLine};
use domain::product::event::ProductEvent;
use domain::user::event::{UserEvent, UserProfileChanged};
use domain::value::{Email, PersonName};
use event_store::RecordedEvent;
use projection::{Incoming, Projection, Reason, Split, row};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::users::text;

const USER: &str = "user";
const PRODUCT: &str = "product";
const ORDER: &str = "order";

/// The types of the events that change the words of something.
const WORDED: [&str; 9] = [
    "user.registered",
    "user.renamed",
    "user.email_changed",
    "user.profile_changed",
    "product.added",
    "product.renamed",
    "order.placed",
    "order.line_added",
    "order.line_removed",
];

/// The projection of what can be searched.
pub struct Search;

/// An event of something that can be found.
pub enum Event {
    /// An event of a user.
    User(UserEvent),
    /// An event of a product.
    Product(ProductEvent),
    /// An event of an order.
    Order(OrderEvent),
}

row! {
    /// A row of `search`.
    #[derive(Debug, Clone, Serialize)]
    pub struct SearchRow in search by (kind: String, id: Uuid) {
        owner_id: Option<Uuid>,
        name: Option<String>,
        display_name: Option<String>,
        email: Option<String>,
        products: Json<BTreeMap<Uuid, String>>,
        words: Option<String>,
        position: i64,
    }
}

impl Projection for Search {
    const NAME: &'static str = "search";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = include_str!("search/tables.sql");
    const INDEXES: &'static str = include_str!("search/indexes.sql");
    const PERSONAL: &'static [&'static str] = &["name", "display_name", "email", "words"];
    const SPLIT: Split = Split::ByKey(1);
    type Event = Event;
    type Key = (String, Uuid);
    type Row = SearchRow;

    fn handles() -> Vec<&'static str> {
        WORDED.to_vec()
    }

    fn read(event: &RecordedEvent) -> Option<Result<Event, Reason>> {
        let (event_type, version) = (event.event_type.as_str(), event.schema_version);
        let data = event.data.get();
        let user = || UserEvent::from_parts(event_type, version, data);
        let product = || ProductEvent::from_parts(event_type, version, data);
        let order = || OrderEvent::from_parts(event_type, version, data);
        let read = user().map(|read| read.map(Event::User));
        let read = read.or_else(|| product().map(|read| read.map(Event::Product)));
        let read = read.or_else(|| order().map(|read| read.map(Event::Order)))?;
        Some(read.map_err(Into::into))
    }

    fn keys(event: &Event) -> Vec<Self::Key> {
        let (kind, id) = match event {
            Event::User(event) => (USER, event.user_id()),
            Event::Product(event) => (PRODUCT, event.product_id()),
            Event::Order(event) => (ORDER, event.order_id()),
        };
        vec![(kind.to_owned(), id)]
    }

    /// It refuses nothing: whether there is such a thing is for its own projection to say.
    fn fold(
        (kind, id): &Self::Key,
        row: Option<SearchRow>,
        incoming: &Incoming<Event>,
    ) -> Result<SearchRow, Reason> {
        let mut row = row.unwrap_or_else(|| SearchRow::new(kind, *id));
        match &incoming.event {
            Event::User(event) => row.follow_user(event),
            Event::Product(event) => row.follow_product(event),
            Event::Order(event) => row.follow_order(event),
        }
        row.words = row.all_words();
        row.position = incoming.position.0;
        Ok(row)
    }

    fn rows_of_subject(subject: Uuid) -> Option<Vec<Self::Key>> {
        Some(vec![(USER.to_owned(), subject)])
    }

    fn blank(row: &mut SearchRow, erased: &Incoming<Uuid>) {
        if row.kind == USER && row.id == erased.event {
            (row.name, row.display_name, row.email, row.words) = (None, None, None, None);
            row.position = erased.position.0;
        }
    }
}

impl SearchRow {
    fn new(kind: &str, id: Uuid) -> Self {
        Self {
            kind: kind.to_owned(),
            id,
            owner_id: (kind == USER).then_some(id),
            name: None,
            display_name: None,
            email: None,
            products: Json(BTreeMap::new()),
            words: None,
            position: 0,
        }
    }

    fn follow_user(&mut self, event: &UserEvent) {
        match event {
            UserEvent::Registered(registered) => {
                self.name = text(Some(&registered.name), PersonName::as_str);
                self.email = text(Some(&registered.email), Email::as_str);
            }
            UserEvent::Renamed(renamed) => {
                self.name = text(Some(&renamed.name), PersonName::as_str);
            }
            UserEvent::EmailChanged(changed) => {
                self.email = text(Some(&changed.email), Email::as_str);
            }
            UserEvent::ProfileChanged(UserProfileChanged { profile, .. }) => {
                self.display_name = text(profile.display_name.as_ref(), PersonName::as_str);
            }
            UserEvent::PreferencesChanged(_)
            | UserEvent::Classified(_)
            | UserEvent::AddressAdded(_)
            | UserEvent::AddressChanged(_)
            | UserEvent::AddressRemoved(_)
            | UserEvent::Deactivated(_)
            | UserEvent::Reactivated(_) => {}
        }
    }

    fn follow_product(&mut self, event: &ProductEvent) {
        let name = match event {
            ProductEvent::Added(added) => &added.name,
            ProductEvent::Renamed(renamed) => &renamed.name,
            ProductEvent::Repriced(_)
            | ProductEvent::Classified(_)
            | ProductEvent::StockAdjusted(_)
            | ProductEvent::StockReceived(_)
            | ProductEvent::StockReserved(_)
            | ProductEvent::StockReleased(_)
            | ProductEvent::StockShipped(_) => return,
        };
        self.name = Some(name.as_str().to_owned());
    }

    fn follow_order(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Placed(placed) => {
                self.owner_id = Some(placed.user_id);
                self.products.0 = placed.lines.iter().map(named).collect();
            }
            OrderEvent::LineAdded(added) => self.products.0.extend([named(&added.line)]),
            OrderEvent::LineRemoved(removed) => {
                self.products.0.remove(&removed.line_id);
            }
            OrderEvent::ShippingAddressSet(_)
            | OrderEvent::Priced(_)
            | OrderEvent::Confirmed(_)
            | OrderEvent::Cancelled(_)
            | OrderEvent::SaleCancelled(_)
            | OrderEvent::PaymentRequested(_)
            | OrderEvent::Paid(_)
            | OrderEvent::Shipped(_)
            | OrderEvent::Delivered(_)
            | OrderEvent::Refunded(_) => {}
        }
    }

    /// All words, each text once; `None` without any.
    fn all_words(&self) -> Option<String> {
        let texts = [&self.name, &self.display_name, &self.email].into_iter().flatten();
        let products: BTreeSet<&String> = self.products.0.values().collect();
        let texts: Vec<&str> = texts.chain(products).map(String::as_str).collect();
        (!texts.is_empty()).then(|| texts.join(" "))
    }
}

/// A line's id, and the name of its product.
fn named(line: &OrderLine) -> (Uuid, String) {
    (line.line_id, line.product_name.as_str().to_owned())
}
