//! The states of a circuit breaker.

/// The state of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All calls pass.
    Closed,
    /// A few calls pass, to probe the target.
    HalfOpen,
    /// All calls are refused, until it is time to probe the target.
    Open,
}

impl State {
    /// The state's name in reports and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}
