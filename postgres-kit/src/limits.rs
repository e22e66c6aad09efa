//! How many connections a process may have, how many of them stay open unused, and how long one
//! lives.

use std::time::Duration;

/// The limits of one pool, or of several pools together. They mean what Go's `SetMaxOpenConns`,
/// `SetMaxIdleConns`, `SetConnMaxLifetime` and `SetConnMaxIdleTime` mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// The maximum number of open connections, with that of [`Pool::past_the_queue`].
    ///
    /// [`Pool::past_the_queue`]: crate::Pool::past_the_queue
    pub most: u32,
    /// The maximum number of unused connections that stay open. One more is closed a second or two
    /// after its last call.
    pub idle: u32,
    /// The age at which a connection is replaced, after its current call. A new one finds a new
    /// server behind the same name.
    pub lifetime: Duration,
    /// An unused connection is closed after this time, at the latest after twice this time.
    pub idle_limit: Duration,
}

impl PoolLimits {
    /// The default limits of a process that writes.
    pub const WRITER: Self = Self::of(25, 10);
    /// The default limits of a process that answers queries.
    pub const READER: Self = Self::of(50, 20);
    /// The smallest number of connections of one pool: one for calls, and the extra one.
    pub const LEAST: u32 = 2;

    /// Limits with these numbers, a lifetime of an hour, and 15 minutes for unused connections.
    pub const fn of(most: u32, idle: u32) -> Self {
        let (lifetime, idle_limit) = (Duration::from_hours(1), Duration::from_mins(15));
        Self { most, idle, lifetime, idle_limit }
    }

    /// Divides these limits between pools, in proportion to their weights. Each pool gets at least
    /// [`Self::LEAST`] connections. Apart from that, the parts add up to the whole.
    #[must_use]
    pub fn divided<const N: usize>(self, weights: [u32; N]) -> [Self; N] {
        let most = portions(self.most, weights, Self::LEAST);
        let idle = portions(self.idle, weights, 0);
        std::array::from_fn(|part| Self {
            most: most[part],
            idle: idle[part].min(most[part]),
            ..self
        })
    }
}

/// Gives `least` to each part, and each further unit to the part that has the least for its weight.
fn portions<const N: usize>(whole: u32, weights: [u32; N], least: u32) -> [u32; N] {
    let mut parts = [least; N];
    let given = u32::try_from(N).unwrap_or(u32::MAX).saturating_mul(least);
    for _ in given..whole {
        // (a + 1) / v < (b + 1) / w, without fractions.
        let next = (0..N).min_by(|a, b| {
            let with_one = |part: usize, other: usize| {
                (u64::from(parts[part]) + 1) * u64::from(weights[other])
            };
            with_one(*a, *b).cmp(&with_one(*b, *a))
        });
        if let Some(next) = next {
            parts[next] += 1;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole_and_keep_their_proportions() {
        let numbers = |limits: [PoolLimits; 4]| limits.map(|part| (part.most, part.idle));
        let parts = PoolLimits::WRITER.divided([4, 3, 3, 2]);
        assert_eq!(numbers(parts), [(9, 4), (6, 3), (6, 2), (4, 1)]);
        for most in 8..60 {
            for idle in 0..=most {
                let parts = numbers(PoolLimits::of(most, idle).divided([4, 3, 3, 2]));
                assert_eq!(parts.iter().map(|(most, _)| most).sum::<u32>(), most);
                let idle_of_all = parts.iter().map(|(_, idle)| idle).sum::<u32>();
                assert!(idle_of_all <= idle, "{idle} of {most}: {parts:?}");
                assert!(
                    parts.iter().all(|(most, idle)| *most >= PoolLimits::LEAST && idle <= most)
                );
            }
        }
    }

    #[test]
    fn no_part_is_without_a_connection() {
        let parts = PoolLimits::of(3, 3).divided([1, 1, 1]);
        assert!(parts.iter().all(|part| part.most == PoolLimits::LEAST));
    }
}
