//! Tests of the values of every described parameter. Only its format is accepted, and nothing that
//! a column cannot store.

use form_urlencoded::byte_serialize;
use serde_json::Value;

use crate::support::described::documents;
use crate::support::{Answer, App, UserSeed};

const ID: &str = "019a0000-0000-7000-8000-00000000000a";

/// Values at and beyond the bounds of a format, and in forms that libraries treat as the same.
const EXTREMES: &[&str] = &[
    "",
    " ",
    "\u{0}",
    "null",
    "NaN",
    "infinity",
    "-infinity",
    "-1",
    "0",
    "01",
    "+1",
    "1.0",
    "1.5",
    "1e400",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999999999",
    "-4714-01-01",
    "-4713-11-24",
    "0000-01-01",
    "0001-01-01",
    "9999-12-31",
    "10000-01-01",
    "+262142-12-31",
    "5874898-01-01",
    "2026-02-30",
    "2026-1-1",
    "1998-12-31T23:59:60Z",
    "019A0000-0000-7000-8000-00000000000A",
    "019a000000007000800000000000000a",
    "urn:uuid:019a0000-0000-7000-8000-00000000000a",
    "{019a0000-0000-7000-8000-00000000000a}",
    "USD",
    "usd",
    "XXX",
    "\u{fffd}",
    "\u{202e}",
    "\u{10ffff}",
    "'; DROP TABLE users; --",
    "\\x00",
    "%00",
];

