//! The operations of a running projector, asked for as an operator's program does.

use local_servers::{test_client, until};
use serde_json::{Value, json};

use super::process::Process;

/// Where operations are.
pub(crate) const OPERATIONS: &str = "/admin/v1/operations";

/// The admin API of a process.
pub(crate) struct Admin {
    base: String,
    client: reqwest::Client,
}

impl Admin {
    /// Waits until the port answers.
    pub(crate) async fn of(process: &Process) -> Self {
        let (base, client) = (process.admin(), test_client());
        until("the admin port to answer", || async {
            client.get(format!("{base}/livez")).send().await.is_ok()
        })
        .await;
        Self { base, client }
    }

    /// Sends a body, and answers with the status, the `Location` and the body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Option<String>, Value) {
        let request = self.client.post(format!("{}{path}", self.base)).json(body);
        let answer = request.send().await.unwrap();
        let location = answer.headers().get("location");
        let location = location.map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location, answer.json().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Asks for an operation that is accepted, and answers with its path.
    pub(crate) async fn ask(&self, kind: &str, projection: &str, arguments: Value) -> String {
        let (status, location, body) =
            self.post(OPERATIONS, &asked(kind, projection, arguments)).await;
        assert_eq!(status, 202, "{body}");
        let location = location.unwrap();
        assert_eq!(location, format!("{OPERATIONS}/{}", body["data"]["id"].as_str().unwrap()));
        location
    }

    pub(crate) async fn operation(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{body}");
        body["data"].clone()
    }

    /// Waits until an operation is as wanted.
    pub(crate) async fn until(
        &self,
        what: &str,
        path: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        until(what, || async { wanted(&self.operation(path).await) }).await;
        self.operation(path).await
    }

    /// Waits until an operation has ended.
    pub(crate) async fn ended(&self, path: &str) -> Value {
        self.until("the operation's end", path, |found| !found["finished_at"].is_null()).await
    }
}

/// A request for an operation.
#[allow(clippy::needless_pass_by_value, reason = "reads better at every call")]
pub(crate) fn asked(kind: &str, projection: &str, arguments: Value) -> Value {
    json!({
        "kind": kind,
        "projection": projection,
        "by": "clerk-7",
        "reason": "a new index",
        "arguments": arguments,
    })
}
