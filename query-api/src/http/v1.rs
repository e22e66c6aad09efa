//! Version 1: one file per subject, with its filters, bodies and thin handlers.

pub(super) mod order;
pub(super) mod product;
pub(super) mod sales;
pub(super) mod user;
