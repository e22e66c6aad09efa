//! Whether a call may have taken effect.

/// Whether a failed call took effect at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It surely took none.
    None,
    /// It may have. The caller looks it up, or repeats it with the same idempotency key.
    Unknown,
}
