//! NATS's configuration in the stack: permissions per user, and a disk sync before every
//! acknowledgement.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

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

/// Only the relay may publish events and manage the stream. Projector, query API and process
/// manager read it; the projector may also announce checkpoints. Each process may register under
/// its own name, and the front may ask who is registered.
fn config(name: &str, store: &str, port: u16, passwords: &Passwords) -> String {
    let reading = reading();
    let and = |more: &[&str]| {
        reading.iter().cloned().chain(more.iter().map(ToString::to_string)).collect::<Vec<_>>()
    };
    let users = [
        User {
            name: "event_relay",
            password: &passwords.event_relay,
            publish: owned(&["events.>", "relay.head", "$JS.API.>"]),
            subscribe: owned(&[]),
        },
        User {
            name: "projector",
            password: &passwords.projector,
            publish: and(&["checkpoints.>"]),
            subscribe: owned(&["relay.head", "checkpoints.>"]),
        },
        User {
            name: "query_api",
            password: &passwords.query_api,
            publish: and(&[]),
            subscribe: owned(&["relay.head", "checkpoints.>"]),
        },
        User {
            name: "process_manager",
            password: &passwords.process_manager,
            publish: and(&[]),
            subscribe: owned(&["relay.head"]),
        },
        User {
            name: "command_api",
            password: &passwords.command_api,
            publish: owned(&[]),
            subscribe: owned(&[]),
        },
        User {
            name: "front",
            password: &passwords.front,
            publish: owned(&["$SRV.INFO", "$SRV.STATS"]),
            subscribe: owned(&[]),
        },
        User {
            name: "sandbox",
            password: &passwords.sandbox,
            publish: owned(&[]),
            subscribe: owned(&[]),
        },
    ];
    let users: String = users.iter().map(User::entry).collect();
    format!(
        r#"listen: "127.0.0.1:{port}"
server_name: "{name}"
jetstream {{ store_dir: "{store}", sync_interval: always }}
authorization {{
  users: [
    {{ user: ops, password: "{ops}" }}
{users}  ]
}}
"#,
        ops = passwords.owner.expose_secret(),
    )
}

/// The subjects to which a reader of the stream publishes.
fn reading() -> [String; 12] {
    [
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
    ]
}

fn owned(subjects: &[&str]) -> Vec<String> {
    subjects.iter().map(ToString::to_string).collect()
}

/// A user of a process, and the subjects that it needs for its work.
struct User<'p> {
    name: &'static str,
    password: &'p SecretString,
    publish: Vec<String>,
    subscribe: Vec<String>,
}

impl User<'_> {
    /// The user's line. Besides its work, the process gets answers, registers under its own name,
    /// asks for itself, and answers those who ask it. A short time for answers keeps the server's
    /// list of open ones short, because each message of the stream may be answered, too.
    fn entry(&self) -> String {
        let process = self.name.replace('_', "-");
        let list = |subjects: &[String], more: &[String]| {
            let quoted = subjects.iter().chain(more).map(|subject| format!("\"{subject}\""));
            quoted.collect::<Vec<_>>().join(", ")
        };
        let publish = list(&self.publish, &[format!("$SRV.PING.{process}.>")]);
        let registering = [
            "_INBOX.>".to_owned(),
            "$SRV.*".to_owned(),
            format!("$SRV.*.{process}"),
            format!("$SRV.*.{process}.>"),
            format!("health.{process}.>"),
        ];
        let subscribe = list(&self.subscribe, &registering);
        format!(
            r#"    {{ user: {name}, password: "{password}", permissions: {{
        publish: [{publish}],
        subscribe: [{subscribe}],
        allow_responses: {{ max: 1, expires: "5s" }} }} }}
"#,
            name = self.name,
            password = self.password.expose_secret(),
        )
    }
}
