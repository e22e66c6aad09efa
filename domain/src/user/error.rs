//! Why a user says no.

/// Why a user says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// There is no such user.
    #[error("there is no such user")]
    Unknown,
    /// The id is taken.
    #[error("the user is registered already")]
    AlreadyRegistered,
    /// A deactivated user neither changes nor orders.
    #[error("the user is deactivated")]
    Deactivated,
}
