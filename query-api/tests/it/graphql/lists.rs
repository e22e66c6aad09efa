//! Lists: their pages, filters and sorts, compared with the REST API, and arguments that are wrong.

use serde_json::{Value, json};

use super::{ask, data};
use crate::support::{App, UserSeed};

/// Follows the cursors of a list to its end, and returns the ids.
async fn walk(app: &App, list: &str, size: usize) -> Vec<String> {
    let query = format!(
        "query ($after: String) {{ list: {list} {{ edges {{ cursor node {{ id }} }} \
            pageInfo {{ hasNextPage hasPreviousPage endCursor }} }} }}"
    );
    let (mut ids, mut after) = (Vec::new(), Value::Null);
    loop {
        let answer = ask(app, &query, &json!({"after": after})).await;
        let page = &data(&answer)["list"];
        let edges = page["edges"].as_array().unwrap();
        assert!(edges.len() <= size);
        assert_eq!(page["pageInfo"]["hasPreviousPage"], json!(!ids.is_empty()));
        ids.extend(edges.iter().map(|edge| edge["node"]["id"].as_str().unwrap().to_owned()));
        assert_eq!(page["pageInfo"]["endCursor"], edges.last().unwrap()["cursor"]);
        if page["pageInfo"]["hasNextPage"] == false {
            return ids;
        }
        assert!(ids.len() < 1000, "{list} does not end");
        after = page["pageInfo"]["endCursor"].clone();
    }
}

#[tokio::test]
async fn lists_show_the_rows_of_the_rest_api_in_the_same_order_page_by_page() {
    let app = App::silent(2).await;
    let mut users = Vec::new();
    for number in 0..23 {
        users.push(app.add_user(&UserSeed::number(number)).await);
        app.add_product(number).await;
        app.add_order(users[0], if number % 2 == 0 { "pending" } else { "paid" }, number).await;
    }
    let of_user = format!("/api/v1/users/{}/orders?", users[0]);
    let page = "first: 5, after: $after";
    for (list, rest) in [
        (format!("users({page})"), "/api/v1/users?"),
        (format!("users({page}, sort: CREATED_AT_ASC)"), "/api/v1/users?sort=created_at"),
        (format!("users({page}, sort: ORDER_COUNT_DESC)"), "/api/v1/users?sort=-order_count"),
        (
            format!("users({page}, filter: {{email: \"USER-7@example.com\"}})"),
            "/api/v1/users?email=user-7@example.com",
        ),
        (
            format!("users({page}, filter: {{status: ACTIVE}}, sort: ORDER_COUNT_ASC)"),
            "/api/v1/users?status=active&sort=order_count",
        ),
        (format!("orders({page})"), "/api/v1/orders?"),
        (
            format!("orders({page}, filter: {{status: PAID}}, sort: CREATED_AT_ASC)"),
            "/api/v1/orders?status=paid&sort=created_at",
        ),
        (format!("orders({page}, filter: {{userId: \"{}\"}})", users[0]), &of_user),
        (format!("products({page})"), "/api/v1/products?"),
        (format!("products({page}, sort: NAME_ASC)"), "/api/v1/products?sort=name"),
        (
            format!("products({page}, filter: {{name: \"product 002\"}})"),
            "/api/v1/products?name=product%20002",
        ),
    ] {
        let expected = app.get(&format!("{rest}&page_size=100")).await.ids();
        assert!(!expected.is_empty(), "{rest}");
        assert_eq!(walk(&app, &list, 5).await, expected, "{list}");
    }
    for (arguments, rest) in [("", ""), (", status: PAID, sort: CREATED_AT_ASC", "&status=paid")] {
        let sort = if arguments.is_empty() { "" } else { "&sort=created_at" };
        let expected = app.get(&format!("{of_user}{rest}{sort}&page_size=100")).await.ids();
        let (mut found, mut after) = (Vec::new(), Value::Null);
        while found.len() < expected.len() {
            let query = format!(
                "query ($id: ID!, $after: String) {{ user(id: $id) {{ \
                    orders(first: 4, after: $after{arguments}) {{ edges {{ cursor node {{ id }} }} \
                    }} }} }}"
            );
            let answer = ask(&app, &query, &json!({"id": users[0], "after": after})).await;
            let edges = data(&answer)["user"]["orders"]["edges"].as_array().unwrap().clone();
            assert!(!edges.is_empty());
            found.extend(edges.iter().map(|edge| edge["node"]["id"].as_str().unwrap().to_owned()));
            after = edges.last().unwrap()["cursor"].clone();
        }
        assert_eq!(found, expected, "{arguments}");
    }
}

