//! Value types that are checked once, when they are parsed. After that they are always valid.

pub mod customer_type;
pub mod destination;
pub mod email;
pub mod money;
pub mod name;
pub mod note;
pub mod quantity;
pub mod rate;
pub mod rate_class;
pub mod time;

pub use customer_type::CustomerType;
pub use destination::{Country, Destination, DestinationError, Region};
pub use email::{Email, EmailError};
pub use money::{Allocation, Currency, Money, MoneyError};
pub use name::{NameError, PersonName, ProductName};
pub use note::{Evidence, EvidenceError, Reason, ReasonError};
pub use quantity::{Quantity, QuantityError};
pub use rate::{Rate, RateError};
pub use rate_class::RateClass;
