//! Value types that are checked once, when they are parsed. After that they are always valid.

pub mod address;
pub mod customer_type;
pub mod destination;
pub mod email;
pub mod language;
pub mod money;
pub mod name;
pub mod note;
pub mod phone;
pub mod quantity;
pub mod rate;
pub mod rate_class;
pub mod time;

pub use address::{AddressLine, PostalAddress, PostalCode, PostalCodeError};
pub use customer_type::{CustomerType, CustomerTypeError};
pub use destination::{Country, Destination, DestinationError, Region};
pub use email::{Email, EmailError};
pub use language::{Language, LanguageError, Locale};
pub use money::{Allocation, Currency, Money, MoneyError};
pub use name::{MAX_NAME_LEN, NameError, PersonName, ProductName};
pub use note::{Evidence, EvidenceError, Reason, ReasonError};
pub use phone::{Phone, PhoneError};
pub use quantity::{Quantity, QuantityError};
pub use rate::{Rate, RateError};
pub use rate_class::{RateClass, RateClassError};
