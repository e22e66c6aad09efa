//! The adapters of payments and shipments against the sandbox, with every fault that it knows.

use std::net::SocketAddr;
use std::time::Duration;

use command_api::adapter::{SandboxShipping, Stripe};
use command_api::port::Call;
use command_api::port::payment::{Authorisation, MethodToken};
use domain::value::Money;
use outward::{BreakerSettings, Settings};
use sandbox::{Count, Fault, Faults, HookSettings, Next, OrderCount, Sandbox};
use service_kit::clock;
use tempfile::TempDir;
use tokio::net::TcpListener;
use uuid::Uuid;

mod faults;
mod outages;
mod payment;
mod shipping;
mod webhooks;

/// The time limit of an attempt.
const ATTEMPT: Duration = Duration::from_millis(700);

/// A sandbox with its address.
struct Stand {
    sandbox: Sandbox,
    address: SocketAddr,
    folder: TempDir,
}

impl Stand {
    async fn new() -> Self {
        Self::with(Faults::default(), None).await
    }

    async fn with(faults: Faults, hooks: Option<HookSettings>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let sandbox = Sandbox::open(sandbox::Settings { state, seed: 1, faults, hooks }).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = sandbox.routes();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { sandbox, address, folder }
    }

    /// Payments, with at most this number of attempts for each call.
    fn payments(&self, attempts: u32) -> Stripe {
        payments_at(self.address, settings(attempts))
    }

    /// Shipments, with at most this number of attempts for each call.
    fn shipments(&self, attempts: u32) -> SandboxShipping {
        let address = format!("http://{}", self.address).parse().unwrap();
        SandboxShipping::new("shipping", address, settings(attempts)).unwrap()
    }

    /// Lets the next request for an operation meet a fault.
    async fn fault(&self, fault: Fault, operation: &str) {
        let next = [Next { fault, operation: Some(operation.to_owned()) }];
        self.control("POST", "/_faults/next", &serde_json::to_string(&next).unwrap()).await;
    }

    async fn control(&self, method: &str, path: &str, body: &str) {
        let body = body.to_owned();
        let request = outward::Request::post(path, body).header(
            outward::header::CONTENT_TYPE,
            outward::header::HeaderValue::from_static("application/json"),
        );
        let request = outward::Request { method: method.parse().unwrap(), ..request };
        let address = format!("http://{}", self.address).parse().unwrap();
        let http = outward::Http::new(address, &Settings::default()).unwrap();
        let target = outward::Target::new("control", http, Settings::default());
        assert_eq!(target.call(request).await.unwrap().status.as_u16(), 204);
    }

    /// What was asked for and took effect under a key.
    fn count(&self, call: &Call) -> Count {
        self.sandbox.counts().keys.get(&call.key.to_string()).cloned().unwrap_or_default()
    }

    /// What took effect for an order.
    fn order(&self, order: Uuid) -> OrderCount {
        self.sandbox.counts().orders.get(&order.to_string()).cloned().unwrap_or_default()
    }
}

fn payments_at(address: SocketAddr, settings: Settings) -> Stripe {
    let key = "sk_test_1".into();
    Stripe::new("payments", format!("http://{address}").parse().unwrap(), &key, settings).unwrap()
}

fn settings(attempts: u32) -> Settings {
    Settings {
        attempt_limit: ATTEMPT,
        total_limit: Duration::from_secs(20),
        attempts,
        first_pause: Duration::from_millis(10),
        breaker: BreakerSettings { min_attempts: 1_000, ..BreakerSettings::default() },
        ..Settings::default()
    }
}

fn call() -> Call {
    Call::new(Uuid::new_v4(), clock::system().now())
}

fn money(text: &str) -> Money {
    Money::parse(text, "EUR".parse().unwrap()).unwrap()
}

fn asked(order: Uuid) -> Authorisation {
    let method = MethodToken::parse("pm_card_visa").unwrap();
    Authorisation { order, amount: money("25.99"), method }
}
