//! Where the process may listen, its certificate, and whose word on the client's address counts.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use local_servers::{PATIENCE, client_trusting, finish, http_get, test_client};
use tempfile::TempDir;

use crate::process::{Process, command};
use crate::support::App;

/// Writes a certificate for `localhost` and its key. Returns the paths.
fn certificate(folder: &TempDir) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let key = write("key.pem", made.signing_key.serialize_pem());
    // Whatever the user's default is.
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    (write("certificate.pem", made.cert.pem()), key)
}

/// Starts the process where it must not listen. Returns what it says.
fn refusal(settings: &[(&str, &str)]) -> String {
    let mut command = command();
    command.args(["serve", "--admin-listen", "127.0.0.1:0"]);
    command.env("READ_MODEL_URL", "postgres://nobody@127.0.0.1:1/nothing");
    command.envs(settings.iter().copied());
    let output = finish(&mut command, PATIENCE).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    error
}

#[test]
fn beyond_loopback_it_needs_a_certificate_or_proxies_and_says_so() {
    let open = ("QUERY_API_LISTEN", "0.0.0.0:0");
    let error = refusal(&[open]);
    for name in ["QUERY_API_LISTEN", "TLS_CERTIFICATE", "TLS_KEY", "TRUSTED_PROXIES"] {
        assert!(error.contains(name), "{error}");
    }
    let error = refusal(&[open, ("TRUSTED_PROXIES", "0.0.0.0/0")]);
    assert!(error.contains("TRUSTED_PROXIES: "), "{error}");
    let error = refusal(&[open, ("TLS_CERTIFICATE", "/x.pem")]);
    assert!(error.contains("TLS_CERTIFICATE is set without TLS_KEY"), "{error}");
    let folder = TempDir::new().unwrap();
    let (certificate, key) = certificate(&folder);
    let error = refusal(&[open, ("TLS_CERTIFICATE", &key), ("TLS_KEY", &certificate)]);
    assert!(error.contains("TLS_CERTIFICATE names ") && error.contains("key.pem"), "{error}");
    let secret = std::fs::read_to_string(&key).unwrap();
    assert!(!error.contains(secret.lines().nth(1).unwrap()), "{error}");
}

/// The paths of a product list, which everybody may see.
const PRODUCTS: &str = "/api/v1/products";
/// So many requests are more than a rate of one a second lets through, also on a slow machine.
const MANY: usize = 60;

/// Asks as the client that a proxy would name.
async fn ask(client: &reqwest::Client, base: &str, named: &str) -> u16 {
    let request = client.get(format!("{base}{PRODUCTS}")).header("x-forwarded-for", named);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn it_speaks_tls_and_believes_nobody_about_the_address_of_a_client() {
    let (app, folder) = (App::silent(1).await, TempDir::new().unwrap());
    let (certificate, key) = certificate(&folder);
    let mut process = Process::start(&[
        ("READ_MODEL_URL", app.database.url()),
        ("TLS_CERTIFICATE", &certificate),
        ("TLS_KEY", &key),
        ("RATE_LIMITS", "1/1"),
        ("LOG", "debug"),
    ])
    .await;
    process.ready().await;
    let client = client_trusting(&std::fs::read(&certificate).unwrap());
    let base = process.api.replace("http://127.0.0.1", "https://localhost");
    assert_eq!(ask(&client, &base, "192.0.2.1").await, 200);
    let mut refused = false;
    for number in 0..MANY {
        refused |= ask(&client, &base, &format!("203.0.113.{number}")).await == 429;
    }
    assert!(refused, "a client chose the address that it counts by");
    let report = http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap();
    let report: serde_json::Value = report.json().await.unwrap();
    assert_eq!(report["components"]["certificate"]["ready"], true, "{report}");
    let (code, log) = process.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("TLS_KEY: every user of this machine has access to it"), "{log}");
    let secret = std::fs::read_to_string(&key).unwrap();
    assert!(secret.lines().filter(|line| !line.starts_with('-')).all(|line| !log.contains(line)));
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
    assert_eq!(process.stop().0, Some(0));
}