/// Rust words that must not reach clients.
const RUST: &[&str] = &[
    "i64",
    "u64",
    "u32",
    "i32",
    "usize",
    "struct",
    "enum",
    "variant",
    "Option",
    "String",
    "NaiveDate",
    "DateTime",
    "Uuid",
    "sequence",
    "invalid digit",
    "premature end",
    "trailing input",
    "out of range integral",
];

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// Every query parameter, with its path, its name and its schema.
fn parameters() -> Vec<(String, String, Value)> {
    let documents = documents();
    let mut found = Vec::new();
    let paths = documents.iter().flat_map(|document| document["paths"].as_object().unwrap());
    for (path, item) in paths {
        for parameter in item["get"]["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] == "query" {
                let name = parameter["name"].as_str().unwrap().to_owned();
                found.push((path.replace("{id}", ID), name, parameter["schema"].clone()));
            }
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

fn assert_pointed_at(answer: &Answer, name: &str, path: &str) {
    let error = &answer.body["errors"][0];
    assert_eq!(error["pointer"], format!("/{name}"), "{path} {:#}", answer.body);
    let detail = error["detail"].as_str().unwrap();
    let words: Vec<&&str> = RUST.iter().filter(|word| detail.contains(**word)).collect();
    assert!(words.is_empty(), "{path}: {detail:?} speaks of {words:?}");
}

#[tokio::test]
async fn no_value_of_any_parameter_is_let_in_that_a_column_cannot_hold() {
    let app = App::start().await;
    app.add_user(&UserSeed { id: ID.parse().unwrap(), ..UserSeed::number(1) }).await;
    let long = "x".repeat(8_000);
    for (path, name, _) in parameters() {
        for value in EXTREMES.iter().copied().chain([long.as_str()]) {
            let asked = format!("{path}?{name}={}", encoded(value));
            let answer = app.get(&asked).await;
            match answer.status.as_u16() {
                200 | 404 => {}
                400 => assert!(
                    ["cursor", "consistency_token"].contains(&name.as_str()),
                    "{asked} {answer:?}"
                ),
                422 => {
                    assert_eq!(
                        answer.body["code"], "invalid-content",
                        "{asked}: the database refused it, not its reader"
                    );
                    assert_pointed_at(&answer, &name, &asked);
                }
                _ => panic!("{asked} {answer:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_id_in_a_path_has_one_form() {
    let app = App::start().await;
    app.add_user(&UserSeed { id: ID.parse().unwrap(), ..UserSeed::number(1) }).await;
    assert_eq!(app.get(&format!("/api/v1/users/{ID}")).await.status, 200);
    for other in EXTREMES.iter().filter(|value| !value.is_empty()) {
        assert_eq!(
            app.get(&format!("/api/v1/users/{}", encoded(other))).await.status,
            404,
            "{other}"
        );
        assert_eq!(
            app.get(&format!("/api/v1/users/{}/orders", encoded(other))).await.status,
            404,
            "{other}"
        );
    }
    assert_eq!(
        app.get(&format!("/api/v1/users/%30{}", &ID[1..])).await.status,
        404,
        "an escape is another address"
    );
}

#[tokio::test]
async fn a_parameter_takes_what_its_published_schema_admits() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed { id: ID.parse().unwrap(), ..UserSeed::number(1) }).await;
    app.add_order(user, "confirmed", 1).await;
    app.add_product(1).await;
    for update in [
        "UPDATE orders_g1.orders SET id = $1::uuid",
        "UPDATE products_g1.products SET id = $1::uuid",
    ] {
        sqlx::query(update).bind(ID).execute(&app.writer).await.unwrap();
    }
    for (path, name, schema) in parameters() {
        let (good, bad): (&[&str], &[&str]) =
            match (schema["type"].as_str(), schema["format"].as_str()) {
                (Some("integer"), _) => {
                    (&["1", "1.0", "1e0"], &["01", "+1", " 1", "1.5", "0x1", "one", ""])
                }
                (_, Some("uuid")) => (
                    &[ID],
                    &[
                        "019A0000-0000-7000-8000-00000000000A",
                        "{019a0000-0000-7000-8000-00000000000a}",
                        "17",
                    ],
                ),
                (_, Some("date")) => (
                    &["2026-01-01", "0001-01-01", "9999-12-31"],
                    &["2026 - 01 - 01", "2026-1-1", "20260101", "2026-02-29"],
                ),
                (_, Some("email")) => {
                    (&["ada@example.com", "ADA@EXAMPLE.COM"], &["ada", "a@b@c", "' OR 1=1 --"])
                }
                _ if name == "currency" => (&["USD", "DEM"], &["usd", "XXX", "ABC", ""]),
                _ => (&[], &[]),
            };
        let is_known = ["uuid", "date"].iter().all(|format| schema["format"] != *format)
            || schema["pattern"].is_string();
        assert!(is_known, "{path} {name} is read by another reader than the strict one: {schema}");
        for value in good {
            let asked = format!("{path}?{name}={}", encoded(value));
            assert_eq!(app.get(&asked).await.status, 200, "{asked}");
        }
        for value in bad {
            let asked = format!("{path}?{name}={}", encoded(value));
            let answer = app.get(&asked).await;
            assert_eq!(answer.status, 422, "{asked}");
            assert_pointed_at(&answer, &name, &asked);
        }
    }
}

#[tokio::test]
async fn a_filter_that_contradicts_itself_is_refused_as_an_unknown_one_is() {
    let app = App::start().await;
    for (query, pointer, code) in [
        ("from=2026-01-02&to=2026-01-01", "/to", "contradicts-from"),
        ("currency=ABC", "/currency", "currency/unknown"),
        ("currency=usd", "/currency", "currency/unknown"),
    ] {
        let answer = app.get(&format!("/api/v1/sales/daily?{query}")).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["errors"][0]["code"]),
            (422, &code.into()),
            "{query}"
        );
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{query}");
    }
    let both = app.get("/api/v1/sales/daily?from=2026-01-02&to=2026-01-01&currency=ABC").await;
    assert_eq!(both.body["errors"].as_array().unwrap().len(), 2, "all errors are reported at once");
    for query in ["from=2026-01-02&to=2026-01-02", "currency=BGN", "to=0001-01-01"] {
        assert_eq!(app.get(&format!("/api/v1/sales/daily?{query}")).await.status, 200, "{query}");
    }
    let malformed = app.get("/api/v1/users?email=ada").await;
    assert_eq!(
        (malformed.status.as_u16(), &malformed.body["errors"][0]["code"]),
        (422, &"email/malformed".into())
    );
}

#[tokio::test]
async fn letters_of_any_case_are_one_address_as_they_are_when_a_user_registers() {
    let app = App::start().await;
    let user = app
        .add_user(&UserSeed { email: Some("Ada.L@Example.com".to_owned()), ..UserSeed::number(1) })
        .await;
    app.add_user(&UserSeed::number(2)).await;
    for address in ["Ada.L@Example.com", "ada.l@example.com", "ADA.L@EXAMPLE.COM"] {
        let path = format!("/api/v1/users?email={}", encoded(address));
        assert_eq!(app.get(&path).await.ids(), [user.to_string()], "{address}");
        assert_eq!(app.get(&format!("{path}&page=1")).await.body["meta"]["page"]["total_items"], 1);
        for sort in ["created_at", "order_count", "-order_count"] {
            assert_eq!(
                app.get(&format!("{path}&sort={sort}")).await.ids(),
                [user.to_string()],
                "{address} {sort}"
            );
        }
    }
}
