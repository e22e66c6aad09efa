//! The one address of both APIs.

use std::collections::BTreeSet;

use acceptance::{Answer, Client, Endpoints, Front, Launched, RunningStack, Service};
use anyhow::{Context as _, Result, ensure};
use local_servers::{http_get, test_client};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A value for every parameter in a path. No resource has this id.
const ID: &str = "01890000-0000-7000-8000-000000000000";
/// The documents of both APIs.
const DOCUMENTS: [&str; 2] = ["/openapi.json", "/openapi/v2.json"];

#[tokio::test]
async fn p10_a_frontend_that_knows_one_address_writes_and_reads_its_writes() -> Result<()> {
    let stack = RunningStack::start().await?;
    let endpoints = stack.endpoints()?;
    let client = endpoints.client_of_front()?;
    let body = json!({"name": "Blue Train", "unit_price": "14.67", "currency": "USD", "stock": 12});
    let added = client.post("/api/v1/products", &body).await?.expect(StatusCode::CREATED)?;
    let (location, path) = (added.header("location")?, format!("/api/v1/products/{}", added.id()?));
    assert_eq!(location, format!("{}{path}", endpoints.front), "links lead to the one address");
    let shown = client.get_after(&path, &added).await?.expect(StatusCode::OK)?;
    assert_eq!(shown.data()["name"], "Blue Train");
    let tag = shown.header("etag")?;
    let same = client.get_with(&path, &[("if-none-match", tag)]).await?;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    mutations(&client).await?;
    documents(&endpoints).await?;
    operations(&endpoints).await?;
    stack.down().await
}

/// GraphQL mutations reach the command API, as often as it wants them to.
async fn mutations(client: &Client) -> Result<()> {
    let add = json!({"query": "mutation { addProduct(idempotencyKey: \"front-1\",
        input: {name: \"Ascension\", unitPrice: \"10.00\", currency: \"USD\"}) {
            product { id } replayed errors { code } } }"});
    let first = client.post("/graphql", &add).await?.expect(StatusCode::OK)?;
    let again = client.post("/graphql", &add).await?.expect(StatusCode::OK)?;
    let added = |answer: &Answer| answer.body["data"]["addProduct"].clone();
    ensure!(added(&first)["errors"] == json!([]), "{}", first.body);
    assert_eq!(added(&first)["product"], added(&again)["product"]);
    assert_eq!(added(&again)["replayed"], true);
    let id = added(&first)["product"]["id"].as_str().context("an id")?.to_owned();
    let path = format!("/api/v1/products/{id}");
    let shown = acceptance::until("it is shown", std::time::Duration::from_mins(1), async || {
        let answer = client.get(&path).await?;
        Ok((answer.status == StatusCode::OK).then_some(answer))
    });
    assert_eq!(shown.await?.data()["name"], "Ascension");
    Ok(())
}

async fn document(address: &str, path: &str) -> Result<Option<Value>> {
    let answer = http_get(format!("{address}{path}")).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&answer.error_for_status()?.text().await?)?))
}

/// The operations of a document: method and path.
fn operations_of(document: &Value) -> BTreeSet<(String, String)> {
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in item.as_object().into_iter().flat_map(serde_json::Map::keys) {
            operations.insert((method.to_uppercase(), path.clone()));
        }
    }
    operations
}

/// Each document of the front has the operations of both APIs, and each name in it one meaning.
async fn documents(endpoints: &Endpoints) -> Result<()> {
    for path in DOCUMENTS {
        let of = async |address: &str| document(address, path).await;
        let both = of(&endpoints.front).await?.context("a document of both")?;
        let mut expected = BTreeSet::new();
        for api in [&endpoints.command_api, &endpoints.query_api] {
            expected.extend(of(api).await?.iter().flat_map(operations_of));
        }
        assert_eq!(operations_of(&both), expected, "{path}");
        let text = both.to_string();
        for used in text.split("\"#/").skip(1).filter_map(|rest| rest.split('"').next()) {
            ensure!(both.pointer(&format!("/{used}")).is_some(), "{path}: {used} is not there");
        }
        let ids = text.split("\"operationId\":\"").skip(1);
        let ids: Vec<&str> = ids.filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "{path}: {ids:?}");
    }
    Ok(())
}

