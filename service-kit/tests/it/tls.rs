//! A port that speaks TLS, and one whose proxies do.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{Request, StatusCode};
use local_servers::{Certificate, free_port, in_time};
use service_kit::config::{Callers, Listen, LoopbackAddr, TlsArgs};
use service_kit::http::{HANDSHAKE_DEADLINE, Limits, Port, Ports};
use service_kit::process::{Process, ProcessError};
use service_kit::shutdown::Shutdown;
use service_kit::telemetry::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{Client, Gate, api, get_of};

/// A process with one public port.
pub(crate) struct Running {
    address: SocketAddr,
    pub(crate) admin: LoopbackAddr,
    pub(crate) certificate: Certificate,
    pub(crate) gate: Gate,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), ProcessError>>,
}

impl Running {
    /// The port is on loopback, and speaks TLS.
    pub(crate) async fn start(limits: Limits) -> Self {
        let certificate = Certificate::for_localhost();
        let tls = TlsArgs {
            tls_certificate: Some(certificate.file()),
            tls_key: Some(certificate.key_file()),
        };
        Self::at([127, 0, 0, 1].into(), (certificate, tls), limits).await
    }

    async fn at(ip: IpAddr, (certificate, tls): (Certificate, TlsArgs), limits: Limits) -> Self {
        let address: SocketAddr = (ip, free_port().unwrap()).into();
        let setting = ("EXAMPLE_LISTEN", address.to_string().parse().unwrap());
        let proxies = &limits.trusted_proxies;
        let listen = Listen::checked(setting, Callers::Known, &tls, proxies).unwrap();
        let admin = LoopbackAddr::new(([127, 0, 0, 1], free_port().unwrap()).into()).unwrap();
        let shutdown = Shutdown::manual();
        let process = Process::with(Metrics::detached().unwrap(), shutdown.clone());
        let (router, gate) = api();
        let public = vec![Port::public(listen, router, limits)];
        let ports = Ports { public, admin: process.admin(admin) };
        let task = tokio::spawn(async move {
            let served = process.served();
            let work = async {
                served.cancelled().await;
                Ok::<(), ProcessError>(())
            };
            process.run(ports, work).await
        });
        let address = SocketAddr::from(([127, 0, 0, 1], address.port()));
        in_time("the port", async { while TcpStream::connect(address).await.is_err() {} }).await;
        Self { address, admin, certificate, gate, shutdown, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection over TLS. The client offers these protocols, and trusts the certificate that
    /// is in the file now.
    pub(crate) async fn shake(&self, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        self.shake_trusting(&self.certificate.pem(), protocols).await
    }

    /// The same for a client that trusts another certificate.
    pub(crate) async fn shake_trusting(
        &self,
        pem: &[u8],
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = "localhost".try_into().unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        in_time("a handshake", connector.connect(name, self.connect().await)).await
    }

    /// A client of HTTP/1.1 over TLS.
    pub(crate) async fn client(&self) -> Client<TlsStream<TcpStream>> {
        Client(self.shake(&["http/1.1"]).await.unwrap())
    }

    /// Asks over TLS with HTTP/1.1; returns the whole answer.
    pub(crate) async fn ask(&self) -> std::io::Result<String> {
        let mut client = self.shake(&["http/1.1"]).await?;
        client.write_all(get_of("/").replace("\r\n\r\n", CLOSE).as_bytes()).await?;
        let mut text = String::new();
        in_time("an answer", client.read_to_string(&mut text)).await?;
        Ok(text)
    }

    pub(crate) async fn stop(self) {
        self.shutdown.drain().cancel();
        in_time("the process's end", self.task).await.unwrap().unwrap();
    }
}

const CLOSE: &str = "\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_port_with_a_certificate_speaks_tls_with_both_versions_of_http_and_nothing_else() {
    let running = Running::start(Limits::default()).await;
    let answer = running.ask().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer}");
    assert!(!answer.contains("strict-transport-security"), "localhost is everybody's: {answer}");
    let mut client = running.shake(&["http/1.1"]).await.unwrap();
    let to_a_domain = "GET / HTTP/1.1\r\nhost: api.example.com\r\nconnection: close\r\n\r\n";
    client.write_all(to_a_domain.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time("an answer", client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    let client = running.shake(&["h2", "http/1.1"]).await.unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = h2::client::handshake(client).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/").body(()).unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    assert_eq!(in_time("an answer", answer).await.unwrap().status(), StatusCode::OK);
    let mut plain = Client(running.connect().await);
    plain.send(&get_of("/")).await;
    let mut text = Vec::new();
    // The connection may be reset, because its request stays unread.
    drop(in_time("the end of the connection", plain.0.read_to_end(&mut text)).await);
    assert!(!String::from_utf8_lossy(&text).contains("HTTP/"), "{text:?}");
    assert!(running.ask().await.is_ok(), "a broken handshake stops nobody else");
    drop(sender);
    in_time("the end of HTTP/2", connection).await.unwrap().unwrap();
    running.stop().await;
}

#[tokio::test]
async fn whoever_does_not_finish_the_handshake_is_cut_off_and_keeps_nobody_out() {
    let limits = Limits { connections: 4, per_address: 4, ..Limits::default() };
    let running = Running::start(limits).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(Client(running.connect().await));
    }
    // They would be cut off anyway after the deadline, so the answer has to come before.
    let started = Instant::now();
    assert!(running.ask().await.unwrap().starts_with("HTTP/1.1 200 "));
    assert!(started.elapsed() < HANDSHAKE_DEADLINE, "it waited for the silent ones");
    silent[0].closed().await;
    for client in &mut silent[1..] {
        client.closed().await;
    }
    let took = started.elapsed();
    let early = HANDSHAKE_DEADLINE.saturating_sub(Duration::from_millis(500));
    assert!(took >= early && took < 3 * HANDSHAKE_DEADLINE, "{took:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_drain_lets_requests_over_tls_finish_and_closes_what_is_idle_or_still_shakes_hands() {
    let mut running = Running::start(Limits::default()).await;
    let (mut busy, mut idle) = (running.client().await, running.client().await);
    busy.send(&get_of("/held")).await;
    running.gate.reached(1).await;
    idle.send(&get_of("/")).await;
    assert_eq!(idle.answer().await.0, 200);
    let client = running.shake(&["h2"]).await.unwrap();
    let (_sender, connection) = h2::client::handshake(client).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut silent = Client(running.connect().await);
    running.shutdown.drain().cancel();
    let mut rest = Vec::new();
    let ended = in_time("the end of the idle connection", idle.0.read_to_end(&mut rest)).await;
    assert_eq!(ended.unwrap(), 0, "TLS ends as it should");
    silent.closed().await;
    // With or without the error that says that the server goes away.
    drop(in_time("the end of HTTP/2", connection).await.unwrap());
    assert!(!running.task.is_finished(), "it waits for the request in flight");
    running.gate.let_go.add_permits(1);
    let (status, answer) = busy.answer().await;
    assert!(status == 200 && answer.contains("connection: close"), "{answer}");
    running.stop().await;
}

/// The address of this machine in its network; `None` if it has no network.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // This only picks a route. Nothing is sent.
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[tokio::test]
async fn without_a_certificate_nobody_gets_round_the_proxies() {
    let limits = Limits { trusted_proxies: "10.0.0.1".parse().unwrap(), ..Limits::default() };
    let unused = (Certificate::for_localhost(), TlsArgs::default());
    let running = Running::at([0, 0, 0, 0].into(), unused, limits).await;
    let mut client = Client(running.connect().await);
    client.send(&get_of("/")).await;
    let (status, answer) = client.answer().await;
    assert_eq!(status, 200, "a proxy on this machine");
    assert!(!answer.contains("strict-transport-security"), "that is up to the proxy: {answer}");
    // Without a network, no client can avoid the proxies.
    if let Some(own) = own_address() {
        let stranger = TcpStream::connect((own, running.address.port())).await.unwrap();
        Client(stranger).closed().await;
    }
    running.stop().await;
}
