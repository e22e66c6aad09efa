//! Limits how often somebody may try to log in: by account and by network address, in bounded
//! memory, and without locking a victim out.
//!
//! A limit is a fixed table of cells, each the state of one token bucket (GCRA). A key is hashed
//! to a cell with a secret of this process. Keys of the same cell share its budget, which is rare
//! and cannot be brought about from outside. A library with an entry per key was not taken: its
//! memory grows with the keys that an attacker makes up, and evicting entries would let an
//! attacker flush them.
//!
//! An attempt that is refused by the budget of its address takes nothing, and a right password
//! gives back what it took. So only guesses count.
//!
//! Guesses at an account from all addresses share a budget. When it is used up, the right password
//! counts only from an address from which the account was used before: its owner still gets in
//! there. Every other attempt is refused as throttled, after the same work and at the same cost,
//! whether it comes from such an address or not, and whether there is such an account or not. So
//! nobody learns by guessing from where an account is used.
//!
//! The same limits count for every other place that takes a present password. Mails that somebody
//! asks for have a budget for each recipient and kind, so that mails of one kind keep nobody from
//! those of another. A request that is refused or fails takes nothing from it.
//!
//! Each process counts for itself.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::proof::Purpose;

/// The number of cells of each limit: 512 KiB.
const CELLS: usize = 1 << 16;
/// Guesses from one address: how many at once, and the time until another is allowed.
const PER_ADDRESS: (u32, Duration) = (50, Duration::from_secs(2));
/// Guesses at one account from one address.
const PER_PAIR: (u32, Duration) = (5, Duration::from_secs(30));
/// Guesses at one account from all addresses.
const PER_ACCOUNT: (u32, Duration) = (20, Duration::from_secs(30));

/// Mails of one kind to one recipient, and mails that one address asks for.
const MAILS_TO_ONE: (u32, Duration) = (3, Duration::from_mins(20));
const MAILS_FROM_ONE: (u32, Duration) = (20, Duration::from_mins(3));

/// The account in these limits: the hash of its e-mail address. It need not exist.
pub type AccountKey = [u8; 32];

/// Limits one thing per key.
pub struct Throttle {
    cells: Box<[AtomicU64]>,
    hasher: RandomState,
    since: Instant,
    /// Microseconds until one more is allowed.
    every: u64,
    /// Microseconds by which a cell may be ahead of the time.
    tolerance: u64,
}

impl Throttle {
    /// Allows `burst` at once, and then one per `every`, per key.
    pub fn new(burst: u32, every: Duration) -> Self {
        let every = u64::try_from(every.as_micros()).unwrap_or(u64::MAX).max(1);
        Self {
            cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            since: Instant::now(),
            every,
            tolerance: every.saturating_mul(burst.max(1).saturating_sub(1).into()),
        }
    }

    /// Takes one.
    ///
    /// # Errors
    /// The time after which the next one is allowed. Nothing was taken.
    pub fn take(&self, key: impl Hash, now: Instant) -> Result<(), Duration> {
        let now = self.micros(now);
        let step = |next: u64| {
            let next = next.max(now);
            (next - now <= self.tolerance).then(|| next.saturating_add(self.every))
        };
        let taken = self.cell(key).fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        taken.map(drop).map_err(|next| Duration::from_micros(next - now - self.tolerance))
    }

    /// Gives back what was taken.
    pub fn give_back(&self, key: impl Hash) {
        let step = |next: u64| Some(next.saturating_sub(self.every));
        // It always succeeds, because the step always has a result.
        let _ = self.cell(key).fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }

    fn cell(&self, key: impl Hash) -> &AtomicU64 {
        // The remainder is below the number of cells.
        let at = self.hasher.hash_one(key) % (CELLS as u64);
        &self.cells[usize::try_from(at).unwrap_or_default()]
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.since).as_micros()).unwrap_or(u64::MAX)
    }
}

/// Limits the attempts to log in.
pub struct LogInThrottle {
    address: Throttle,
    pair: Throttle,
    account: Throttle,
    mails_to: Throttle,
    mails_from: Throttle,
}

