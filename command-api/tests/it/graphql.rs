//! GraphQL mutations over HTTP.

mod arguments;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::tokens::By as _;
use crate::support::{Reply, Shop, With as _};

const ANSWER: &str = "application/graphql-response+json; charset=utf-8";

fn request(query: &str, variables: &Value) -> Request<Body> {
    let body = json!({"query": query, "variables": variables});
    let request = Request::post("/graphql").header("content-type", "application/json");
    let request = request.header("accept", "application/graphql-response+json");
    request.body(Body::from(body.to_string())).unwrap()
}

/// The data of an answer without errors.
fn data(reply: &Reply) -> &Value {
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, ANSWER));
    assert!(reply.body.get("errors").is_none(), "{:#}", reply.body);
    &reply.body["data"]
}

const CREATE: &str = "mutation ($input: CreateUserInput!, $key: String) {
    createUser(input: $input, idempotencyKey: $key) {
        user { id } version consistencyToken replayed errors { code message field }
    }
}";

#[tokio::test]
async fn a_mutation_is_carried_out_once_under_its_key_and_says_what_changed() {
    let shop = Shop::new();
    let variables = json!({"input": {"email": "ada@example.com", "name": "Ada"}, "key": "k"});
    let first = shop.send(request(CREATE, &variables)).await;
    let created = &data(&first)["createUser"];
    assert_eq!((&created["version"], &created["replayed"]), (&json!(1), &json!(false)));
    assert_eq!(created["errors"], json!([]));
    assert!(created["consistencyToken"].is_string());
    let again = shop.send(request(CREATE, &variables)).await;
    let repeated = &data(&again)["createUser"];
    assert_eq!((&repeated["user"], &repeated["replayed"]), (&created["user"], &json!(true)));
    // The same key with other arguments is another request.
    let other = json!({"input": {"email": "eve@example.com", "name": "Eve"}, "key": "k"});
    let refused = shop.send(request(CREATE, &other)).await;
    let errors = &data(&refused)["createUser"]["errors"];
    assert_eq!(errors[0]["code"], "idempotency/key-reused");
    assert_eq!(shop.types().await, ["user.registered"]);
}

#[tokio::test]
async fn what_a_user_can_mend_is_in_the_payload_with_the_path_of_its_argument() {
    let shop = Shop::new();
    let variables = json!({"input": {"email": "ada", "name": ""}});
    let refused = shop.send(request(CREATE, &variables)).await;
    let payload = &data(&refused)["createUser"];
    assert_eq!(payload["user"], Value::Null);
    let found: Vec<_> =
        payload["errors"].as_array().unwrap().iter().map(|e| (&e["code"], &e["field"])).collect();
    let expected = [
        (&json!("email/malformed"), &json!(["input", "email"])),
        (&json!("name/empty"), &json!(["input", "name"])),
    ];
    assert_eq!(found, expected);
    let place =
        "mutation { placeOrder(input: {userId: \"x\", lines: [{productId: \"y\", quantity: 1}]})
        { errors { code field } } }";
    let refused = shop.send(request(place, &json!({}))).await;
    let errors = &data(&refused)["placeOrder"]["errors"];
    assert_eq!(errors[0]["field"], json!(["input", "userId"]));
    assert_eq!(errors[1]["field"], json!(["input", "lines", "0", "productId"]));
    let address = json!({"recipient": "Ada", "street": "Ring 1", "city": "Wien",
        "postalCode": "-", "country": "AT"});
    let line = json!({"productId": Uuid::nil(), "quantity": 1});
    let input = json!({"userId": Uuid::nil(), "lines": [line], "shippingAddress": address});
    let place = "mutation ($input: PlaceOrder!) { placeOrder(input: $input) { errors { field } } }";
    let refused = shop.send(request(place, &json!({"input": input}))).await;
    let errors = &data(&refused)["placeOrder"]["errors"];
    assert_eq!(errors[0]["field"], json!(["input", "shippingAddress", "postalCode"]));
    let set = "mutation { setDiscounts(input: {discounts: [{id: \"x\", rate: 1, from: \"today\"}]})
        { errors { code field } } }";
    let refused = shop.send(request(set, &json!({}))).await;
    let errors = &data(&refused)["setDiscounts"]["errors"];
    assert_eq!(errors[0]["field"], json!(["input", "discounts", "0", "id"]));
    assert_eq!(errors[1]["field"], json!(["input", "discounts", "0", "from"]));
}

