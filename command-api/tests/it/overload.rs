//! Tests of overload: refused commands must not fill the log.

use local_servers::Written;
use serde_json::json;

use crate::support::{Cue, Shop, ShopOptions, Stage};

const COMMANDS: usize = 500;

#[test]
fn hundreds_of_commands_over_the_limit_are_a_line_or_two_in_the_log() {
    let (log, runtime) = (
        Written::default(),
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
    );
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let work = async {
        let (stage, mut arrivals) = Stage::new();
        let shop = Shop::over(
            stage.clone(),
            ShopOptions { commands_at_once: 1, ..ShopOptions::default() },
        );
        stage.cue(Cue::GoOn);
        let first = tokio::spawn({
            let shop = shop.clone();
            async move { shop.user("first@example.com").await }
        });
        arrivals.next().await;
        for number in 0..COMMANDS {
            let body = json!({"email": format!("ada-{number}@example.com"), "name": "Ada"});
            shop.post("/api/v1/users", body).await.problem(503, "overloaded");
        }
        stage.go();
        first.await.unwrap();
    };
    tracing::subscriber::with_default(subscriber, || runtime.block_on(work));
    let text = log.text();
    let lines: Vec<_> =
        text.lines().filter(|line| line.contains("overloaded") || line.contains("ERROR")).collect();
    assert!((1..=4).contains(&lines.len()), "{lines:#?}");
}