/// One attempt that was allowed.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    address: Option<IpAddr>,
    account: AccountKey,
    /// Whether it took from the budget that all addresses share.
    is_shared: bool,
    /// The time until that budget allows another attempt, if it is used up.
    used_up: Option<Duration>,
}

impl Attempt {
    /// The time until the account's budget allows another attempt, if it is used up. The right
    /// password then counts only from an address from which the account was used before.
    pub const fn used_up(&self) -> Option<Duration> {
        self.used_up
    }
}

/// A mail that was allowed.
#[derive(Debug, Clone, Copy)]
pub struct AllowedMail {
    address: Option<IpAddr>,
    recipient: (Purpose, AccountKey),
}

impl Default for LogInThrottle {
    fn default() -> Self {
        let limit = |(burst, every)| Throttle::new(burst, every);
        Self {
            address: limit(PER_ADDRESS),
            pair: limit(PER_PAIR),
            account: limit(PER_ACCOUNT),
            mails_to: limit(MAILS_TO_ONE),
            mails_from: limit(MAILS_FROM_ONE),
        }
    }
}

impl LogInThrottle {
    /// Counts an attempt from an address (for IPv6: a network) at an account.
    ///
    /// # Errors
    /// The time after which another attempt is allowed.
    pub fn begin(
        &self,
        address: Option<IpAddr>,
        account: AccountKey,
        now: Instant,
    ) -> Result<Attempt, Duration> {
        self.address.take(address, now)?;
        if let Err(wait) = self.pair.take((address, account), now) {
            self.address.give_back(address);
            return Err(wait);
        }
        Ok(Attempt { address, account, is_shared: false, used_up: None })
    }

    /// Counts the attempt against the budget that all addresses share, also if it comes from one
    /// from which the account was used before.
    pub fn share(&self, attempt: Attempt, now: Instant) -> Attempt {
        match self.account.take(attempt.account, now) {
            Ok(()) => Attempt { is_shared: true, ..attempt },
            Err(wait) => Attempt { used_up: Some(wait), ..attempt },
        }
    }

    /// Counts a mail that an address asks to send to a recipient. It need not exist.
    ///
    /// # Errors
    /// The time after which another mail is allowed. Nothing was taken.
    pub(super) fn mail(
        &self,
        address: Option<IpAddr>,
        recipient: (Purpose, AccountKey),
        now: Instant,
    ) -> Result<AllowedMail, Duration> {
        self.mails_from.take(address, now)?;
        if let Err(wait) = self.mails_to.take(recipient, now) {
            self.mails_from.give_back(address);
            return Err(wait);
        }
        Ok(AllowedMail { address, recipient })
    }

    /// Takes a mail back: it was not recorded.
    pub(super) fn unsent(&self, mail: AllowedMail) {
        self.mails_from.give_back(mail.address);
        self.mails_to.give_back(mail.recipient);
    }

