//! Whether a row matches the filter of a list, as the statement of the list decides it.

use std::sync::Arc;

use super::hub::Matches;
use crate::read::order::OrderRow;
use crate::read::product::ProductRow;
use crate::read::user::UserRow;

/// Orders with this status.
pub(crate) fn orders(status: Option<String>) -> Option<Matches<OrderRow>> {
    let status = status?;
    Some(Arc::new(move |row: &OrderRow| row.status == status))
}

/// Users with this status and this address, which is in lower case.
pub(crate) fn users(status: Option<String>, email: Option<String>) -> Option<Matches<UserRow>> {
    if status.is_none() && email.is_none() {
        return None;
    }
    // As the statement compares them: without case, in ASCII alone.
    let has_email = |row: &UserRow, email: &String| {
        row.email.as_ref().is_some_and(|address| address.to_ascii_lowercase() == *email)
    };
    Some(Arc::new(move |row: &UserRow| {
        status.as_ref().is_none_or(|status| row.status == *status)
            && email.as_ref().is_none_or(|email| has_email(row, email))
    }))
}

/// Products with exactly this name.
pub(crate) fn products(name: Option<String>) -> Option<Matches<ProductRow>> {
    let name = name?;
    Some(Arc::new(move |row: &ProductRow| row.name == name))
}