#[tokio::test]
async fn sales_are_filtered_and_sorted_as_over_rest() {
    let app = App::silent(1).await;
    for (day, currency, revenue) in
        [("2026-01-01", "USD", 100), ("2026-01-02", "USD", 250), ("2026-01-02", "EUR", 30)]
    {
        app.add_day(day, currency, revenue).await;
    }
    let query = "query ($filter: DailySalesFilter) {
        sales(filter: $filter) { nodes { day currency orders revenue { amount currency }
            refunded { amount } net { amount } paid { amount } paidBack { amount } } }
    }";
    let filter = json!({"filter": {"from": "2026-01-02", "to": "2026-01-02", "currency": "USD"}});
    let answer = ask(&app, query, &filter).await;
    let revenue = json!({"amount": "2.50", "currency": "USD"});
    let day = json!({"day": "2026-01-02", "currency": "USD", "orders": 1, "revenue": revenue,
        "refunded": {"amount": "0.15"}, "net": {"amount": "2.35"}, "paid": {"amount": "2.50"},
        "paidBack": {"amount": "1.15"}});
    assert_eq!(data(&answer)["sales"]["nodes"], json!([day]));
    let all = ask(&app, query, &json!({})).await;
    let days: Vec<_> = data(&all)["sales"]["nodes"].as_array().unwrap().iter().collect();
    let days: Vec<_> = days.iter().map(|row| (&row["day"], &row["currency"])).collect();
    let (first, second) = (json!("2026-01-01"), json!("2026-01-02"));
    let (usd, eur) = (json!("USD"), json!("EUR"));
    assert_eq!(days, [(&second, &usd), (&second, &eur), (&first, &usd)]);
}

/// The extensions of the only error of a field.
async fn refused(app: &App, field: &str) -> Value {
    let answer = ask(app, &format!("{{ {field} }}"), &json!({})).await;
    assert_eq!(answer.status, 200, "{field} {:#}", answer.body);
    answer.body["errors"][0]["extensions"].clone()
}