    /// Takes an attempt back: the password was right, or it was never compared.
    pub fn forgive(&self, attempt: Attempt) {
        self.address.give_back(attempt.address);
        self.pair.give_back((attempt.address, attempt.account));
        if attempt.is_shared {
            self.account.give_back(attempt.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_allowed_and_then_one_at_a_time() {
        let throttle = Throttle::new(3, SECOND);
        let start = throttle.since;
        for _ in 0..3 {
            assert_eq!(throttle.take("a", start), Ok(()));
        }
        assert_eq!(throttle.take("a", start), Err(SECOND));
        assert_eq!(throttle.take("a", start + SECOND / 4), Err(SECOND * 3 / 4));
        assert_eq!(throttle.take("b", start), Ok(()), "another key has its own budget");
        assert_eq!(throttle.take("a", start + SECOND), Ok(()), "a refusal took nothing");
        assert_eq!(throttle.take("a", start + SECOND), Err(SECOND));
        for _ in 0..3 {
            assert_eq!(throttle.take("a", start + SECOND * 60), Ok(()), "it fills up, not beyond");
        }
        assert_eq!(throttle.take("a", start + SECOND * 60), Err(SECOND));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let throttle = Throttle::new(1, SECOND);
        let start = throttle.since;
        for _ in 0..10 {
            assert_eq!(throttle.take("a", start), Ok(()));
            throttle.give_back("a");
        }
        throttle.give_back("a");
        assert_eq!(throttle.take("a", start), Ok(()));
        assert_eq!(throttle.take("a", start), Err(SECOND), "never more than the burst");
    }

    #[test]
    fn any_number_of_keys_takes_the_same_memory() {
        let throttle = Throttle::new(5, SECOND);
        let start = throttle.since;
        for key in 0..200_000_u32 {
            assert!(throttle.take(key, start).is_ok() || key > 0);
        }
        assert_eq!(throttle.cells.len(), CELLS);
    }

    #[allow(clippy::unnecessary_wraps, reason = "as the limits take it")]
    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn guesses_from_many_addresses_share_a_budget_that_the_owner_does_not_need() {
        let throttle = LogInThrottle::default();
        let (now, victim) = (throttle.account.since, [7; 32]);
        let guess = |last: u8| {
            let attempt = throttle.begin(address(last), victim, now);
            attempt.map(|attempt| throttle.share(attempt, now).used_up())
        };
        for last in 0..20 {
            assert_eq!(guess(last), Ok(None), "{last}");
        }
        assert_eq!(guess(20), Ok(Some(PER_ACCOUNT.1)));
        let owner = throttle.begin(address(200), victim, now);
        assert!(owner.is_ok(), "its own address still has a budget");
    }

    #[test]
    fn guesses_from_one_address_end_soon_at_one_account_and_later_at_all() {
        let throttle = LogInThrottle::default();
        let now = throttle.account.since;
        for _ in 0..5 {
            assert!(throttle.begin(address(1), [1; 32], now).is_ok());
        }
        assert_eq!(throttle.begin(address(1), [1; 32], now).err(), Some(PER_PAIR.1));
        for account in 10..55 {
            assert!(throttle.begin(address(1), [account; 32], now).is_ok(), "{account}");
        }
        assert_eq!(throttle.begin(address(1), [99; 32], now).err(), Some(PER_ADDRESS.1));
        assert!(throttle.begin(address(2), [99; 32], now).is_ok());
    }

    #[test]
    fn a_right_password_costs_nothing() {
        let throttle = LogInThrottle::default();
        let now = throttle.account.since;
        for _ in 0..200 {
            let attempt = throttle.begin(address(1), [1; 32], now);
            let attempt = attempt.map(|attempt| throttle.share(attempt, now));
            assert!(attempt.as_ref().is_ok_and(|attempt| attempt.used_up().is_none()));
            assert!(attempt.map(|attempt| throttle.forgive(attempt)).is_ok());
        }
    }

    #[test]
    fn mails_of_one_kind_to_one_recipient_leave_those_of_another() {
        let throttle = LogInThrottle::default();
        let now = throttle.account.since;
        let ask = |purpose, recipient: u8, from: u8| {
            throttle.mail(address(from), (purpose, [recipient; 32]), now)
        };
        for purpose in [Purpose::SignUp, Purpose::PasswordReset, Purpose::EmailChange] {
            for from in 1..=3 {
                assert!(ask(purpose, 1, from).is_ok(), "{purpose:?}");
            }
            assert_eq!(ask(purpose, 1, 4).err(), Some(MAILS_TO_ONE.1));
            assert!(ask(purpose, 2, 4).is_ok(), "another recipient");
        }
    }

    #[test]
    fn a_mail_that_is_refused_or_not_sent_takes_nothing() {
        let throttle = LogInThrottle::default();
        let now = throttle.account.since;
        let ask =
            |recipient: u8| throttle.mail(address(1), (Purpose::SignUp, [recipient; 32]), now);
        for _ in 0..30 {
            let mail = ask(1);
            assert!(mail.map(|mail| throttle.unsent(mail)).is_ok());
        }
        for _ in 0..3 {
            assert!(ask(1).is_ok());
        }
        for _ in 0..30 {
            assert_eq!(ask(1).err(), Some(MAILS_TO_ONE.1));
        }
        for recipient in 2..19 {
            assert!(ask(recipient).is_ok(), "{recipient}");
        }
        assert_eq!(ask(20).err(), Some(MAILS_FROM_ONE.1));
    }
}
