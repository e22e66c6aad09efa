//! `?as_of=`: asks for data as they were at an earlier moment.

use std::borrow::Cow;
use std::str::FromStr;

use service_kit::input::{Integer, Time};
use service_kit::{FieldError, Problem};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::Api;
use crate::read::past::AsOf;

/// The text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a position of the log, from 0, or a time of RFC 3339 such as 1997-01-12T00:00:00Z"
)]
pub struct InvalidAsOf;

impl FromStr for AsOf {
    type Err = InvalidAsOf;

    fn from_str(text: &str) -> Result<Self, InvalidAsOf> {
        if let Ok(position) = text.parse::<Integer>() {
            let position = Some(position.get()).filter(|position| *position >= 0);
            return position.map(Self::Position).ok_or(InvalidAsOf);
        }
        text.parse::<Time>().map(|time| Self::Time(time.get())).map_err(|_| InvalidAsOf)
    }
}

impl PartialSchema for AsOf {
    fn schema() -> RefOr<Schema> {
        let position = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .description(Some("A position of the log"))
            .minimum(Some(0));
        let moment = OneOfBuilder::new().item(position).item(Time::schema());
        moment.description(Some("A position of the log, or a time (RFC 3339)")).into()
    }
}

impl ToSchema for AsOf {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("AsOf")
    }
}

fn in_the_future(detail: String) -> Problem {
    Problem::invalid(vec![FieldError::new("/as_of", "in-the-future", detail)])
}

impl Api {
    /// Refuses a moment that is still to come. `position` is that of the answer.
    ///
    /// # Errors
    /// 422.
    pub(super) fn is_past(&self, as_of: AsOf, position: i64) -> Result<(), Problem> {
        match as_of {
            AsOf::Position(asked) if asked > position => {
                Err(in_the_future(format!("the data are complete up to position {position}")))
            }
            AsOf::Time(asked) if asked > self.clock.now() => {
                Err(in_the_future("the time is still to come".to_owned()))
            }
            AsOf::Position(_) | AsOf::Time(_) => Ok(()),
        }
    }
}

/// Refuses `as_of` in the query of something whose past is not kept.
///
/// # Errors
/// 422.
pub(super) fn refuse(query: &str) -> Result<(), Problem> {
    let is_asked = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "as_of");
    if is_asked { Err(not_kept()) } else { Ok(()) }
}

/// The answer where no past is kept.
pub(super) fn not_kept() -> Problem {
    let detail = "its past is not kept: one user, order or product by its id, and the sales of \
        each day can be asked for as of a moment";
    Problem::invalid(vec![FieldError::new("/as_of", "not-kept", detail)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_position_or_a_time() {
        let time = "1997-01-12T00:00:00Z";
        let parsed = time.parse::<Time>().map(|time| AsOf::Time(time.get()));
        assert_eq!(time.parse::<AsOf>().ok(), parsed.ok());
        assert_eq!("0".parse(), Ok(AsOf::Position(0)));
        assert_eq!("17".parse(), Ok(AsOf::Position(17)));
        for text in ["", "-1", "1.5", "yesterday", "1997-01-12", " 1"] {
            assert_eq!(text.parse::<AsOf>(), Err(InvalidAsOf), "{text:?}");
        }
    }
}
