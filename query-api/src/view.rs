//! What clients see of rows, whoever shows it to them.

pub mod money;
