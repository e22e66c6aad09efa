//! The descriptions of the events, as tools of others see them: the AsyncAPI parser has nothing to
//! complain of, and real events of every version are as their schemas say.
//!
//! The events are the golden ones of the domain and of the sagas. They go through the store that
//! encrypts personal values, and become messages as the relay publishes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acceptance::{enterable_folder, program};
use anyhow::{Context, Result, ensure};
use event_feed::message::{Encoded, encode};
use event_store::encryption::{LocalMasterKeys, MemoryKeys, VaultOptions};
use event_store::erasure::{EraseRequest, erase};
use event_store::store::MAX_PAGE;
use event_store::{
    Append, EncryptingStore, EventStore, ExpectedVersion, Filter, MemoryStore, Metadata, NewEvent,
    Position, RecordedEvent, StreamAppend, StreamName, Vault,
};
use local_servers::finish_async;
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use crate::readme::root;
use crate::tools::{Tools, said_by};

/// How long a program may take.
const LIMIT: Duration = Duration::from_mins(1);
/// The maximum size of a message.
const MAX_PAYLOAD: usize = 1024 * 1024;
/// Fields that events of sagas have, the first of which is required.
const OF_SAGAS: [&str; 6] = ["timer", "signal", "saga", "step", "reason", "by"];
const TOOLS: Tools = Tools {
    name: "asyncapi",
    source: "acceptance/clients/asyncapi",
    installer: "npm",
    pins: "package-lock.json",
    install: "npm ci --ignore-scripts --no-audit --no-fund --loglevel=error",
    settings: &["package.json"],
};

#[tokio::test]
async fn tools_of_others_read_the_document_and_every_event_is_as_its_schema_says() -> Result<()> {
    let Some(tools) = TOOLS.or_without("the validation of the events").await? else {
        return Ok(());
    };
    let folder = enterable_folder()?;
    fs::write(folder.path().join("asyncapi.json"), printed(&["asyncapi"]).await?)?;
    fs::write(folder.path().join("schemas.json"), printed(&["schemas"]).await?)?;
    let messages = messages().await?;
    fs::write(folder.path().join("messages.json"), serde_json::to_vec(&messages)?)?;
    fs::copy(TOOLS.source().join("validate.mjs"), folder.path().join("validate.mjs"))?;
    std::os::unix::fs::symlink(tools.join("node_modules"), folder.path().join("node_modules"))?;
    let mut node = Command::new("node");
    node.args(["validate.mjs", "asyncapi.json", "schemas.json", "messages.json"]);
    let output = finish_async(node.current_dir(folder.path()), LIMIT).await?;
    ensure!(output.status.success(), "{}", said_by(&output));
    let seen = String::from_utf8(output.stdout)?;
    for name in ["order.placed.v1", "user.registered.v1", "subject.erased.v1"] {
        ensure!(seen.lines().any(|line| line == name), "{name} is not among\n{seen}");
    }
    Ok(())
}

#[tokio::test]
async fn the_schemas_of_one_type_are_printed_and_an_unknown_type_is_named() -> Result<()> {
    let schemas: Value =
        serde_json::from_slice(&printed(&["schemas", "--type", "order.placed"]).await?)?;
    let names: Vec<&String> = schemas.as_object().context("schemas")?.keys().collect();
    ensure!(names.iter().all(|name| name.starts_with("order.placed/")), "{names:?}");
    ensure!(schemas["order.placed/1"]["title"] == "order.placed v1", "{schemas:#}");
    let mut unknown = Command::new(program("command-api")?);
    let output = finish_async(unknown.args(["schemas", "--type", "order.lost"]), LIMIT).await?;
    let said = said_by(&output);
    ensure!(!output.status.success() && said.contains("order.lost"), "{said}");
    ensure!(said.contains("order.placed"), "{said}");
    Ok(())
}

/// What the command API prints.
async fn printed(arguments: &[&str]) -> Result<Vec<u8>> {
    let mut command = Command::new(program("command-api")?);
    let output = finish_async(command.args(arguments), LIMIT).await?;
    ensure!(output.status.success(), "{arguments:?}: {}", said_by(&output));
    Ok(output.stdout)
}

