//! Values that are parsed once and valid ever after.

pub mod email;
pub mod money;
pub mod name;
pub mod quantity;

pub use email::Email;
pub use money::{Currency, Money};
pub use name::{PersonName, ProductName};
pub use quantity::Quantity;
