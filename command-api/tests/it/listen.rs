//! Where the process may listen, and which address of a client it keeps. Its command line trusts a
//! process by the certificate.

use std::path::Path;

use local_servers::{Certificate, PATIENCE, client_trusting, finish};
use serde_json::json;
use tempfile::TempDir;

use crate::create_admin::{EMAIL, Stores};
use crate::process::{Process, command};
use crate::support::tokens;

const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";
const PASSWORD: &str = "correct horse battery staple";

/// Starts the process with settings that it must refuse. Returns what it says.
pub(crate) fn refusal(settings: &[(&str, &str)]) -> String {
    let mut command = command();
    command.arg("serve").env("EVENT_STORE_URL", NOWHERE).env("SUBJECT_KEYS_URL", NOWHERE);
    command.env("ADMIN_LISTEN", "127.0.0.1:0").envs(settings.iter().copied());
    let output = finish(&mut command, PATIENCE).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    error
}

#[test]
fn it_refuses_to_listen_where_others_could_reach_it_and_names_the_settings() {
    let open = ("COMMAND_API_LISTEN", "0.0.0.0:0");
    let error = refusal(&[("ADMIN_LISTEN", "0.0.0.0:0")]);
    assert!(error.contains("loopback") && error.contains("--admin-listen"), "{error}");
    let error = refusal(&[open, ("TRUSTED_PROXIES", "10.0.0.1")]);
    for name in ["COMMAND_API_LISTEN: ", "AUTH_URL", "OIDC_ISSUER"] {
        assert!(error.contains(name), "{error}");
    }
    let issuer = ("OIDC_ISSUER", "https://id.example.com");
    for identity in [("AUTH_URL", NOWHERE), issuer] {
        let error = refusal(&[open, identity]);
        for name in ["COMMAND_API_LISTEN: ", "TLS_CERTIFICATE", "TLS_KEY", "TRUSTED_PROXIES"] {
            assert!(error.contains(name), "{error}");
        }
    }
    let half = refusal(&[("TLS_KEY", "/key.pem")]);
    assert!(half.contains("TLS_KEY is set without TLS_CERTIFICATE"), "{half}");
}

/// Asks the port for operations with an access token. Returns what the command line says.
fn list_operations(address: &str, trusted: Option<&Path>) -> String {
    let mut command = command();
    command.args(["operations", "--admin", address]).env("DAYBOOK_TOKEN", tokens::admin());
    let output = finish(command.envs(trusted.map(|file| ("SSL_CERT_FILE", file))), PATIENCE);
    let output = output.unwrap();
    assert_ne!(output.status.code(), Some(0));
    String::from_utf8(output.stderr).unwrap()
}

/// What a proxy that knows the first header only would send for a client who made up the rest.
const HEADERS: [(&str, &str); 2] =
    [("x-forwarded-for", "203.0.113.9, 192.0.2.7"), ("forwarded", "for=203.0.113.10")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_a_log_in_keeps_the_address_that_only_a_trusted_proxy_can_name() {
    let (stores, folder) = (Stores::new().await, TempDir::new().unwrap());
    let certificate = Certificate::for_localhost();
    let (file, key) = (certificate.file(), certificate.key_file());
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let (code, said) = stores.create(&["--password-file", password.to_str().unwrap()], &[]);
    assert_eq!(code, Some(0), "{said}");
    for (proxies, kept) in [
        ("", "SELECT count(*) FROM auth.sessions WHERE address = '127.0.0.1'"),
        ("127.0.0.1", "SELECT count(*) FROM auth.sessions WHERE address = '192.0.2.7'"),
    ] {
        let process = Process::start(&[
            ("EVENT_STORE_URL", stores.url()),
            ("AUTH_URL", stores.url()),
            ("MAIL_FOLDER", folder.path().to_str().unwrap()),
            ("TLS_CERTIFICATE", file.to_str().unwrap()),
            ("TLS_KEY", key.to_str().unwrap()),
            ("TRUSTED_PROXIES", proxies),
        ]);
        process.readiness(200).await;
        assert_eq!(stores.count(kept).await, 0);
        let base = process.api.replace("http://127.0.0.1", "https://localhost");
        // The public port has no operations, so its answer is 404.
        let (trusting, wary) = (list_operations(&base, Some(&file)), list_operations(&base, None));
        let answered = |said: &str| said.contains("There is nothing here");
        assert!(answered(&trusting) && !answered(&wary), "{trusting}{wary}");
        let client = client_trusting(&certificate.pem());
        let mut request = client.post(format!("{base}/api/v1/auth/log-in"));
        for (name, value) in HEADERS {
            request = request.header(name, value);
        }
        let answer = request.json(&json!({"email": EMAIL, "password": PASSWORD})).send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
        assert_eq!(stores.count(kept).await, 1, "{proxies}");
        let (code, log) = process.stop();
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("192.0.2.7"), "addresses are kept with the sessions only: {log}");
    }
}
