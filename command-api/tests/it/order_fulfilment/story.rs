//! A shop with orders, and the saga over its log in memory. Time passes when a test says so.

use std::sync::Arc;
use std::time::Duration;

use command_api::application::repository::registry;
use command_api::port::payment::MethodToken;
use command_api::sagas::order_fulfilment::{self, Gateways, NAME, Times};
use command_api::sagas::{OrderFulfilment, Shop as SagaShop};
use domain::aggregate::DomainEvent as _;
use domain::order::OrderStatus;
use event_store::test_kit::{append_to, appended};
use event_store::{
    ExpectedVersion, Filter, Metadata, NewEvent, Position, RecordedEvent, UpcastingLog, Version,
};
use saga::driver::{Job, Rest};
use saga::instance::{Decision, Instance, Status};
use saga::sagas::Begun;
use saga::{Driver, Saga, Sagas};
use serde_json::{Value, json};
use service_kit::clock::{Clock as _, FixedClock};
use uuid::Uuid;

use super::gateways::World;
use crate::support::{Shop, address, now};

/// The units in stock at the beginning.
pub(crate) const STOCK: i64 = 10;

/// A shop with one product, one user and one order.
pub(crate) struct Story {
    pub(crate) shop: Shop,
    pub(crate) world: Arc<World>,
    pub(crate) user: String,
    pub(crate) product: String,
    pub(crate) order: Uuid,
    saga_shop: SagaShop,
    saga: Saga,
    driver: Driver,
    clock: Arc<FixedClock>,
}

impl Story {
    /// Places an order of this number of units at 10 USD, with a shipping address.
    pub(crate) async fn of(units: u32) -> Self {
        Self::with(units, Some(address())).await
    }

    pub(crate) async fn with(units: u32, address: Option<Value>) -> Self {
        let shop = Shop::new();
        let (user, product) = (shop.user("ada@example.com").await, shop.product("10.00").await);
        let lines = json!([{"product_id": product, "quantity": units}]);
        let order = shop.post("/api/v1/orders", json!({"user_id": user, "lines": lines})).await;
        let order: Uuid = order.made().parse().unwrap();
        if let Some(mut address) = address {
            address.as_object_mut().unwrap().remove("label");
            let path = format!("/api/v1/orders/{order}/shipping-address");
            shop.put(&path, address).await.ok();
        }
        let log = UpcastingLog::new(Arc::clone(&shop.store), Arc::new(registry().unwrap()));
        let commands = Arc::clone(shop.application.commands.get().unwrap());
        let (world, clock) = (Arc::new(World::default()), FixedClock::at(now()));
        let saga_shop = SagaShop::new(commands, log.clone()).unwrap();
        let gateways = Gateways {
            payments: Arc::clone(&world) as _,
            shipping: Arc::clone(&world) as _,
            method: MethodToken::parse("pm_card_visa").unwrap(),
        };
        let actions = OrderFulfilment::new(saga_shop.clone(), gateways);
        let saga = order_fulfilment::saga(actions, Times::default()).unwrap();
        let sagas = Sagas::new([saga.clone()]).unwrap();
        let driver = Driver::new(log, sagas, Arc::clone(&clock) as _);
        Self { shop, world, user, product, order, saga_shop, saga, driver, clock }
    }

    /// Confirms the order, and drives the saga.
    pub(crate) async fn confirmed(&self) -> Status {
        self.act("confirm").await;
        self.drive().await.status
    }

    pub(crate) fn path(&self, verb: &str) -> String {
        format!("/api/v1/orders/{}/{verb}", self.order)
    }

    pub(crate) async fn act(&self, verb: &str) {
        self.shop.act(&self.path(verb)).await.ok();
    }

    /// Staff record something by hand.
    pub(crate) async fn record(&self, verb: &str) {
        self.shop.post(&self.path(verb), json!({"reason": "seen"})).await.ok();
    }

    /// Staff record something by hand that has this id in the other system.
    pub(crate) async fn record_with(&self, verb: &str, evidence: &str) {
        let body = json!({"reason": "seen", "evidence": evidence});
        self.shop.post(&self.path(verb), body).await.ok();
    }