/// All messages to validate: of every event as it is published, as a reader with the keys has it,
/// and after the erasure. And the same events with one field missing: no schema may accept them.
async fn messages() -> Result<Vec<Value>> {
    let inner: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let keys = Arc::new(MemoryKeys::new());
    let master = Arc::new(LocalMasterKeys::parse(&format!("{}=", "A".repeat(43)).into())?);
    let vault = Vault::new(keys.clone(), master, VaultOptions::default());
    let store = EncryptingStore::new(Arc::clone(&inner), vault);
    let mut subjects = BTreeSet::new();
    for (name, data) in golden()? {
        append(&store, &name, &data).await?;
        note_subjects(&data, &mut subjects);
    }
    let mut messages = told("published", &all(inner.as_ref()).await?)?;
    messages.extend(told("readable", &all(&store).await?)?);
    for subject in subjects {
        let request = EraseRequest { subject, by: "operator".to_owned() };
        erase(inner.as_ref(), keys.as_ref(), &request).await?;
    }
    messages.extend(told("erased", &all(&store).await?)?);
    let damaged: Vec<Value> = messages.iter().filter_map(damaged).collect();
    let whole = messages.iter().filter(|it| it["payload"] != json!({})).count();
    ensure!(damaged.len() >= whole, "{} have no field", whole - damaged.len());
    messages.extend(damaged);
    Ok(messages)
}

/// The golden events: name and payload.
fn golden() -> Result<Vec<(String, Value)>> {
    let mut events = Vec::new();
    let folders = ["domain/src", "saga/src"].map(|sources| fs::read_dir(root().join(sources)));
    for folder in folders.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        let file: PathBuf = folder?.path().join("golden/events.json");
        if file.is_file() {
            let entries: BTreeMap<String, Value> = serde_json::from_slice(&fs::read(&file)?)?;
            events.extend(entries.into_iter().map(|(name, entry)| (name, entry["data"].clone())));
        }
    }
    ensure!(!events.is_empty(), "there are no golden events");
    Ok(events)
}

async fn append(store: &dyn EventStore, name: &str, data: &Value) -> Result<()> {
    let (event_type, version) = name.split_once(" v").context("the name of a golden event")?;
    let category = event_type.split('.').next().unwrap_or_default();
    let metadata = Metadata {
        actor: Some("user:Zoë".to_owned()),
        causation_id: Some(Uuid::now_v7()),
        ..Metadata::new(Uuid::now_v7())
    };
    let event = NewEvent::json(event_type.parse()?, version.parse()?, data, metadata)?;
    let stream = StreamName::new(category, Uuid::now_v7())?;
    let streams =
        vec![StreamAppend { stream, expected: ExpectedVersion::NoStream, events: vec![event] }];
    store.append(Append { streams, ..Append::default() }).await?;
    Ok(())
}

/// Finds whose personal values are in a payload.
fn note_subjects(value: &Value, subjects: &mut BTreeSet<Uuid>) {
    if let Some(subject) = value["$subject"].as_str().and_then(|text| text.parse().ok()) {
        subjects.insert(subject);
    }
    match value {
        Value::Object(fields) => fields.values().for_each(|field| note_subjects(field, subjects)),
        Value::Array(items) => items.iter().for_each(|item| note_subjects(item, subjects)),
        _ => {}
    }
}

/// All events of a store.
async fn all(store: &dyn EventStore) -> Result<Vec<RecordedEvent>> {
    Ok(store.read(&Filter::All, Position::START, MAX_PAGE).await?)
}

/// The messages of these events.
fn told(what: &str, events: &[RecordedEvent]) -> Result<Vec<Value>> {
    let epoch = event_store::Epoch(Uuid::now_v7());
    let message = |event: &RecordedEvent| {
        let Encoded { subject, headers, payload, is_stub, .. } = encode(event, epoch, MAX_PAYLOAD);
        ensure!(!is_stub, "{subject} is too large");
        let headers: BTreeMap<String, String> = headers
            .iter()
            .filter_map(|(name, values)| Some((name.to_string(), values.first()?.to_string())))
            .collect();
        let payload: Value = serde_json::from_slice(&payload)?;
        Ok(json!({"what": what, "subject": subject, "headers": headers, "payload": payload,
            "isValid": true}))
    };
    events.iter().map(message).collect()
}

/// The same message without one of its fields that its schema requires. All golden events of the
/// domain have the id of their aggregate, and those of sagas one of [`OF_SAGAS`] or no field.
fn damaged(message: &Value) -> Option<Value> {
    let mut damaged = message.clone();
    let fields = damaged["payload"].as_object_mut()?;
    let of_aggregate = fields.keys().find(|name| name.ends_with("_id") || *name == "subject");
    let of_saga = || OF_SAGAS.into_iter().find(|name| fields.contains_key(*name));
    let name = of_aggregate.map(String::as_str).or_else(of_saga)?.to_owned();
    fields.remove(&name);
    damaged["what"] = format!("{} without {name}", message["what"].as_str()?).into();
    damaged["isValid"] = false.into();
    Some(damaged)
}
