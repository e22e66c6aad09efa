//! The form in which clients see rows, in every representation.

pub(crate) mod audit;
pub(crate) mod customer;
pub(crate) mod funnel;
pub mod money;
pub(crate) mod order;
pub(crate) mod product;
pub(crate) mod product_sales;
pub(crate) mod sales;
pub(crate) mod search;
pub(crate) mod user;
