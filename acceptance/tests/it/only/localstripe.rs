//! The adapter of Stripe against localstripe, a double of Stripe that somebody else wrote: whether
//! it takes our requests, and whether we read its answers and its signed events.
//!
//! It checks shapes only. localstripe ignores idempotency keys and finds no payment by its time:
//! those are tested against our own sandbox.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use chrono::Utc;
use command_api::adapter::Stripe;
use command_api::adapter::signed::{Received, WebhookError};
use command_api::adapter::stripe::webhook::{About, SIGNATURE, Webhooks};
use command_api::port::payment::{
    Authorisation, Made, MethodToken, PaymentGateway as _, PaymentState, Refunded,
};
use command_api::port::{Call, GatewayError};
use domain::value::Money;
use local_servers::{Account, Launch, Process, free_port, test_client, until};
use nix::sys::signal::Signal;
use outward::Settings;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::tools::{Tools, with_packages};

/// It is published as source only.
const PIP: &str = "python3 -m pip install --quiet --disable-pip-version-check --no-deps --target . \
    --requirement requirements.txt";
const TOOLS: Tools = Tools {
    name: "localstripe",
    source: "acceptance/localstripe",
    installer: "python3",
    pins: "requirements.txt",
    settings: &[],
    install: PIP,
};
const SECRET: &str = "whsec_local";
/// The numbers of cards that localstripe accepts and declines.
const GOOD_CARD: &str = "4242424242424242";
const BAD_CARD: &str = "4000000000000341";

/// A running localstripe.
struct Double {
    url: String,
    _process: Process,
}

impl Double {
    async fn start() -> Result<Self> {
        ensure!(TOOLS.are_to_be_had(), "{} is not there", TOOLS.installer);
        let tools = TOOLS.installed().await?;
        let port = free_port()?;
        let mut async_command = tokio::process::Command::new("python3");
        with_packages(&mut async_command, &tools)?;
        let command: &mut Command = async_command.as_std_mut();
        command.args(["-m", "localstripe", "--from-scratch", "--port", &port.to_string()]);
        let launch = Launch { command, account: Account::Own, guard: Signal::SIGKILL };
        let process = launch.start(Stdio::null(), Stdio::null())?;
        let url = format!("http://127.0.0.1:{port}");
        until("localstripe", async || test_client().get(&url).send().await.is_ok()).await;
        Ok(Self { url, _process: process })
    }

    fn payments(&self) -> Result<Stripe> {
        let key = "sk_test_1".into();
        Ok(Stripe::new("localstripe", self.url.parse()?, &key, Settings::default())?)
    }

    /// The token of a card.
    async fn card(&self, number: &str) -> Result<MethodToken> {
        let form = format!(
            "type=card&card[number]={number}&card[exp_month]=12&card[exp_year]=2050&card[cvc]=123"
        );
        let request = test_client().post(format!("{}/v1/payment_methods", self.url)).body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.bearer_auth("sk_test_1").send().await?.error_for_status()?;
        let shown: serde_json::Value = answer.json().await?;
        Ok(MethodToken::parse(shown["id"].as_str().context("an id")?)?)
    }
}

fn call() -> Call {
    Call::new(Uuid::new_v4(), Utc::now())
}

fn money(text: &str) -> Result<Money> {
    Ok(Money::parse(text, "EUR".parse()?)?)
}

#[tokio::test]
async fn localstripe_takes_our_requests_and_we_read_its_answers() -> Result<()> {
    let double = Double::start().await?;
    let (payments, order, amount) = (double.payments()?, Uuid::new_v4(), money("25.99")?);
    let asked = async |number| -> Result<Authorisation> {
        Ok(Authorisation { order, amount, method: double.card(number).await? })
    };
    let good = asked(GOOD_CARD).await?;
    let authorised = payments.authorise(&call(), &good).await?;
    assert_eq!(authorised.state, PaymentState::Authorised);
    assert_eq!((authorised.order, authorised.amount), (Some(order), amount));
    let (id, refund) = (authorised.id.clone(), call());
    let captured = payments.capture(&call(), &id, amount).await?;
    assert_eq!((captured.state, &captured.id), (PaymentState::Captured, &id));
    assert!(payments.look_up(&call(), &Made::Capture(id.clone())).await?.is_some());
    assert_eq!(payments.look_up(&refund, &Made::Refund(id.clone())).await?, None);
    assert_eq!(payments.refund(&refund, &id, money("10")?).await?, Refunded::Done);
    assert!(payments.look_up(&refund, &Made::Refund(id)).await?.is_some());
    let other = payments.authorise(&call(), &asked(GOOD_CARD).await?).await?;
    let released = payments.release(&call(), &other.id).await?;
    assert_eq!(released.state, PaymentState::Released);
    let declined = payments.authorise(&call(), &asked(BAD_CARD).await?).await;
    match declined {
        Err(GatewayError::Declined { code }) => assert_eq!(code.as_str(), "card_declined"),
        other => bail!("a bad card leads to {other:?}"),
    }
    Ok(())
}

type Taken = Arc<Mutex<Vec<(String, String)>>>;

async fn take(State(taken): State<Taken>, headers: HeaderMap, body: String) -> StatusCode {
    let signature = headers[SIGNATURE].to_str().unwrap_or_default().to_owned();
    taken.lock().unwrap().push((signature, body));
    StatusCode::OK
}

#[tokio::test]
async fn we_read_the_events_that_localstripe_signs() -> Result<()> {
    let double = Double::start().await?;
    let (payments, taken) = (double.payments()?, Taken::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let hooks = format!("http://{}/", listener.local_addr()?);
    let routes = Router::new().route("/", post(take)).with_state(Arc::clone(&taken));
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
    let request = test_client().post(format!("{}/_config/webhooks/ours", double.url));
    let settings = serde_json::json!({ "url": hooks, "secret": SECRET });
    request.json(&settings).send().await?.error_for_status()?;
    let (order, method) = (Uuid::new_v4(), double.card(GOOD_CARD).await?);
    let (authorise, amount) = (call(), money("25.99")?);
    let asked = Authorisation { order, amount, method };
    let payment = payments.authorise(&authorise, &asked).await?;
    payments.capture(&call(), &payment.id, amount).await?;
    let find = || {
        let taken = taken.lock().unwrap();
        taken.iter().find(|(_, body)| body.contains("payment_intent.succeeded")).cloned()
    };
    until("the event", async || find().is_some()).await;
    let (signature, body) = find().context("the event")?;
    serving.abort();
    let webhooks = Webhooks::new(&SECRET.into());
    let receive = |body: &str| webhooks.receive(&signature, body.as_bytes(), Utc::now());
    let changed = receive(&body.replace("2599", "1"));
    assert!(matches!(changed, Err(WebhookError::Forged)), "{changed:?}");
    let Ok(Received::New(notice, claim)) = receive(&body) else {
        bail!("the event is not read: {body}")
    };
    let About::Payment { payment: told, key } = notice.about else { bail!("not of a payment") };
    assert_eq!((told.id, key), (payment.id, Some(authorise.key)));
    claim.done();
    assert!(matches!(receive(&body), Ok(Received::Repeated)));
    Ok(())
}
