//! The parts of requests that every API of operations reads in the same way.

use serde::Deserialize;
use uuid::Uuid;

use crate::input::{Id, Integer, Text};
use crate::{FieldError, Problem};

/// The default number of operations in a list.
const PAGE: u32 = 20;
/// The maximum number of operations in a list.
pub const MAX_PAGE: u32 = 100;

/// The body of a request to cancel an operation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {
    /// Who cancels the operation, if no access token says it.
    #[serde(default)]
    pub by: Option<String>,
}

/// The query of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    before: Option<Id>,
    limit: Option<Text<Integer>>,
}

impl ListQuery {
    /// Returns the id before which the list begins, and the maximum number of operations.
    ///
    /// # Errors
    /// 422 for a limit that is not 1 to [`MAX_PAGE`].
    pub fn page(self) -> Result<(Option<Uuid>, u32), Problem> {
        let limit = match self.limit.map(|limit| u32::try_from(limit.0.get())) {
            None => PAGE,
            Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
            Some(_) => {
                let text = format!("1 to {MAX_PAGE} are possible");
                let wrong = FieldError::new("/limit", "out-of-range", text);
                return Err(Problem::invalid(vec![wrong]));
            }
        };
        Ok((self.before.map(Id::get), limit))
    }
}
