//! The reasons for which a user refuses a command.

/// Why a user refuses a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The user does not exist.
    #[error("there is no such user")]
    Unknown,
    /// A user with this id exists already.
    #[error("the user is registered already")]
    AlreadyRegistered,
    /// The user is deactivated, and can neither change nor order.
    #[error("the user is deactivated")]
    Deactivated,
    /// The user is active, so there is nothing to reactivate.
    #[error("the user is active")]
    Active,
    /// The user's e-mail address was erased, so nobody can be reached under it.
    #[error("the e-mail address of the user is erased")]
    Erased,
    /// The user has no address with this id.
    #[error("the user has no such address")]
    UnknownAddress,
    /// The user has an address with this id already.
    #[error("the user has an address with this id already")]
    AddressExists,
    /// The user has as many addresses as a user may have.
    #[error("a user has at most {} addresses", super::MAX_ADDRESSES)]
    TooManyAddresses,
}
