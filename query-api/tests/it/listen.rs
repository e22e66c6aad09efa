//! Where the process may listen, its certificate, and which proxies may name the client's address.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use local_servers::{
    Certificate, PATIENCE, client_trusting, finish, http_get, in_time, test_client, until,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::{Process, command};
use crate::support::App;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Starts the process with settings that it must refuse. Returns what it says.
pub(crate) fn refusal(settings: &[(&str, &str)]) -> String {
    let mut command = command();
    command.arg("serve").env("ADMIN_LISTEN", "127.0.0.1:0");
    command.env("READ_MODEL_URL", "postgres://nobody@127.0.0.1:1/nothing");
    command.envs(settings.iter().copied());
    let output = finish(&mut command, PATIENCE).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    error
}

#[test]
fn it_refuses_to_listen_where_others_could_reach_it_and_names_the_settings() {
    let error = refusal(&[("ADMIN_LISTEN", "0.0.0.0:0")]);
    assert!(error.contains("loopback") && error.contains("--admin-listen"), "{error}");
    let open = ("QUERY_API_LISTEN", "0.0.0.0:0");
    let error = refusal(&[open]);
    for name in ["QUERY_API_LISTEN", "TLS_CERTIFICATE", "TLS_KEY", "TRUSTED_PROXIES"] {
        assert!(error.contains(name), "{error}");
    }
    let error = refusal(&[open, ("TRUSTED_PROXIES", "0.0.0.0/0")]);
    assert!(error.contains("TRUSTED_PROXIES: "), "{error}");
    let error = refusal(&[open, ("TLS_CERTIFICATE", "/x.pem")]);
    assert!(error.contains("TLS_CERTIFICATE is set without TLS_KEY"), "{error}");
    let certificate = Certificate::for_localhost();
    let (file, key) = (certificate.file(), certificate.key_file());
    let error = refusal(&[open, ("TLS_CERTIFICATE", text(&key)), ("TLS_KEY", text(&file))]);
    assert!(error.contains("TLS_CERTIFICATE names ") && error.contains("key.pem"), "{error}");
    let secret = std::fs::read_to_string(&key).unwrap();
    assert!(!error.contains(secret.lines().nth(1).unwrap()), "{error}");
}

/// The path of a product list, which everybody may see.
const PRODUCTS: &str = "/api/v1/products";
/// So many requests are more than a rate of one a second lets through, also on a slow machine.
const MANY: usize = 60;

/// Asks as the client that a proxy would name.
async fn ask(client: &reqwest::Client, base: &str, named: &str) -> u16 {
    let request = client.get(format!("{base}{PRODUCTS}")).header("x-forwarded-for", named);
    request.send().await.unwrap().status().as_u16()
}

/// Sends a request without TLS. Returns what comes before the connection is closed.
async fn ask_in_clear(api: &str) -> String {
    let mut stream = TcpStream::connect(api.trim_start_matches("http://")).await.unwrap();
    let request = format!("GET {PRODUCTS} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The connection may be reset, because its request stays unread.
    drop(in_time("the end of the connection", stream.read_to_end(&mut answer)).await);
    String::from_utf8_lossy(&answer).into_owned()
}

// The client takes part in the drain, so it needs a thread of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_speaks_tls_and_nothing_else_and_its_log_does_not_show_the_key() {
    let (app, certificate) = (App::silent(1).await, Certificate::for_localhost());
    let (file, key) = (certificate.file(), certificate.key_file());
    // Whatever the user's default is.
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let mut process = Process::start(&[
        ("READ_MODEL_URL", app.database.url()),
        ("TLS_CERTIFICATE", text(&file)),
        ("TLS_KEY", text(&key)),
        // Nobody reads the log before the end, so it must fit into a pipe.
        ("LOG", "debug"),
    ])
    .await;
    process.ready().await;
    let base = process.api.replace("http://127.0.0.1", "https://localhost");
    let client = client_trusting(&certificate.pem());
    let answer = client.get(format!("{base}{PRODUCTS}")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    let answer = ask_in_clear(&process.api).await;
    assert!(!answer.contains("HTTP/"), "{answer}");
    until("the closed connection is counted", async || {
        let metrics = http_get(format!("{}/metrics", process.admin)).await.unwrap();
        let closed = "http_server_connections_closed_total{reason=\"no_handshake\"} 1";
        metrics.text().await.unwrap().contains(closed)
    })
    .await;
    let report = http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap();
    let report: serde_json::Value = report.json().await.unwrap();
    assert_eq!(report["components"]["certificate"]["ready"], true, "{report}");
    let metrics = http_get(format!("{}/metrics", process.admin)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    // The year 4096.
    assert!(metrics.contains("\ntls_certificate_expires_at_seconds 67090"), "{metrics}");
    let (code, log) = process.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("did not finish in time"), "the drain closes idle connections: {log}");
    let line = log.lines().find(|line| line.contains("a TLS handshake failed")).unwrap();
    assert!(line.contains("\"level\":\"DEBUG\""), "strangers write no more: {line}");
    assert!(log.contains("TLS_KEY: every user of this machine has access to it"), "{log}");
    let secret = std::fs::read_to_string(&key).unwrap();
    assert!(secret.lines().filter(|line| !line.starts_with('-')).all(|line| !log.contains(line)));
}

// The client takes part in the drain, so it needs a thread of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_believes_nobody_about_the_address_of_a_client() {
    let (app, certificate) = (App::silent(1).await, Certificate::for_localhost());
    let (file, key) = (certificate.file(), certificate.key_file());
    let mut process = Process::start(&[
        ("READ_MODEL_URL", app.database.url()),
        ("TLS_CERTIFICATE", text(&file)),
        ("TLS_KEY", text(&key)),
        ("RATE_LIMITS", "1/1"),
    ])
    .await;
    process.ready().await;
    let base = process.api.replace("http://127.0.0.1", "https://localhost");
    let client = client_trusting(&certificate.pem());
    let mut refused = false;
    for number in 0..MANY {
        refused |= ask(&client, &base, &format!("203.0.113.{number}")).await == 429;
    }
    assert!(refused, "a client chose the address that it counts by");
    assert_eq!(process.stop().0, Some(0));
}

#[tokio::test]
async fn it_believes_a_trusted_proxy_about_the_address_of_a_client() {
    let app = App::silent(1).await;
    let mut process = Process::start(&[
        ("READ_MODEL_URL", app.database.url()),
        ("TRUSTED_PROXIES", "127.0.0.1"),
        ("RATE_LIMITS", "1/1"),
    ])
    .await;
    process.ready().await;
    let (client, base) = (test_client(), process.api.clone());
    let mut refused = false;
    for number in 0..MANY {
        // The client itself may have made up the first address.
        let named = format!("203.0.113.{number}, 192.0.2.1");
        refused |= ask(&client, &base, &named).await == 429;
    }
    assert!(refused, "one client has one rate");
    assert_eq!(ask(&client, &base, "192.0.2.2").await, 200, "another one has its own");
    assert_eq!(ask(&client, &base, "192.0.2.3, nobody").await, 200, "it counts as the proxy");
    let metrics = http_get(format!("{}/metrics", process.admin)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let unnamed = "http_server_unnamed_clients_total{header=\"unreadable\"} 1";
    assert!(metrics.contains(unnamed), "{metrics}");
    let (code, log) = process.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("names its client by something that is not an address"), "{log}");
}