#[tokio::test]
async fn an_argument_that_is_wrong_is_named_with_the_code_of_the_rest_api() {
    let app = App::silent(1).await;
    for (field, code, path) in [
        ("users(first: 0) { nodes { id } }", "out-of-range", json!(["first"])),
        ("users(first: 101) { nodes { id } }", "out-of-range", json!(["first"])),
        ("users(first: -1) { nodes { id } }", "out-of-range", json!(["first"])),
        (
            "users(filter: {email: \"ada\"}) { nodes { id } }",
            "email/malformed",
            json!(["filter", "email"]),
        ),
        (
            "orders(filter: {userId: \"ada\"}) { nodes { id } }",
            "invalid",
            json!(["filter", "userId"]),
        ),
        (
            "sales(filter: {currency: \"ABC\"}) { nodes { day } }",
            "currency/unknown",
            json!(["filter", "currency"]),
        ),
        (
            "sales(filter: {from: \"2026-01-02\", to: \"2026-01-01\"}) { nodes { day } }",
            "contradicts-from",
            json!(["filter", "to"]),
        ),
    ] {
        let extensions = refused(&app, field).await;
        assert_eq!(extensions["status"], 422, "{field} {extensions:#}");
        assert_eq!(extensions["code"], "invalid-content", "{field}");
        let error = &extensions["errors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!(code), &path), "{field}");
    }
}

#[tokio::test]
async fn a_cursor_that_is_forged_or_of_another_list_is_refused() {
    let app = App::silent(1).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    app.add_user(&UserSeed::number(2)).await;
    let first = ask(&app, "{ users(first: 1) { pageInfo { endCursor } } }", &json!({})).await;
    let cursor = data(&first)["users"]["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
    let of_rest = app.get("/api/v1/users?page_size=1").await;
    let of_rest = of_rest.body["meta"]["page"]["next_cursor"].as_str().unwrap().to_owned();
    let (kept, last) = cursor.split_at(cursor.len() - 1);
    let forged = format!("{kept}{}", if last == "A" { "B" } else { "A" });
    let users = |arguments: String| format!("users({arguments}) {{ nodes {{ id }} }}");
    let next = users(format!("after: \"{cursor}\""));
    let next = ask(&app, &format!("{{ {next} }}"), &json!({})).await;
    assert_eq!(data(&next)["users"]["nodes"].as_array().unwrap().len(), 1, "{:#}", next.body);
    for field in [
        users(format!("after: \"{forged}\"")),
        users("after: \"\"".to_owned()),
        users(format!("after: \"{of_rest}\"")),
        users(format!("sort: CREATED_AT_ASC, after: \"{cursor}\"")),
        format!("user(id: \"{user}\") {{ orders(after: \"{cursor}\") {{ nodes {{ id }} }} }}"),
    ] {
        let extensions = refused(&app, &field).await;
        assert_eq!(extensions["code"], "cursor-invalid", "{field} {extensions:#}");
        assert_eq!(extensions["status"], 400, "{field}");
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_the_orders_of_one_user_with_one_filter_and_sort() {
    let app = App::silent(1).await;
    let mut users = Vec::new();
    for number in [1, 2] {
        let user = app.add_user(&UserSeed::number(number)).await;
        for order in [2 * number, 2 * number + 1] {
            app.add_order(user, "paid", order).await;
        }
        users.push(user);
    }
    let below = |user: usize, arguments: &str| {
        let id = users[user];
        format!(
            "user(id: \"{id}\") {{ orders(first: 1{arguments}) {{ nodes {{ id }} \
            pageInfo {{ endCursor }} }} }}"
        )
    };
    let all = |arguments: &str| {
        format!("orders(first: 1{arguments}) {{ nodes {{ id }} pageInfo {{ endCursor }} }}")
    };
    let cursor = async |field: String, place: &str| {
        let answer = ask(&app, &format!("{{ {field} }}"), &json!({})).await;
        let page = data(&answer).pointer(place).unwrap().clone();
        format!(", after: {}", page["pageInfo"]["endCursor"])
    };
    let of_user = cursor(below(0, ""), "/user/orders").await;
    let of_paid = cursor(all(", filter: {status: PAID}"), "/orders").await;
    // They lead to the next page of their own list.
    cursor(below(0, &of_user), "/user/orders").await;
    cursor(all(&format!(", filter: {{status: PAID}}{of_paid}")), "/orders").await;
    for field in [
        below(1, &of_user),
        below(0, &format!("{of_user}, status: PAID")),
        below(0, &format!("{of_user}, sort: CREATED_AT_ASC")),
        all(&of_user),
        all(&of_paid),
        all(&format!("{of_paid}, filter: {{status: PENDING}}")),
        all(&format!("{of_paid}, filter: {{status: PAID, userId: \"{}\"}}", users[0])),
    ] {
        let extensions = refused(&app, &field).await;
        assert_eq!(extensions["code"], "cursor-invalid", "{field} {extensions:#}");
    }
}

#[tokio::test]
async fn what_the_schema_does_not_have_is_refused_as_a_whole() {
    let app = App::silent(1).await;
    for invalid in [
        "{ sales(filter: {from: \"2026-02-30\"}) { nodes { day } } }",
        "{ sales(filter: {from: 7}) { nodes { day } } }",
        "{ users(filter: {mail: \"x\"}) { nodes { id } } }",
        "{ users(sort: NAME) { nodes { id } } }",
        "{ users(page: 1) { nodes { id } } }",
        "mutation { users { nodes { id } } }",
    ] {
        let answer = ask(&app, invalid, &json!({})).await;
        assert_eq!(answer.status, 400, "{invalid} {:#}", answer.body);
        assert!(answer.body.get("data").is_none(), "{:#}", answer.body);
    }
}
