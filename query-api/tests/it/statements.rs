//! How many statements an answer costs. Postgres itself counts them.

use crate::support::App;
use crate::support::described::{executed, lists, rows as single_rows};
use crate::support::rows::fill;

/// The number of statements that an answer costs.
async fn cost(app: &App, path: &str, status: u16) -> i64 {
    let count = async || executed(&app.pools.lookup).await + executed(&app.pools.scan).await;
    let before = count().await;
    let answer = app.get(path).await;
    assert_eq!(answer.status, status, "{path}: {}", answer.body);
    count().await - before
}

#[tokio::test]
async fn every_row_and_every_page_costs_one_statement_also_if_it_counts() {
    let app = App::silent(1).await;
    fill(&app, 200).await;
    for path in single_rows() {
        let list = path.replace("/{id}", "");
        let id = app.get(&list).await.ids().remove(0);
        assert_eq!(cost(&app, &path.replace("{id}", &id), 200).await, 1, "{path}");
        let unknown = path.replace("{id}", "019a0000-0000-7000-8000-000000000000");
        assert_eq!(cost(&app, &unknown, 404).await, 1, "{unknown}");
    }
    for list in lists().into_iter().filter(|list| !list.is_history()) {
        let path = list.real_path(&app).await;
        for query in ["page_size=7", "page=1&page_size=7", "page=2&page_size=7"] {
            let path = format!("{path}?{query}");
            assert_eq!(cost(&app, &path, 200).await, 1, "{path}");
        }
    }
}

#[tokio::test]
async fn the_orders_of_a_user_who_is_not_there_cost_one_statement_too() {
    let app = App::silent(1).await;
    let path = "/api/v1/users/019a0000-0000-7000-8000-000000000000/orders";
    assert_eq!(cost(&app, path, 404).await, 1);
}
