//! A client that is cut off after its call and before the protocol's Sync. It must block nobody.

use std::time::Duration;

use event_store::{EventStore, PostgresStore, StoreError};
use local_servers::in_time;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{appended, check_dense, connect, database, one, options};

/// A client that speaks just enough of the protocol to omit the Sync.
struct Frontend(TcpStream);

impl Frontend {
    async fn connect(url: &str) -> Self {
        let (user, rest) = url.trim_start_matches("postgres://").split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let mut stream = TcpStream::connect(server).await.unwrap();
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        for text in ["user", user, "database", database, "search_path", "pg_catalog, pg_temp", ""] {
            body.extend(text.as_bytes());
            body.push(0);
        }
        stream
            .write_all(
                &[&u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body.as_slice()].concat(),
            )
            .await
            .unwrap();
        let mut frontend = Self(stream);
        in_time("the server's greeting", frontend.read_until(b'Z')).await;
        frontend
    }

    /// Sends Parse, Bind, Execute and Flush, but no Sync; waits for the statement's end.
    async fn execute_without_sync(&mut self, statement: &str) {
        let mut bytes = Vec::new();
        message(&mut bytes, b'P', &[b"\0", statement.as_bytes(), b"\0\0\0"].concat());
        message(&mut bytes, b'B', b"\0\0\0\0\0\0\0\0");
        message(&mut bytes, b'E', b"\0\0\0\0\0");
        message(&mut bytes, b'H', b"");
        self.0.write_all(&bytes).await.unwrap();
        in_time("the statement's end", self.read_until(b'C')).await;
    }

    async fn read_until(&mut self, kind: u8) {
        loop {
            let mut head = [0; 5];
            self.0.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes(head[1..].try_into().unwrap()) - 4;
            let mut body = vec![0; length as usize];
            self.0.read_exact(&mut body).await.unwrap();
            assert_ne!(head[0], b'E', "{}", String::from_utf8_lossy(&body));
            if head[0] == kind {
                return;
            }
        }
    }
}

fn message(bytes: &mut Vec<u8>, kind: u8, body: &[u8]) {
    bytes.push(kind);
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
}

/// The arguments for one event: of the general function and of the plain one.
const ARGUMENTS: [(&str, &str); 2] = [
    (
        "append",
        "ARRAY[gen_random_uuid()], NULL, '{1}', NULL, NULL, NULL, '{thing-x}', '{1}', '{1}', \
            '{-1}', NULL, '{1}', '{1}', '{1}', '{1}',
         ARRAY[gen_random_uuid()], '{thing.made}', '{1}', ARRAY['{}'], \
         ARRAY['{\"correlation_id\":\"00000000-0000-0000-0000-000000000000\"}'], '{\"\"}',
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
    ),
    (
        "append_plain",
        "NULL, NULL, NULL, NULL, '{thing-x}', '{-1}', NULL, ARRAY[gen_random_uuid()], \
            '{thing.made}', '{1}', ARRAY['{}'],
         ARRAY['{\"correlation_id\":\"00000000-0000-0000-0000-000000000000\"}'], '{\"\"}'",
    ),
];

async fn impatient(url: &str) -> PostgresStore {
    PostgresStore::connect(options(url).append_deadline(Duration::from_millis(1_500)))
        .await
        .unwrap()
}

#[tokio::test]
async fn nobody_waits_for_a_client_that_withholds_its_sync() {
    for (name, arguments) in ARGUMENTS {
        let database = database().await;
        let mut cut_off = Frontend::connect(database.url()).await;
        let nulls = ["NULL"; 9].join(", ");
        cut_off
            .execute_without_sync(&format!("CALL event_store.{name}({arguments}, {nulls})"))
            .await;
        let store = connect(database.url()).await;
        appended(store.append(one("a")).await.unwrap());
        assert_eq!(check_dense(&store).await.0, 2, "{name}");
    }
}

#[tokio::test]
async fn the_test_would_notice_a_call_that_holds_its_lock_until_the_sync() {
    for (name, arguments) in ARGUMENTS {
        let database = database().await;
        let store = impatient(database.url()).await;
        appended(store.append(one("a")).await.unwrap());
        let mut cut_off = Frontend::connect(database.url()).await;
        cut_off
            .execute_without_sync(&format!("SELECT event_store.{name}_batch({arguments})"))
            .await;
        // Its call waits for the lock until the deadline.
        let waited = store.append(one("a")).await;
        assert!(matches!(waited, Err(StoreError::OutcomeUnknown(_))), "{name}: {waited:?}");
    }
}
