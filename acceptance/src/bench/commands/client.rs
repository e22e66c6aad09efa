//! A client with one connection, which costs the machine as little as possible: the load shares it
//! with the processes that are measured.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

use super::COMMAND_LIMIT;

/// A connection with the credentials of its user.
pub(in crate::bench) struct Client {
    connection: SendRequest<Full<Bytes>>,
    host: String,
    bearer: String,
}

impl Client {
    /// Connects to a process.
    pub(in crate::bench) async fn connect(
        address: SocketAddr,
        bearer: String,
    ) -> anyhow::Result<Self> {
        let stream = timeout(COMMAND_LIMIT, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with its sender. The sender reports what fails.
        tokio::spawn(async move { connection.await.ok() });
        Ok(Self { connection: sender, host: address.to_string(), bearer })
    }

    /// Sends a command and returns its answer, also a refusal.
    pub(in crate::bench) async fn answered(
        &mut self,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Response<Bytes>> {
        self.request(Method::POST, path, serde_json::to_vec(body)?.into()).await
    }

    async fn request(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Bytes>> {
        let mut request = Request::builder()
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, &self.bearer);
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let context = format!("{method} {}{path}", self.host);
        let request = request.method(method).body(Full::new(body))?;
        let answered = async {
            // The connection is free again only a moment after its last answer was read.
            self.connection.ready().await?;
            let (head, body) = self.connection.send_request(request).await?.into_parts();
            anyhow::Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
        };
        let answered = timeout(COMMAND_LIMIT, answered).await;
        let answered = answered.with_context(|| format!("{path} took too long"))?;
        answered.context(context)
    }

    /// Sends a query that succeeds, and returns the body of its answer.
    pub(in crate::bench) async fn get(&mut self, path: &str) -> anyhow::Result<Bytes> {
        successful(path, self.request(Method::GET, path, Bytes::new()).await?)
    }

    /// Sends a command that succeeds, and returns the body of its answer.
    pub(in crate::bench) async fn send(
        &mut self,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Bytes> {
        successful(path, self.answered(path, body).await?)
    }

    /// Sends a command that creates a resource, and returns the resource's id.
    pub(in crate::bench) async fn created(&mut self, path: &str, body: &Value) -> anyhow::Result<Uuid> {
        let answer: Value = serde_json::from_slice(&self.send(path, body).await?)?;
        let id = answer.pointer("/data/id").and_then(Value::as_str);
        id.with_context(|| format!("{path} answered {answer}"))?.parse().context("an id")
    }
}

fn successful(path: &str, answer: Response<Bytes>) -> anyhow::Result<Bytes> {
    let (head, bytes) = answer.into_parts();
    let status = head.status;
    ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&bytes));
    Ok(bytes)
}
