//! One GraphQL endpoint in front of two.

use axum::Router;
use axum::http::{Method, StatusCode};
use local_servers::until;
use serde_json::{Value, json};

use crate::support::{Answer, Double, Served, Setup, TestFront, described};

const COMMANDS: &str = r#"
    type Query { viewer: Int }
    type Mutation { place(n: Int!): Order }
    type Order @key(fields: "id", resolvable: false) { id: ID! }
    extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])
"#;
const QUERIES: &str = r#"
    type Query { order(id: ID!): Order }
    type Subscription { orders: Order! }
    type Order @key(fields: "id") { id: ID! status: String }
"#;
/// What a client of today accepts.
const ACCEPT: (&str, &str) =
    ("accept", "application/graphql-response+json, application/json;q=0.9");

struct Between {
    front: TestFront,
    commands: Double,
    queries: Double,
    _apis: [Served; 2],
}

impl Between {
    async fn start(commands: Option<&'static str>, queries: Option<&'static str>) -> Self {
        let double = |schema| Double::new(&[described(&[])], schema, Router::new());
        let (commands, queries) = (double(commands), double(queries));
        let apis = [commands.serve().await, queries.serve().await];
        let setup = Setup::default();
        let front = TestFront::start(apis[0].address, apis[1].address, setup).await;
        Self { front, commands, queries, _apis: apis }
    }

    async fn ask(&self, request: &Value) -> Answer {
        self.front.ask(Method::POST, "/graphql", &[ACCEPT], Some(&request.to_string())).await
    }

    /// How many requests reached each.
    fn reached(&self) -> (usize, usize) {
        (self.commands.seen().len(), self.queries.seen().len())
    }
}

#[tokio::test]
async fn an_operation_goes_to_the_api_of_its_kind_as_it_was_sent() {
    let between = Between::start(Some(COMMANDS), Some(QUERIES)).await;
    let two = "query Q { order(id: 1) { id } } mutation M($n: Int!) { place(n: $n) { id } }";
    let mutation = json!({"query": two, "operationName": "M", "variables": {"n": 1.50}});
    let answer = between.ask(&mutation).await;
    assert_eq!(answer.json(), json!({"data": {"answered": true}}));
    assert!(answer.header("content-type").starts_with("application/graphql-response+json"));
    assert_eq!(between.reached(), (1, 0));
    assert_eq!(between.commands.seen()[0].3, mutation.to_string());

    between.ask(&json!({"query": two, "operationName": "Q"})).await;
    between.ask(&json!({"query": "subscription { orders { id } }"})).await;
    assert_eq!(between.reached(), (1, 2));
    let by_get = between.front.get("/graphql?query=%7Border(id:1)%7Bid%7D%7D").await;
    assert_eq!(by_get.status, StatusCode::OK);
    assert_eq!(between.queries.seen()[2].1, "/graphql?query=%7Border(id:1)%7Bid%7D%7D");
    // Whether a mutation may come by GET is up to its API.
    between.front.get("/graphql?query=mutation%7Bplace(n:1)%7Bid%7D%7D").await;
    assert_eq!(between.reached(), (2, 3));
}

#[tokio::test]
async fn a_question_for_the_schema_is_answered_with_that_of_both() {
    let between = Between::start(Some(COMMANDS), Some(QUERIES)).await;
    let question = json!({"query": "{ __schema { mutationType { name } types { name } } \
        __type(name: \"Order\") { fields { name } } }"});
    let answer = between.ask(&question).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert!(answer.header("vary").contains("accept"));
    let data = &answer.json()["data"];
    assert_eq!(data["__schema"]["mutationType"]["name"], "Mutation");
    let types = data["__schema"]["types"].as_array().unwrap();
    assert!(types.iter().any(|one| one["name"] == "Subscription"), "{types:?}");
    assert_eq!(data["__type"]["fields"], json!([{"name": "id"}, {"name": "status"}]));
    assert_eq!(between.reached(), (0, 0));

    let wrong = between.ask(&json!({"query": "{ __schema { nothing } }"})).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{wrong:?}");
    let mixed = json!({"query": "{ order(id: 1) { id } __schema { types { name } } }"});
    let mixed = between.ask(&mixed).await;
    assert_eq!(mixed.status, StatusCode::BAD_REQUEST, "{mixed:?}");
    assert!(mixed.text.contains("in a request of its own"), "{mixed:?}");
}

#[tokio::test]
async fn what_no_api_can_be_asked_for_is_refused_with_the_statuses_of_the_standard() {
    let between = Between::start(Some(COMMANDS), Some(QUERIES)).await;
    let two = "query Q { order(id: 1) { id } } mutation M { place(n: 1) { id } }";
    for request in [
        json!({"query": two}),
        json!({"query": two, "operationName": "Z"}),
        json!({"query": "{"}),
        json!({"query": 7}),
        json!({}),
        json!([{"query": "{ order(id: 1) { id } }"}]),
    ] {
        let refused = between.ask(&request).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{request}: {refused:?}");
        assert!(refused.json()["errors"][0]["message"].is_string(), "{request}: {refused:?}");
        assert!(refused.json().get("data").is_none(), "{request}: {refused:?}");
    }
    // An older client takes another status for an answer of something between.
    let front = &between.front;
    let older = json!({"query": two}).to_string();
    let old = front.ask(Method::POST, "/graphql", &[("accept", "application/json")], Some(&older));
    assert_eq!(old.await.status, StatusCode::OK);
    let wrong = front.ask(Method::POST, "/graphql", &[("accept", "text/html")], Some("{}")).await;
    wrong.is_problem(406, "not-acceptable");
    let form = front.ask(Method::POST, "/graphql", &[("content-type", "text/plain")], None).await;
    form.is_problem(415, "unsupported-media-type");
    let put = front.ask(Method::PUT, "/graphql", &[], Some("{}")).await;
    assert_eq!(put.is_problem(405, "method-not-allowed").header("allow"), "GET, POST");
    assert_eq!(between.reached(), (0, 0));
}

#[tokio::test]
async fn mutations_pass_before_the_query_api_has_a_schema() {
    let between = Between::start(Some(COMMANDS), None).await;
    assert_eq!(between.ask(&json!({"query": "mutation { place(n: 1) { id } }"})).await.status, 200);
    let query = between.ask(&json!({"query": "{ order(id: 1) { id } }"})).await;
    assert_eq!(query.status, StatusCode::NOT_FOUND, "that of the query API");
    let schema = between.ask(&json!({"query": "{ __schema { types { name } } }"})).await;
    let problem = schema.is_problem(503, "graphql/schema-unknown");
    assert!(problem.text.contains("the query API has no GraphQL"), "{problem:?}");
    let is_said = async || between.front.component("graphql_schema").1.contains("no GraphQL");
    until("the front says why", is_said).await;
}

#[tokio::test]
async fn schemas_that_do_not_go_together_are_told_and_operations_pass() {
    let queries = "type Query { order: Order } type Order { id: Int! }";
    let between = Between::start(Some(COMMANDS), Some(queries)).await;
    let schema = between.ask(&json!({"query": "{ __schema { types { name } } }"})).await;
    let problem = schema.is_problem(503, "graphql/schema-unknown");
    assert!(problem.text.contains("the GraphQL type Order, but its field id has two types"));
    assert_eq!(between.ask(&json!({"query": "{ order { id } }"})).await.status, 200);
}
