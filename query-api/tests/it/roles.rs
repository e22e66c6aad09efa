//! Tests of the process's rights in the database: it may only read.

use postgres_kit::PoolLimits;
use query_api::database::Pools;
use secrecy::SecretString;

use crate::support::described::{lists, rows};
use crate::support::rows::fill;
use crate::support::{App, get, router};

#[tokio::test]
async fn every_endpoint_works_with_the_rights_of_a_reader_alone() {
    let app = App::silent(1).await;
    fill(&app, 20).await;
    let url = app.database.url_in_group("read_model_reader").await;
    let pools = Pools::new(&SecretString::from(url), PoolLimits::of(6, 6)).unwrap();
    let router = router(pools.clone(), app.watcher.clone());
    let mut paths = vec!["/api/v1/search?q=name".to_owned()];
    for list in lists() {
        paths.push(list.real_path(&app).await);
    }
    for path in rows() {
        let ids = app.get(path.trim_end_matches("/{id}")).await.ids();
        paths.push(path.replace("{id}", &ids[0]));
    }
    for path in paths {
        let answer = get(&router, &path, &[]).await;
        assert_eq!(answer.status, 200, "{path} {answer:?}");
    }
    for statement in [
        "UPDATE read_model.checkpoints SET position = 0",
        "UPDATE read_model.users SET name = 'x'",
        "DELETE FROM users_g1.users",
        "SET default_transaction_read_only = off; CREATE TABLE read_model.mine ()",
        "SET default_transaction_read_only = off; UPDATE read_model.checkpoints SET position = 0",
    ] {
        assert!(sqlx::raw_sql(statement).execute(&pools.lookup).await.is_err(), "{statement}");
    }
}
