//! GraphQL as tools of others see it. The schemas of both APIs are subgraphs of Apollo Federation
//! that compose into one schema, the query API resolves what the payloads of mutations name, their
//! endpoints and that of the front pass the audit of "GraphQL over HTTP", and the client
//! `graphql-ws` follows what changes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use acceptance::{Client, RunningStack, enterable_folder};
use anyhow::{Context, Result, ensure};
use local_servers::finish_async;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stack::token::Tokens;
use tokio::process::Command;

use crate::tools::{Tools, said_by};

/// How long a script may take.
const LIMIT: Duration = Duration::from_mins(1);
const TOOLS: Tools = Tools {
    name: "graphql",
    source: "acceptance/clients/graphql",
    installer: "npm",
    pins: "package-lock.json",
    install: "npm ci --ignore-scripts --no-audit --no-fund --loglevel=error",
    settings: &["package.json"],
};
const SCHEMA: &str = "/graphql?query=%7B_service%7Bsdl%7D%7D";

fn sdl(body: &Value) -> Result<String> {
    let sdl = body["data"]["_service"]["sdl"].as_str();
    sdl.map(str::to_owned).with_context(|| format!("no schema: {body}"))
}

#[tokio::test]
async fn a_gateway_can_compose_both_schemas_and_resolve_what_mutations_name() -> Result<()> {
    let stack = RunningStack::start().await?;
    let client = stack.client()?;
    resolves(&client).await?;
    if let Some(tools) = TOOLS.or_without("the composition of the schemas").await? {
        composes(&client, &tools).await?;
        passes(&stack, &tools).await?;
        subscribes(&stack, &tools).await?;
    }
    stack.down().await
}

/// Composes both schemas without a complaint, and checks operations of clients.
async fn composes(client: &Client, tools: &Path) -> Result<()> {
    let commands = client.command(Method::GET, SCHEMA, None, &[]).await?.expect(StatusCode::OK)?;
    let queries = client.get(SCHEMA).await?.expect(StatusCode::OK)?;
    let folder = equipped(tools, &["compose.mjs", "journey.graphql"])?;
    for (name, answer) in [("command-api", commands), ("query-api", queries)] {
        fs::write(folder.path().join(format!("{name}.graphql")), sdl(&answer.body)?)?;
    }
    let files = ["journey.graphql", "command-api.graphql", "query-api.graphql"];
    let schema = run(folder.path(), "compose.mjs", &files).await?;
    for part in [
        "type Mutation {",
        "type Query {",
        "viewer: Viewer",
        "): UserConnection",
        "type Subscription",
    ] {
        ensure!(schema.contains(part), "the composed schema has no `{part}`: {schema}");
    }
    Ok(())
}

/// Audits both endpoints, and that of both at one address.
async fn passes(stack: &RunningStack, tools: &Path) -> Result<()> {
    let folder = equipped(tools, &["audit.mjs"])?;
    let endpoints = stack.endpoints()?;
    let addresses = [endpoints.command_api, endpoints.query_api, endpoints.front];
    let urls = addresses.map(|address| format!("{address}/graphql"));
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let said = run(folder.path(), "audit.mjs", &urls).await?;
    ensure!(said.lines().count() == urls.len(), "{said}");
    Ok(())
}

/// Follows what changes through the one address, with a client of others.
async fn subscribes(stack: &RunningStack, tools: &Path) -> Result<()> {
    let folder = equipped(tools, &["subscribe.mjs"])?;
    let url = format!("{}/graphql", stack.endpoints()?.front);
    let token = Tokens::of_operator()?.current()?;
    let said = run(folder.path(), "subscribe.mjs", &[&url, &token]).await?;
    ensure!(said == "followed\n", "{said}");
    Ok(())
}

/// A folder with these files, and with the tools where a script finds them.
fn equipped(tools: &Path, files: &[&str]) -> Result<tempfile::TempDir> {
    let folder = enterable_folder()?;
    for name in files {
        fs::copy(TOOLS.source().join(name), folder.path().join(name))?;
    }
    let modules = folder.path().join("node_modules");
    std::os::unix::fs::symlink(tools.join("node_modules"), modules)?;
    Ok(folder)
}

/// Runs a script, which must find nothing to complain of, and returns what it printed.
async fn run(folder: &Path, script: &str, arguments: &[&str]) -> Result<String> {
    let mut node = Command::new("node");
    node.current_dir(folder).arg(script).args(arguments);
    let output = finish_async(&mut node, LIMIT).await?;
    ensure!(output.status.success(), "{script}: {}", said_by(&output));
    Ok(String::from_utf8(output.stdout)?)
}

/// Adds a product, and asks for what the answer names as a gateway does.
async fn resolves(client: &Client) -> Result<()> {
    let add = json!({"query": "mutation { addProduct(input: {name: \"Blue Train\", \
        unitPrice: \"14.67\", currency: \"USD\", stock: 3}) { product { __typename id } \
        consistencyToken } }"});
    let added = client.post("/graphql", &add).await?.expect(StatusCode::OK)?;
    let payload = &added.body["data"]["addProduct"];
    let token = payload["consistencyToken"].as_str().context("a token")?;
    let entities = json!({
        "query": "query ($all: [_Any!]!) { _entities(representations: $all) { \
            ... on Product { name available } } }",
        "variables": {"all": [payload["product"]]},
    });
    let headers = [("consistency-token", token), ("prefer", "wait=10")];
    let resolved = client.ask("/graphql", &entities, &headers).await?.expect(StatusCode::OK)?;
    let expected = json!([{"name": "Blue Train", "available": 3}]);
    ensure!(resolved.body["data"]["_entities"] == expected, "{:#}", resolved.body);
    let query = "{ products(filter: {name: \"Blue Train\"}) { nodes { unitPrice { amount } } } }";
    let shown = client.ask("/graphql", &json!({"query": query}), &headers).await?;
    let nodes = &shown.body["data"]["products"]["nodes"];
    ensure!(*nodes == json!([{"unitPrice": {"amount": "14.67"}}]), "{:#}", shown.body);
    let position = shown.body["extensions"]["meta"]["position"].as_i64().context("a position")?;
    ensure!(position > 0, "{:#}", shown.body);
    Ok(())
}
