//! A moment, more exact than the times in a token.

/// The number of microseconds in a second.
const PER_SECOND: i64 = 1_000_000;

/// A moment: microseconds since 1970 in UTC. Times in claims are in seconds, and a type of its own
/// keeps the two apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// The last moment that there is.
    pub const MAX: Self = Self(i64::MAX);

    /// The moment after so many microseconds since 1970.
    pub const fn of_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The moment after so many seconds since 1970, at most [`Self::MAX`].
    pub const fn of_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(PER_SECOND))
    }

    /// The microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The whole seconds since 1970.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(PER_SECOND)
    }

    /// The moment one microsecond later.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The moment so many seconds later, or earlier if they are negative.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(PER_SECOND)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_microseconds_are_kept_apart() {
        assert_eq!(Moment::of_seconds(2), Moment::of_micros(2_000_000));
        assert_eq!((Moment::of_micros(-1).seconds(), Moment::of_micros(1).seconds()), (-1, 0));
        assert_eq!(Moment::of_seconds(2).next().micros(), 2_000_001);
        assert_eq!(Moment::of_seconds(2).plus_seconds(-3), Moment::of_seconds(-1));
        assert_eq!(Moment::of_seconds(i64::MAX).next(), Moment::MAX);
    }
}