#[tokio::test]
async fn an_order_goes_from_its_placement_to_its_confirmation_in_one_request() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.00").await);
    let id = Uuid::now_v7();
    let both = "mutation ($input: PlaceOrder!, $id: ID!, $line: OrderLine!) {
        placeOrder(input: $input) { order { id } version errors { code } }
        addOrderLine(orderId: $id, input: $line, expectedVersion: 1) { lineId version }
        stale: confirmOrder(orderId: $id, expectedVersion: 1) { version errors { code message } }
        dry: confirmOrder(orderId: $id, dryRun: true) { order { id } dryRun { events { type } } }
        confirmOrder(orderId: $id, expectedVersion: 2) { version errors { code } }
    }";
    let line = json!({"productId": product, "quantity": 1});
    let variables =
        json!({"input": {"id": id, "userId": user, "lines": [line]}, "id": id, "line": line});
    let reply = shop.send(request(both, &variables).by(&user)).await;
    let data = data(&reply);
    assert_eq!(data["placeOrder"]["order"]["id"], json!(id));
    assert!(data["addOrderLine"]["lineId"].is_string());
    assert_eq!(data["stale"]["errors"][0]["code"], "stale-version");
    assert_eq!(data["dry"]["dryRun"]["events"][0]["type"], "order.confirmed");
    assert_eq!(data["dry"]["order"], Value::Null);
    assert_eq!(data["confirmOrder"]["version"], 3);
}

#[tokio::test]
async fn the_policy_decides_on_every_field_as_over_rest() {
    let shop = Shop::new();
    let (ada, grace) = (shop.user("ada@example.com").await, shop.user("g@example.com").await);
    let product = shop.product("1.00").await;
    let order = shop.order(&ada, &product).await;
    let confirm = "mutation ($id: ID!) { confirmOrder(orderId: $id) { errors { code } } }";
    let send = async |request: Request<Body>| shop.send(request).await;
    // Somebody else's order is as absent.
    let theirs = send(request(confirm, &json!({"id": order})).by(&grace)).await;
    let nothing = send(request(confirm, &json!({"id": Uuid::now_v7()})).by(&grace)).await;
    assert_eq!(data(&theirs), data(&nothing));
    assert_eq!(data(&theirs)["confirmOrder"]["errors"][0]["code"], "not-found");
    let anonymous = send(request(confirm, &json!({"id": order})).by_nobody()).await;
    assert_eq!(anonymous.body["data"]["confirmOrder"], Value::Null);
    assert_eq!(anonymous.body["errors"][0]["extensions"]["code"], "sign-in");
    let add = "mutation { addProduct(input: {name: \"cd\", unitPrice: \"1.00\", currency: \"USD\"})
        { product { id } } }";
    let refused = send(request(add, &json!({})).by(&ada)).await;
    assert_eq!(refused.body["errors"][0]["extensions"]["code"], "insufficient-scope");
    let who = || request("{ viewer { userId scope } }", &json!({}));
    let viewer = json!({"userId": ada, "scope": "products:read"});
    let narrow = send(who().by_holder_of(&ada, "products:read")).await;
    assert_eq!(data(&narrow)["viewer"], viewer);
    assert_eq!(data(&send(who().by_nobody()).await)["viewer"], Value::Null);
    let forged = send(request(add, &json!({})).with_token("x")).await;
    forged.problem(401, "invalid-token");
}

#[tokio::test]
async fn the_values_of_other_mutations_stay_when_one_fails() {
    let shop = Shop::new();
    let ada = shop.user("ada@example.com").await;
    let order = shop.order(&ada, &shop.product("1.00").await).await;
    let both = "mutation ($id: ID!) {
        before: confirmOrder(orderId: $id) { version }
        refused: addProduct(input: {name: \"cd\", unitPrice: \"1.00\", currency: \"USD\"}) {
            version
        }
        after: confirmOrder(orderId: $id) { errors { code } }
    }";
    let reply = shop.send(request(both, &json!({"id": order})).by(&ada)).await;
    let errors = json!([{"code": "order/not-pending"}]);
    let data = json!({"before": {"version": 2}, "refused": null, "after": {"errors": errors}});
    assert_eq!(reply.body["data"], data, "{:#}", reply.body);
    assert_eq!(reply.body["errors"].as_array().map(Vec::len), Some(1));
    assert_eq!(reply.body["errors"][0]["path"], json!(["refused"]));
}

