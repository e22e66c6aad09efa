//! The dates of a certificate, and its state at a time.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

/// The time before its end in which a certificate is due for renewal.
const RENEWAL: TimeDelta = TimeDelta::days(14);
/// A short-lived certificate is due for renewal in the last of this many equal parts of its life.
const RENEWAL_PART: i32 = 3;

/// The dates of a certificate. Both belong to the time in which it is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
}

/// The state of a certificate at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Clients do not accept it yet.
    Early,
    /// Clients accept it.
    Valid,
    /// Clients accept it. It is due for renewal.
    Late,
    /// Clients do not accept it any more.
    Expired,
}

impl Validity {
    /// Reads the dates of a certificate; `None` if it has none that can be read.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        let validity = parsed.validity();
        let [not_before, not_after] = [validity.not_before, validity.not_after]
            .map(|time| DateTime::from_timestamp(time.timestamp(), 0));
        Some(Self { not_before: not_before?, not_after: not_after? })
    }

    /// When it begins.
    pub(super) const fn not_before(self) -> DateTime<Utc> {
        self.not_before
    }

    /// When it ends.
    pub(super) const fn not_after(self) -> DateTime<Utc> {
        self.not_after
    }

    /// The state of the certificate at this time.
    pub(super) fn standing(self, now: DateTime<Utc>) -> Standing {
        let left = self.not_after.signed_duration_since(now);
        let life = self.not_after.signed_duration_since(self.not_before);
        if left < TimeDelta::zero() {
            Standing::Expired
        } else if now < self.not_before {
            Standing::Early
        } else if left < RENEWAL.min(life / RENEWAL_PART) {
            Standing::Late
        } else {
            Standing::Valid
        }
    }

    /// Whether clients are better served by this certificate than by the new one that would replace
    /// it: the new one is not valid, and this one is, or expired later.
    pub(super) fn is_better_than(self, new: Self, now: DateTime<Utc>) -> bool {
        match new.standing(now) {
            Standing::Expired => self.not_after > new.not_after,
            Standing::Early => matches!(self.standing(now), Standing::Valid | Standing::Late),
            Standing::Valid | Standing::Late => false,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Early => "it is not valid yet, so clients refuse it",
            Self::Valid => "it is valid",
            Self::Late => "it expires soon: renew it",
            Self::Expired => "it has expired, so clients refuse it: renew it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(number)
    }

    fn between(first: i64, last: i64) -> Validity {
        Validity { not_before: day(first), not_after: day(last) }
    }

    #[test]
    fn a_certificate_is_late_two_weeks_before_its_end_and_a_short_lived_one_in_its_last_third() {
        let second = TimeDelta::seconds(1);
        let ninety = between(10, 100);
        for (now, standing) in [
            (day(10) - second, Standing::Early),
            (day(10), Standing::Valid),
            (day(86), Standing::Valid),
            (day(86) + second, Standing::Late),
            (day(100), Standing::Late),
            (day(100) + second, Standing::Expired),
        ] {
            assert_eq!(ninety.standing(now), standing, "{now}");
        }
        let six = between(10, 16);
        assert_eq!(six.standing(day(14)), Standing::Valid);
        assert_eq!(six.standing(day(14) + second), Standing::Late);
    }

    #[test]
    fn the_one_in_use_stays_only_if_the_new_one_is_worse() {
        let now = day(50);
        let (expired, valid, early) = (between(10, 20), between(10, 51), between(60, 90));
        for (used, new, stays) in [
            (valid, expired, true),
            (valid, early, true),
            (valid, between(10, 50), false),
            (between(10, 21), expired, true),
            (expired, between(10, 21), false),
            (expired, expired, false),
            (expired, early, false),
            (early, valid, false),
        ] {
            assert_eq!(used.is_better_than(new, now), stays, "{used:?} {new:?}");
        }
    }
}
