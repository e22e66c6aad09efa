//! Overload: commands that are refused for want of room do not fill the log.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::{Cue, Shop, ShopOptions, Stage};

const COMMANDS: usize = 500;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn hundreds_of_commands_over_the_limit_are_a_line_or_two_in_the_log() {
    let (log, runtime) = (Log::default(), tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let work = async {
        let (stage, mut arrivals) = Stage::new();
        let shop = Shop::over(stage.clone(), ShopOptions { commands_at_once: 1, ..ShopOptions::default() });
        stage.cue(Cue::GoOn);
        let first = tokio::spawn({
            let shop = shop.clone();
            async move { shop.user("first@example.com").await }
        });
        arrivals.recv().await.unwrap();
        for number in 0..COMMANDS {
            let body = json!({"email": format!("ada-{number}@example.com"), "name": "Ada"});
            shop.post("/api/v1/users", body).await.problem(503, "overloaded");
        }
        stage.go();
        first.await.unwrap();
    };
    tracing::subscriber::with_default(subscriber, || runtime.block_on(work));
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("overloaded") || line.contains("ERROR")).collect();
    assert!((1..=4).contains(&lines.len()), "{lines:#?}");
}