#[test]
fn every_mutation_may_be_null_so_that_it_takes_no_other_with_it() {
    let sdl = command_api::graphql::sdl();
    let mutations = sdl.split_once("type Mutation").unwrap().1.split_once("\n}").unwrap().0;
    let values = mutations.lines().filter_map(|line| line.rsplit_once("): "));
    let values: Vec<&str> = values.map(|(_, value)| value).collect();
    assert!(!values.is_empty());
    for value in values {
        assert!(value.ends_with("Payload"), "{value}");
    }
}

#[tokio::test]
async fn what_is_no_request_or_costs_too_much_is_refused_before_anything_is_done() {
    let shop = Shop::new();
    let many = "a: createUser(input: {email: \"a@example.com\", name: \"A\"}) { version } ";
    let many: String =
        (0..21).map(|n| many.replacen("a:", &format!("a{n}:"), 1)).collect::<Vec<_>>().concat();
    for query in [
        format!("mutation {{ {many} }}"),
        "mutation { createUser".to_owned(),
        "{ nothing }".to_owned(),
        "mutation { createUser(input: {email: 7, name: \"A\"}) { version } }".to_owned(),
    ] {
        let reply = shop.send(request(&query, &json!({}))).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (400, ANSWER), "{query}");
        assert!(reply.body.get("data").is_none() && reply.body["errors"].is_array());
        assert!(reply.body["errors"][0]["extensions"]["code"].is_string(), "{:#}", reply.body);
    }
    let get = "/graphql?query=mutation%20%7BcancelOrder(orderId:%22x%22)%7Bversion%7D%7D";
    let by_get = shop.send(Request::get(get).body(Body::empty()).unwrap()).await;
    by_get.problem(405, "method-not-allowed");
    let query = "/graphql?query=%7Bviewer%7Bscope%7D%7D";
    let query = shop.send(Request::get(query).body(Body::empty()).unwrap()).await;
    assert!(query.body["data"]["viewer"]["scope"].is_string(), "{:#}", query.body);
    let form = request("{ viewer { scope } }", &json!({})).with("content-type", "text/plain");
    assert!(matches!(shop.send(form).await.status.as_u16(), 415));
    assert_eq!(shop.types().await, [""; 0]);
}

#[tokio::test]
async fn older_clients_get_200_for_what_is_not_executed_and_400_for_what_is_no_request() {
    let shop = Shop::new();
    let send = async |body: &str| {
        let request = Request::post("/graphql").header("content-type", "application/json");
        shop.send(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let deep = format!("{{a(b: {}{})}}", "[".repeat(100), "]".repeat(100));
    for (query, told) in [("{ nothing }", "nothing"), (&deep, "open brackets")] {
        let reply = send(&json!({"query": query}).to_string()).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), "application/json; charset=utf-8");
        assert!(reply.body.get("data").is_none(), "{:#}", reply.body);
        let message = reply.body["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(told), "{message}");
    }
    for body in ["", "[]", "{}", r#"{"query": 7}"#] {
        let reply = send(body).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.body["errors"][0]["message"].is_string());
    }
}

#[tokio::test]
async fn the_schema_is_a_subgraph_whose_entities_are_resolved_elsewhere() {
    let shop = Shop::new();
    let reply = shop.send(request("{ _service { sdl } }", &json!({}))).await;
    let sdl = data(&reply)["_service"]["sdl"].as_str().unwrap().to_owned();
    assert_eq!(sdl, command_api::graphql::sdl());
    for entity in ["User", "Product", "Order"] {
        let key = format!("type {entity} @key(fields: \"id\", resolvable: false)");
        assert!(sdl.contains(&key), "{key}");
    }
}