    /// Staff cannot record something by hand.
    pub(crate) async fn refuses(&self, verb: &str) {
        let answer = self.shop.post(&self.path(verb), json!({"reason": "seen"})).await;
        assert_eq!(answer.status, 409, "{verb}: {answer:?}");
    }

    async fn events(&self) -> Vec<RecordedEvent> {
        self.shop.store.read(&Filter::All, Position::START, 10_000).await.unwrap()
    }

    /// Drives the saga as far as it goes now, with all signals that are in the log.
    pub(crate) async fn drive(&self) -> Rest {
        let events = self.events().await;
        let start = events.iter().find_map(|event| {
            let start = self.saga.start(event)?;
            let origin = Metadata {
                causation_id: Some(event.id),
                ..Metadata::new(event.metadata.correlation_id)
            };
            Some(Begun { saga: NAME.to_owned(), start, origin })
        });
        let signals = events.iter().filter_map(|event| {
            let (_, signal) = self.saga.signal(event)?;
            Some((event.position.0, signal))
        });
        let job = Job { start, signals: signals.collect() };
        self.driver.drive(self.instance(), &job).await.unwrap()
    }

    /// Lets this time pass, and drives the saga.
    pub(crate) async fn later(&self, time: Duration) -> Status {
        self.clock.set(self.clock.now() + time);
        self.drive().await.status
    }

    /// Lets time pass until the saga ends or waits for a person.
    pub(crate) async fn ends(&self) -> Status {
        for _ in 0..3_000 {
            let rest = self.drive().await;
            match (rest.status, rest.due_at) {
                (Status::Running | Status::Compensating, Some(due)) => {
                    self.clock.set(due.max(self.clock.now()));
                }
                (status, _) => return status,
            }
        }
        panic!("the saga does not end: {:#?}", self.timeline().await);
    }

    pub(crate) fn instance(&self) -> Uuid {
        saga::id::of_instance(NAME, &self.order.to_string())
    }

    pub(crate) async fn order_status(&self) -> OrderStatus {
        let status = self.saga_shop.order(self.order).await.unwrap().state.status();
        status.unwrap()
    }

    /// What happened to the saga, in a few words.
    pub(crate) async fn timeline(&self) -> Vec<String> {
        let events = self.events().await;
        let own = events.iter().filter(|event| event.stream.category() == "saga");
        own.map(|event| saga::event::read(event).unwrap().unwrap().to_string()).collect()
    }

    /// The payload of the last event of this type.
    pub(crate) async fn last(&self, event_type: &str) -> Option<Value> {
        let found = self.shop.log().await.into_iter().rfind(|(name, _)| name == event_type);
        found.map(|(_, data)| data)
    }

    /// A person gives the saga up.
    pub(crate) async fn give_up(&self, reason: &str) {
        self.decided(Decision::GiveUp { reason: reason.to_owned() }).await;
    }

    /// A person decides about the saga.
    pub(crate) async fn decided(&self, decision: Decision) {
        let stream = saga::id::stream(self.instance());
        let store = &self.shop.store;
        let events = store.read_stream(&stream, Version::NONE, 10_000).await.unwrap();
        let read = |event| saga::event::read(event).unwrap().unwrap();
        let absent = Instance::absent(self.instance());
        let state = events.iter().map(read).fold(absent, |state, event| state.evolve(&event));
        let definition = order_fulfilment::definition(Times::default());
        let decided = state.operate(&definition, decision, "clerk-7", self.clock.now()).unwrap();
        let new = decided.iter().map(|event| {
            let name = event.event_type().parse().unwrap();
            NewEvent::json(name, 1, event, Metadata::new(Uuid::nil())).unwrap()
        });
        let exact = ExpectedVersion::Exact(events.last().unwrap().version);
        let append = append_to(stream, exact, new.collect());
        let _ = appended(store.append(append).await.unwrap());
    }

    /// The units on hand and the reserved ones, as the events say.
    pub(crate) async fn stock(&self) -> (i64, i64) {
        let (mut stock, mut reserved) = (STOCK, 0);
        for (name, data) in self.shop.log().await {
            if name.starts_with("product.stock_") {
                stock = data["stock"].as_i64().unwrap_or(stock);
                reserved = data["reserved"].as_i64().unwrap_or(reserved);
            }
        }
        (stock, reserved)
    }
}
