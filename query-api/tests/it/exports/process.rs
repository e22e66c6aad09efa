//! Exports of the real process: its memory while a list is larger than that, and what a client
//! sees of an export that is cut off.

use local_servers::{test_client, until};

use crate::process::Process;
use crate::support::{App, tokens};

/// About 1.3 kB each.
const ROWS: u64 = 60_000;
/// How much the process may grow while it exports 80 MB.
const GROWTH_KIB: u64 = 24 * 1024;

async fn filled() -> App {
    let app = App::silent(1).await;
    let fill = "INSERT INTO products_g1.products (id, name, currency, unit_price_minor, \
            rate_class, stock, reserved, created_at, updated_at, version, position)
        SELECT md5(n::text)::uuid, repeat('product ', 125) || n, 'USD', 1, 'standard', 1, 0,
            now(), now(), 1, n
        FROM generate_series(1, $1) n";
    let rows = i64::try_from(ROWS).unwrap();
    sqlx::query(fill).bind(rows).execute(&app.writer).await.unwrap();
    sqlx::raw_sql("ANALYZE").execute(&app.writer).await.unwrap();
    app
}

async fn export(process: &Process, format: &str) -> reqwest::Response {
    let url = format!("{}/api/v1/products?format={format}", process.api);
    let response = test_client().get(url).bearer_auth(tokens::admin()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

/// Reads to the end: the number of bytes and lines, and whether the end came as it should.
async fn read(mut response: reqwest::Response) -> (u64, u64, bool) {
    let (mut bytes, mut lines) = (0, 0);
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return (bytes, lines, true),
            Err(_) => return (bytes, lines, false),
        };
        bytes += u64::try_from(chunk.len()).unwrap();
        lines += chunk.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
    }
}

#[tokio::test]
async fn an_export_takes_no_more_memory_than_a_few_pages_however_long_the_list_is() {
    let app = filled().await;
    let mut process = Process::start(&[("READ_MODEL_URL", app.database.url())]).await;
    process.ready().await;
    // What the first requests allocate for good is not what this is about.
    drop(export(&process, "csv").await);
    let before = process.peak_memory_kib();
    for format in ["ndjson", "csv"] {
        let (bytes, lines, is_whole) = read(export(&process, format).await).await;
        let expected = ROWS + u64::from(format == "csv");
        assert_eq!((lines, is_whole), (expected, true), "{format}");
        assert!(bytes > 60_000_000, "{format}: {bytes}");
        let grown = process.peak_memory_kib().saturating_sub(before);
        assert!(grown < GROWTH_KIB, "{format}: {grown} KiB for {bytes} bytes");
    }
    process.stop();
}

#[tokio::test]
async fn a_client_can_tell_an_export_that_was_cut_off_from_a_whole_one() {
    let app = filled().await;
    let settings = [("READ_MODEL_URL", app.database.url()), ("EXPORT_SECONDS", "1")];
    let mut process = Process::start(&settings).await;
    process.ready().await;
    let response = export(&process, "ndjson").await;
    let held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'query-api' AND state LIKE 'idle in transaction%'";
    until("the end of the export", async || {
        let held: i64 = sqlx::query_scalar(held).fetch_one(&app.writer).await.unwrap();
        held == 0
    })
    .await;
    let (_, lines, is_whole) = read(response).await;
    assert!(!is_whole && lines < ROWS, "{lines}");
    let (code, log) = process.stop();
    assert_eq!(code, Some(0), "{log}");
}
