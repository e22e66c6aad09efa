//! Read your own writes: the consistency token in the `extensions` of a request. Over a web socket
//! there are no headers for each operation, so `consistencyToken` is there, and `wait`, the number
//! of seconds that `Prefer: wait=n` has in HTTP. Both count over HTTP, too.

use std::time::Duration;

use async_graphql::{Request as GraphqlRequest, Value};
use service_kit::consistency::{ConsistencyToken, TokenError, TokenKey};
use service_kit::{FieldError, Problem};

use crate::wait::{DEFAULT_WAIT, MAX_WAIT, Wait};

const TOKEN: &str = "consistencyToken";
const WAIT: &str = "wait";

/// What a request asks for in its `extensions`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Asked {
    token: Option<ConsistencyToken>,
    patience: Option<Duration>,
}

impl Asked {
    /// Reads the `extensions` of a request. Members other than these two are ignored.
    ///
    /// # Errors
    /// The token is not one of this system, or the time is not a number of seconds, or too long.
    pub(super) fn of(request: &GraphqlRequest, key: &TokenKey) -> Result<Self, Problem> {
        let given = |name| request.extensions.0.get(name).filter(|value| **value != Value::Null);
        let token = match given(TOKEN) {
            None => None,
            Some(Value::String(text)) => Some(ConsistencyToken::verify(text, key)?),
            Some(_) => return Err(TokenError::Invalid.into()),
        };
        let patience = given(WAIT).map(|wait| {
            let seconds = match wait {
                Value::Number(number) => number.as_u64(),
                _ => None,
            };
            let seconds = seconds.filter(|seconds| *seconds <= MAX_WAIT.as_secs());
            seconds.map(Duration::from_secs).ok_or_else(|| {
                let detail = format!("expected 0 to {} seconds", MAX_WAIT.as_secs());
                Problem::invalid(vec![FieldError::new("/extensions/wait", "out-of-range", detail)])
            })
        });
        Ok(Self { token, patience: patience.transpose()? })
    }

    /// The wait of a request whose headers and parameters ask for `header`. What these say about
    /// the time counts more.
    ///
    /// # Errors
    /// The two tokens are not the same.
    pub(super) fn or_header(self, header: Option<Wait>) -> Result<Option<Wait>, Problem> {
        let token = header.map(|header| header.token);
        let Some(wait) = self.or(token, "/extensions/consistencyToken", "contradicts-header")?
        else {
            return Ok(None);
        };
        let said = header.filter(|header| header.applied.is_some());
        Ok(Some(said.unwrap_or(wait)))
    }

    /// The wait of a subscription whose argument has this token.
    ///
    /// # Errors
    /// The argument is not a token of this system, or not the same as that of the request.
    pub(super) fn or_argument(
        self,
        argument: Option<&str>,
        key: &TokenKey,
    ) -> Result<Option<Wait>, Problem> {
        let token = argument.map(|text| ConsistencyToken::verify(text, key)).transpose()?;
        self.or(token, "/consistencyToken", "contradicts-extensions")
    }

    fn or(
        self,
        other: Option<ConsistencyToken>,
        pointer: &'static str,
        code: &'static str,
    ) -> Result<Option<Wait>, Problem> {
        if self.token.zip(other).is_some_and(|(one, other)| one != other) {
            let differs = FieldError::new(pointer, code, "there is another token");
            return Err(Problem::invalid(vec![differs]));
        }
        let patience = self.patience.unwrap_or(DEFAULT_WAIT);
        let wait = |token| Wait { token, patience, applied: None };
        Ok(self.token.or(other).map(wait))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use secrecy::SecretString;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn key() -> TokenKey {
        TokenKey::from_secret(&SecretString::from("A".repeat(44))).unwrap()
    }

    fn token(position: i64) -> ConsistencyToken {
        ConsistencyToken { epoch: Uuid::max(), position, event_id: Uuid::max() }
    }

    fn asked(extensions: &serde_json::Value) -> Result<Asked, Problem> {
        let mut request = GraphqlRequest::new("{ a }");
        for (name, value) in extensions.as_object().unwrap() {
            let value = Value::from_json(value.clone()).unwrap();
            request.extensions.0.insert(name.clone(), value);
        }
        Asked::of(&request, &key())
    }

    #[test]
    fn the_token_and_the_time_are_read_and_others_are_refused() {
        let text = token(7).sign(&key());
        let both = asked(&json!({"consistencyToken": text, "wait": 10, "x": [1]})).unwrap();
        let wait = both.or_header(None).unwrap().unwrap();
        assert_eq!((wait.token, wait.patience), (token(7), MAX_WAIT));
        for nothing in [json!({}), json!({"consistencyToken": null, "wait": null})] {
            assert_eq!(asked(&nothing).unwrap(), Asked::default());
        }
        for wrong in [json!("x"), json!(7), json!([text])] {
            let refused = asked(&json!({"consistencyToken": wrong})).unwrap_err();
            assert_eq!(refused.code(), "consistency-token-invalid", "{wrong}");
        }
        for wrong in [json!(11), json!(-1), json!(0.5), json!("5")] {
            let refused = asked(&json!({"consistencyToken": text, "wait": wrong})).unwrap_err();
            assert_eq!(refused.errors()[0].pointer, "/extensions/wait", "{wrong}");
        }
    }

    #[test]
    fn a_token_elsewhere_is_the_same_and_a_time_in_a_header_counts_more() {
        let text = token(7).sign(&key());
        let asked = asked(&json!({"consistencyToken": text, "wait": 3})).unwrap();
        let header = |position, applied: Option<u64>| {
            let patience = applied.map_or(DEFAULT_WAIT, Duration::from_secs);
            Some(Wait { token: token(position), patience, applied })
        };
        for (other, seconds) in [(header(7, None), 3), (header(7, Some(5)), 5), (None, 3)] {
            let wait = asked.or_header(other).unwrap().unwrap();
            assert_eq!(wait.patience, Duration::from_secs(seconds));
        }
        let refused = asked.or_header(header(8, None)).unwrap_err();
        assert_eq!(refused.errors()[0].code, "contradicts-header");
        let other = token(8).sign(&key());
        let refused = asked.or_argument(Some(&other), &key()).unwrap_err();
        assert_eq!(refused.errors()[0].pointer, "/consistencyToken");
        let wait = Asked::default().or_argument(Some(&other), &key()).unwrap().unwrap();
        assert_eq!((wait.token, wait.patience), (token(8), DEFAULT_WAIT));
    }
}
