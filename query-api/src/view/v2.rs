//! The form of rows in version 2 of the API, where it differs from version 1: money is an object.

pub(crate) mod customer;
pub(crate) mod money;
pub(crate) mod order;
pub(crate) mod product;
pub(crate) mod product_sales;
pub(crate) mod sales;
pub(crate) mod user;
