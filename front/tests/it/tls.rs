//! APIs that speak TLS, or whose proxies do: answers, streams and web sockets pass over it. The
//! front is a process of its own, whose system trusts the certificate.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{Message as Said, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use futures::{SinkExt as _, StreamExt as _};
use local_servers::{
    Account, Certificate, Launch, Process, free_port, in_time, test_client, until,
};
use nix::sys::signal::Signal;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Double, described};

const EVENT: &str = "event: end\ndata: {}\n\n";

/// A proxy that does the TLS of a server.
struct Terminator {
    port: u16,
    _task: AbortOnDropHandle<()>,
}

impl Terminator {
    async fn before(server: SocketAddr, certificate: &Certificate) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(&certificate.pem()).unwrap()];
        let key = PrivateKeyDer::from_pem_file(certificate.key_file()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate ends the handshake.
                    let Ok(mut client) = acceptor.accept(connection).await else { return };
                    let mut server = TcpStream::connect(server).await.unwrap();
                    // Either side may end it.
                    drop(copy_bidirectional(&mut client, &mut server).await);
                });
            }
        });
        Self { port, _task: AbortOnDropHandle::new(task) }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

/// A front before these addresses. It ends with this value.
struct Between {
    _process: Process,
    address: String,
    admin: String,
}

impl Between {
    fn start([commands, queries]: [&Terminator; 2], trusted: &Certificate) -> Self {
        let (port, admin) = (free_port().unwrap(), free_port().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_front"));
        command
            .arg("serve")
            .env("FRONT_LISTEN", format!("127.0.0.1:{port}"))
            .env("ADMIN_LISTEN", format!("127.0.0.1:{admin}"))
            .env("COMMAND_API_URL", commands.url())
            .env("QUERY_API_URL", queries.url())
            .env("SSL_CERT_FILE", trusted.file());
        let launch = Launch { command: &command, account: Account::Own, guard: Signal::SIGKILL };
        let log = || tempfile::tempfile().unwrap().into();
        let process = launch.start(log(), log()).unwrap();
        let [address, admin] = [port, admin].map(|port| format!("127.0.0.1:{port}"));
        Self { _process: process, address, admin }
    }

    async fn is_ready(&self) -> bool {
        let report = test_client().get(format!("http://{}/readyz", self.admin)).send().await;
        report.is_ok_and(|report| report.status() == 200)
    }
}

/// Says everything twice. There is nothing else of GraphQL.
async fn echo(upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>) -> Response {
    let Ok(upgrade) = upgrade else { return StatusCode::NOT_FOUND.into_response() };
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(Said::Text(text))) = socket.next().await {
            socket.send(Said::Text(format!("{text}{text}").into())).await.unwrap();
        }
    })
}

fn doubles() -> (Double, Double) {
    let events = async || ([(CONTENT_TYPE, "text/event-stream")], EVENT);
    let routes = Router::new().route("/graphql", any(echo)).route("/api/v1/list", get(events));
    let queries = Double::new(&[described(&[("get", "/api/v1/list")])], None, routes);
    (Double::new(&[described(&[])], None, Router::new()), queries)
}

#[tokio::test]
async fn streams_and_web_sockets_pass_to_an_api_that_speaks_tls() {
    let certificate = Certificate::for_localhost();
    let (commands, queries) = doubles();
    let (commands, queries) = (commands.serve().await, queries.serve().await);
    let commands = Terminator::before(commands.address, &certificate).await;
    let queries = Terminator::before(queries.address, &certificate).await;
    let between = Between::start([&commands, &queries], &certificate);
    until("the front is ready", async || between.is_ready().await).await;
    let list = test_client().get(format!("http://{}/api/v1/list", between.address));
    let stream = list.header("accept", "text/event-stream").send().await.unwrap();
    let kind = stream.headers()["content-type"].clone();
    let text = stream.text().await.unwrap();
    assert_eq!((kind.to_str().unwrap(), text.as_str()), ("text/event-stream", EVENT));
    let connection = TcpStream::connect(&between.address).await.unwrap();
    let request = format!("ws://{}/graphql", between.address).into_client_request().unwrap();
    let opened = in_time("a web socket", client_async(request, connection)).await;
    let (mut socket, _) = opened.unwrap();
    socket.send(Message::text("a")).await.unwrap();
    let said = in_time("an answer", socket.next()).await.unwrap().unwrap();
    assert_eq!(said, Message::text("aa"));
}

#[tokio::test]
async fn an_api_whose_certificate_nobody_vouches_for_is_away() {
    let (certificate, other) = (Certificate::for_localhost(), Certificate::for_localhost());
    let (commands, queries) = doubles();
    let (commands, queries) = (commands.serve().await, queries.serve().await);
    let commands = Terminator::before(commands.address, &certificate).await;
    let queries = Terminator::before(queries.address, &certificate).await;
    let between = Between::start([&commands, &queries], &other);
    let answers = async || TcpStream::connect(&between.address).await.is_ok();
    until("the front listens", answers).await;
    let graphql = test_client().get(format!("http://{}/graphql?query=%7Ba%7D", between.address));
    let answer = graphql.send().await.unwrap();
    assert_eq!(answer.status(), 503, "{:?}", answer.text().await);
    assert!(!between.is_ready().await);
}