/// Every operation that an API describes is answered through the front as by the API itself, to a
/// caller without a token.
async fn operations(endpoints: &Endpoints) -> Result<()> {
    let mut asked = 0;
    for api in [&endpoints.command_api, &endpoints.query_api] {
        for path in DOCUMENTS {
            let described = document(api, path).await?;
            for (method, template) in described.iter().flat_map(operations_of) {
                let [direct, through] =
                    [api, &endpoints.front].map(|address| ask(address, &method, &template));
                let (direct, through) = (direct.await?, through.await?);
                assert_eq!(through, direct, "{method} {template}");
                asked += 1;
            }
        }
    }
    ensure!(asked > 0, "no operation is described");
    let keys = |address: &str| http_get(format!("{address}/.well-known/jwks.json"));
    let published = keys(&endpoints.command_api).await?.text().await?;
    assert_eq!(keys(&endpoints.front).await?.text().await?, published);
    Ok(())
}

/// The status of an operation, and the code of its problem.
async fn ask(address: &str, method: &str, template: &str) -> Result<(StatusCode, Value)> {
    let parts = template.split('/').map(|part| if part.starts_with('{') { ID } else { part });
    let path = parts.collect::<Vec<_>>().join("/");
    let method: Method = method.parse()?;
    let mut request = test_client().request(method.clone(), format!("{address}{path}"));
    if method != Method::GET && method != Method::DELETE {
        request = request.json(&json!({}));
    }
    let answer = request.send().await?;
    let status = answer.status();
    let body: Value = serde_json::from_str(&answer.text().await?).unwrap_or_default();
    Ok((status, body["code"].clone()))
}

#[tokio::test]
async fn p8_through_the_front_each_api_works_without_the_other() -> Result<()> {
    let mut system = Launched::start().await?;
    let front = Front::before(&system).await?;
    let client = front.client()?;
    let first = register(&client, "first").await?.expect(StatusCode::CREATED)?;
    let path = format!("/api/v1/users/{}", first.id()?);
    client.get_after(&path, &first).await?.expect(StatusCode::OK)?;

    system.stop(Service::CommandApi).await?;
    front.wait_until_it_says("\"command_api\":{\"ready\":false").await?;
    client.get(&path).await?.expect(StatusCode::OK)?;
    is_away(&register(&client, "second").await?, "the command API")?;
    system.launch(Service::CommandApi)?;
    system.wait_until_ready(Service::CommandApi).await?;

    system.stop(Service::QueryApi).await?;
    front.wait_until_it_says("\"query_api\":{\"ready\":false").await?;
    register(&client, "third").await?.expect(StatusCode::CREATED)?;
    is_away(&client.get(&path).await?, "the query API")?;

    // A front that starts meanwhile knows the commands alone.
    let late = Front::before(&system).await?;
    let late = late.client()?;
    register(&late, "fourth").await?.expect(StatusCode::CREATED)?;
    let unknown = late.get(&path).await?.expect(StatusCode::SERVICE_UNAVAILABLE)?;
    assert_eq!(unknown.code(), Some("api/unknown"), "{}", unknown.body);
    Ok(())
}

async fn register(client: &Client, name: &str) -> Result<Answer> {
    let body = json!({"email": format!("{name}@example.com"), "name": name});
    client.post("/api/v1/users", &body).await
}

fn is_away(answer: &Answer, which: &str) -> Result<()> {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(answer.code(), Some("api/away"), "{}", answer.body);
    assert_eq!(answer.header("retry-after")?, "1");
    let detail = answer.body["detail"].as_str().context("a detail")?;
    ensure!(detail.contains(which), "{detail}");
    Ok(())
}
