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
}
