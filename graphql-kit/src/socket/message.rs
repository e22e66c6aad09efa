//! The messages of the protocol.

use std::borrow::Cow;

use async_graphql::{Response, ServerError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// A message of a client.
#[derive(Debug)]
pub(super) enum ClientMessage<'m> {
    /// Who it is.
    Init(Option<Value>),
    /// A sign of life, to be answered.
    Ping(Option<&'m RawValue>),
    /// The answer to one.
    Pong,
    /// An operation to begin, with the text of its request.
    Subscribe { id: Cow<'m, str>, request: &'m str },
    /// An operation to end.
    Complete { id: Cow<'m, str> },
}

/// The members of all messages. Others are ignored.
#[derive(Deserialize)]
struct Members<'m> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'m, str>,
    #[serde(borrow)]
    id: Option<Cow<'m, str>>,
    #[serde(borrow)]
    payload: Option<&'m RawValue>,
}

/// A message to a client.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerMessage<'m> {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<&'m RawValue>,
    },
    Next {
        id: &'m str,
        payload: &'m Response,
    },
    Error {
        id: &'m str,
        payload: &'m [ServerError],
    },
    Complete {
        id: &'m str,
    },
}

impl<'m> ClientMessage<'m> {
    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(text: &'m str) -> Result<Self, String> {
        let Members { kind, id, payload } =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let id = id.ok_or("the message has no `id`");
        Ok(match kind.as_ref() {
            "connection_init" => {
                let payload = payload.map(|payload| serde_json::from_str(payload.get()));
                Self::Init(payload.transpose().map_err(|error| error.to_string())?)
            }
            "ping" => Self::Ping(payload),
            "pong" => Self::Pong,
            "subscribe" => {
                let request = payload.ok_or("the message has no `payload`")?.get();
                Self::Subscribe { id: id?, request }
            }
            "complete" => Self::Complete { id: id? },
            other => return Err(format!("there is no message of the type {other:?}")),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use async_graphql::Value as Answer;

    use super::*;

    #[test]
    fn a_message_is_read_as_the_protocol_has_it() {
        let read = |text| ClientMessage::read(text).unwrap();
        assert!(matches!(read(r#"{"type":"connection_init"}"#), ClientMessage::Init(None)));
        let init = read(r#"{"type": "connection_init", "payload": {"a": 1}}"#);
        assert!(matches!(init, ClientMessage::Init(Some(Value::Object(_)))));
        assert!(matches!(read(r#"{"type":"pong","payload":null}"#), ClientMessage::Pong));
        let subscribe = r#"{"id":"\u0031","type":"subscribe","payload":{"query":"{ a }"},"x":0}"#;
        let ClientMessage::Subscribe { id, request } = read(subscribe) else { unreachable!() };
        assert_eq!((id.as_ref(), request), ("1", r#"{"query":"{ a }"}"#));
        for text in [
            "",
            "7",
            "[]",
            "{}",
            r#"{"type": 7}"#,
            r#"{"type": "start", "id": "1", "payload": {}}"#,
            r#"{"type": "subscribe", "payload": {}}"#,
            r#"{"type": "subscribe", "id": "1"}"#,
            r#"{"type": "subscribe", "id": 1, "payload": {}}"#,
            r#"{"type": "complete"}"#,
            r#"{"type": "pong"} {}"#,
        ] {
            assert!(ClientMessage::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_message_is_written_as_the_protocol_has_it() {
        let payload = &Response::new(Answer::Null);
        let pong = ClientMessage::read(r#"{"type":"ping","payload":{"b":[1]}}"#).unwrap();
        let ClientMessage::Ping(echo) = pong else { unreachable!() };
        for (message, text) in [
            (ServerMessage::ConnectionAck, r#"{"type":"connection_ack"}"#),
            (ServerMessage::Pong { payload: echo }, r#"{"type":"pong","payload":{"b":[1]}}"#),
            (ServerMessage::Pong { payload: None }, r#"{"type":"pong"}"#),
            (
                ServerMessage::Next { id: "1", payload },
                r#"{"type":"next","id":"1","payload":{"data":null}}"#,
            ),
            (
                ServerMessage::Error { id: "1", payload: &[ServerError::new("no", None)] },
                r#"{"type":"error","id":"1","payload":[{"message":"no"}]}"#,
            ),
            (ServerMessage::Complete { id: "1" }, r#"{"type":"complete","id":"1"}"#),
        ] {
            assert_eq!(serde_json::to_string(&message).unwrap(), text);
        }
    }
}
