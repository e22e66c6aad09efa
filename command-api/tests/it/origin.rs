//! Tests of the origin of events. The log stores who acted, what caused the events and their trace,
//! for commands over HTTP and from a part of the system.

use access::{Caller, Principal};
use command_api::application::idempotency::{IdempotencyKey, KeyedRequest};
use command_api::application::input::InvalidValue;
use command_api::application::use_case::{ConfirmOrder, RegisterUserInput};
use command_api::application::{CommandError, Context};
use domain::value::{EmailError, NameError};
use local_servers::TestDatabase;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::postgres::{database, shop};
use crate::support::tokens::{ADMIN, CLIENT, SESSION};
use crate::support::{With, json_request};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The metadata of every event in the log's table, without the part that the store adds.
async fn stored(database: &TestDatabase) -> Vec<Value> {
    let pool = PgPool::connect(database.url()).await.unwrap();
    let metadata = "SELECT metadata::jsonb - 'append' FROM event_store.events ORDER BY position";
    let rows = sqlx::query_scalar(metadata).fetch_all(&pool).await.unwrap();
    pool.close().await;
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_request_name_its_caller_its_command_its_flow_and_its_trace() {
    let database = database().await;
    let shop = shop(&database).await;
    let flow = Uuid::from_u128(7).to_string();
    let request = |method, path: &str, body| {
        json_request(method, path, &body)
            .with("x-request-id", &flow)
            .with("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"))
    };
    let body = json!({"email": "ada@example.com", "name": "Ada"});
    let user = shop.send(request("POST", "/api/v1/users", body)).await.made();
    let body = json!({"email": "ada@example.org", "name": "Ada King"});
    shop.send(request("PATCH", &format!("/api/v1/users/{user}"), body)).await.ok();
    let metadata = stored(&database).await;
    assert_eq!(metadata.len(), 3, "{metadata:?}");
    for metadata in &metadata {
        assert_eq!(metadata["actor"], format!("user:{ADMIN}"));
        assert_eq!(metadata["credential_id"], json!(SESSION));
        assert_eq!(metadata["client_id"], CLIENT);
        assert_eq!(metadata["correlation_id"], *flow);
        let trace = metadata["traceparent"].as_str().unwrap();
        assert!(trace.starts_with(&format!("00-{TRACE}-")), "{trace}");
        let keys: Vec<_> = metadata.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "actor",
                "causation_id",
                "client_id",
                "correlation_id",
                "credential_id",
                "traceparent"
            ]
        );
    }
    let causes: Vec<_> =
        metadata.iter().map(|metadata| metadata["causation_id"].as_str().unwrap()).collect();
    assert_ne!(causes[0], causes[1], "each command is a separate cause");
    assert_eq!(causes[1], causes[2], "the events of one command have one cause");
    assert!(causes.iter().all(|cause| *cause != flow && cause.parse::<Uuid>().is_ok()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_the_system_runs_a_use_case_without_http() {
    let database = database().await;
    let application = shop(&database).await.application;
    let (flow, cause) = (Uuid::from_u128(7), Uuid::from_u128(8));
    let test = Caller::system(Principal::system("test").unwrap());
    let context = || Context::new(test.clone()).in_flow(flow).caused_by(cause);
    let ada = || RegisterUserInput {
        id: None,
        email: "ada@example.com".to_owned(),
        name: "Ada".to_owned(),
    };

    let wrong = RegisterUserInput { id: None, email: "ada".to_owned(), name: " ".to_owned() };
    let Err(CommandError::Invalid(invalid)) = application.run(wrong, context()).await else {
        panic!("both fields are wrong");
    };
    let fields: Vec<_> =
        invalid.fields().iter().map(|field| (field.at.to_string(), field.reason)).collect();
    let expected: [(String, InvalidValue); 2] = [
        ("email".to_owned(), EmailError::Malformed.into()),
        ("name".to_owned(), NameError::Empty.into()),
    ];
    assert_eq!(fields, expected);
    let absent = ConfirmOrder { order_id: Uuid::from_u128(9) };
    let refused = application.run(absent, context()).await.unwrap_err();
    assert!(refused.is_refusal(), "{refused:?}");

    let keyed = || {
        let key = IdempotencyKey::new("step 1 of saga 7").unwrap();
        Context { keyed: Some(KeyedRequest::new(key, &[b"register", b"ada"])), ..context() }
    };
    let first = application.run(ada(), keyed()).await.unwrap();
    let again = application.run(ada(), keyed()).await.unwrap();
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!(first.answer, again.answer);

    let stored = stored(&database).await;
    let expected = json!({
        "actor": "system:test",
        "causation_id": cause,
        "correlation_id": flow,
    });
    assert_eq!(stored, [expected]);
    let actor = stored[0]["actor"].as_str().unwrap();
    assert_eq!(actor.parse(), Ok(test.principal));
}
