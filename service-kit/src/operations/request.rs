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
    by: String,
}

impl CancelBody {
    /// Returns who cancels the operation. `check` adds an error for a text that is not fit.
    ///
    /// # Errors
    /// 422 with the errors of `check`.
    pub fn who(self, check: impl FnOnce(&str, &mut Vec<FieldError>)) -> Result<String, Problem> {
        let mut wrong = Vec::new();
        check(&self.by, &mut wrong);
        if wrong.is_empty() { Ok(self.by) } else { Err(Problem::invalid(wrong)) }
    }
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
