//! The schemas of both APIs are subgraphs of Apollo Federation that compose into one schema, and the
//! query API resolves what the payloads of mutations name.

use std::fs;
use std::path::Path;
use std::time::Duration;

use acceptance::{Client, RunningStack, enterable_folder};
use anyhow::{Context, Result, ensure};
use local_servers::finish_async;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::tools::{Tools, said_by};

/// How long a composition may take.
const LIMIT: Duration = Duration::from_mins(1);
const TOOLS: Tools = Tools {
    name: "federation",
    source: "acceptance/clients/federation",
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
    }
    stack.down().await
}

/// Composes both schemas without a complaint, and checks operations of clients.
async fn composes(client: &Client, tools: &Path) -> Result<()> {
    let commands = client.command(Method::GET, SCHEMA, None, &[]).await?.expect(StatusCode::OK)?;
    let queries = client.get(SCHEMA).await?.expect(StatusCode::OK)?;
    let folder = enterable_folder()?;
    let source = TOOLS.source();
    for name in ["compose.mjs", "journey.graphql"] {
        fs::copy(source.join(name), folder.path().join(name))?;
    }
    for (name, answer) in [("command-api", commands), ("query-api", queries)] {
        fs::write(folder.path().join(format!("{name}.graphql")), sdl(&answer.body)?)?;
    }
    let modules = folder.path().join("node_modules");
    std::os::unix::fs::symlink(tools.join("node_modules"), modules)?;
    let mut compose = Command::new("node");
    compose.current_dir(folder.path());
    compose.args(["compose.mjs", "journey.graphql", "command-api.graphql", "query-api.graphql"]);
    let composed = finish_async(&mut compose, LIMIT).await?;
    ensure!(composed.status.success(), "{}", said_by(&composed));
    let schema = String::from_utf8(composed.stdout)?;
    for part in ["type Mutation {", "type Query {", "viewer: Viewer", "): UserConnection"] {
        ensure!(schema.contains(part), "the composed schema has no `{part}`: {schema}");
    }
    Ok(())
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
