//! What clients see of rows, whoever shows it to them.

pub mod money;
pub(crate) mod order;
pub(crate) mod product;
pub(crate) mod sales;
pub(crate) mod user;
