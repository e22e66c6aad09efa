//! Value types that are checked once, when they are parsed. After that they are always valid.

pub mod email;
pub mod money;
pub mod name;
pub mod quantity;
pub mod time;

pub use email::{Email, EmailError};
pub use money::{Allocation, Currency, Money, MoneyError};
pub use name::{NameError, PersonName, ProductName};
pub use quantity::{Quantity, QuantityError};
