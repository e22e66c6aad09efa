//! NATS's configuration in the stack: permissions per user, and a disk sync before every
//! acknowledgement.

use std::path::PathBuf;

use secrecy::ExposeSecret;

use crate::layout::{Layout, private_folder, write_private};
use crate::secrets::Passwords;

/// The stream that the relay maintains.
const STREAM: &str = "EVENTS";

/// Writes the server's configuration file and returns its path.
pub fn write_config(layout: &Layout, port: u16, passwords: &Passwords) -> anyhow::Result<PathBuf> {
    let folder = layout.nats();
    private_folder(&folder)?;
    let path = folder.join("nats.conf");
    let store = folder.join("store").display().to_string();
    write_private(&path, &config(&layout.name(), &store, port, passwords))?;
    Ok(path)
}

/// Only the relay may publish events and manage the stream. Projector, query API, process manager
/// and the sender of webhooks read it; the projector may also announce checkpoints.
fn config(name: &str, store: &str, port: u16, passwords: &Passwords) -> String {
    let password = |secret: &secrecy::SecretString| secret.expose_secret().to_owned();
    let reading = [
        "$JS.API.INFO".to_owned(),
        format!("$JS.API.STREAM.INFO.{STREAM}"),
        format!("$JS.API.STREAM.MSG.GET.{STREAM}"),
        format!("$JS.API.DIRECT.GET.{STREAM}"),
        format!("$JS.API.DIRECT.GET.{STREAM}.>"),
        format!("$JS.API.CONSUMER.CREATE.{STREAM}"),
        format!("$JS.API.CONSUMER.CREATE.{STREAM}.>"),
        format!("$JS.API.CONSUMER.INFO.{STREAM}.>"),
        format!("$JS.API.CONSUMER.DELETE.{STREAM}.>"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.>"),
        format!("$JS.ACK.{STREAM}.>"),
        "$JS.FC.>".to_owned(),
    ];
    let list = |subjects: &[String]| {
        subjects.iter().map(|subject| format!("\"{subject}\"")).collect::<Vec<_>>().join(", ")
    };
    let projector: Vec<String> =
        reading.iter().cloned().chain(["checkpoints.>".to_owned()]).collect();
    format!(
        r#"listen: "127.0.0.1:{port}"
server_name: "{name}"
jetstream {{ store_dir: "{store}", sync_interval: always }}
authorization {{
  users: [
    {{ user: ops, password: "{ops}" }}
    {{ user: event_relay, password: "{event_relay}", permissions: {{
        publish: ["events.>", "relay.head", "$JS.API.>"], subscribe: ["_INBOX.>"] }} }}
    {{ user: projector, password: "{projector_password}", permissions: {{
        publish: [{projector}], subscribe: ["_INBOX.>", "relay.head", "checkpoints.>"] }} }}
    {{ user: query_api, password: "{query_api}", permissions: {{
        publish: [{reading}], subscribe: ["_INBOX.>", "relay.head", "checkpoints.>"] }} }}
    {{ user: process_manager, password: "{process_manager}", permissions: {{
        publish: [{reading}], subscribe: ["_INBOX.>", "relay.head"] }} }}
    {{ user: webhooks, password: "{webhooks}", permissions: {{
        publish: [{reading}], subscribe: ["_INBOX.>", "relay.head"] }} }}
  ]
}}
"#,
        ops = password(&passwords.owner),
        event_relay = password(&passwords.event_relay),
        projector_password = password(&passwords.projector),
        query_api = password(&passwords.query_api),
        process_manager = password(&passwords.process_manager),
        webhooks = password(&passwords.webhooks),
        projector = list(&projector),
        reading = list(&reading),
    )
}
