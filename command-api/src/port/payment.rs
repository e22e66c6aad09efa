//! The port to a payment provider.

use std::fmt;

use chrono::TimeDelta;
use domain::value::Money;
use uuid::Uuid;

use super::{Call, Code, Fate, GatewayError};

/// A payment provider. Money is first authorised (set aside on the customer's card), then captured
/// (taken), and perhaps refunded. An authorisation that is not captured is released.
#[async_trait::async_trait]
pub trait PaymentGateway: fmt::Debug + Send + Sync {
    /// How long after the last attempt of a call its effect may take to show. What a look-up does
    /// not find after that time was never done, and never will be.
    fn horizon(&self) -> TimeDelta;

    /// Sets money aside.
    ///
    /// # Errors
    /// [`GatewayError`]. `Declined` is final: under this key the bank never accepts.
    async fn authorise(&self, call: &Call, asked: &Authorisation) -> Result<Payment, GatewayError>;

    /// Takes money that is set aside: all of it or a part. The rest is released.
    ///
    /// # Errors
    /// [`GatewayError`].
    async fn capture(
        &self,
        call: &Call,
        payment: &PaymentId,
        amount: Money,
    ) -> Result<Payment, GatewayError>;

    /// Releases money that is set aside and was not captured. A payment that was declined needs no
    /// release. A payment that is released can never be captured.
    ///
    /// # Errors
    /// [`GatewayError`]. `Invalid` may mean that it was captured before.
    async fn release(&self, call: &Call, payment: &PaymentId) -> Result<Payment, GatewayError>;

    /// Gives captured money back: all of it or a part. The amount of a key never changes.
    ///
    /// # Errors
    /// [`GatewayError`].
    async fn refund(&self, call: &Call, asked: &Repayment) -> Result<Refund, GatewayError>;

    /// Makes sure that an authorisation under this key never takes effect, if none did yet. No
    /// money is set aside for it.
    ///
    /// # Errors
    /// [`GatewayError`].
    async fn forbid(&self, call: &Call, asked: &Authorisation) -> Result<Fate, GatewayError>;

    /// The payment that an authorisation with this key made, as it is now. `None` says only that it
    /// does not show yet: the call may still be under way. See [`PaymentGateway::horizon`].
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] and [`GatewayError::Invalid`]: a look-up takes no effect.
    async fn find(&self, call: &Call) -> Result<Option<Payment>, GatewayError>;

    /// The payment with this id, as it is now.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`], and [`GatewayError::Invalid`] if there is none.
    async fn read(&self, call: &Call, payment: &PaymentId) -> Result<Payment, GatewayError>;

    /// All refunds of a payment that show, whoever asked for them.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] and [`GatewayError::Invalid`].
    async fn refunds(&self, call: &Call, payment: &PaymentId)
    -> Result<Vec<Refund>, GatewayError>;
}

/// What an authorisation asks for. It names no person: the token stands for the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorisation {
    /// The order that is paid.
    pub order: Uuid,
    /// The instance of the saga that asks. The provider keeps it with the payment.
    pub saga: Uuid,
    /// The amount to set aside.
    pub amount: Money,
    /// The card or other means that pays.
    pub method: MethodToken,
}

/// What a refund asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repayment {
    /// The payment that is given back.
    pub payment: PaymentId,
    /// The amount that is given back.
    pub amount: Money,
    /// The instance of the saga that asks. The provider keeps it with the refund.
    pub saga: Uuid,
}

/// The provider's token for a card or another way to pay. With it and our secret key, the card can
/// be charged, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct MethodToken(String);

/// The provider's id of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PaymentId(String);

/// The error for a text that is not an id or a token of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {MAX_ID_LEN} letters, digits, underscores or hyphens")]
pub struct InvalidId;

/// The maximum length of a provider's id or token.
pub const MAX_ID_LEN: usize = 255;

/// A payment, as the provider shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The provider's id of the payment.
    pub id: PaymentId,
    /// The order that is paid, if the provider knows it.
    pub order: Option<Uuid>,
    /// The instance of the saga that asked for it, if the provider knows it.
    pub saga: Option<Uuid>,
    /// The key of the call that made it, if the provider knows it.
    pub key: Option<Uuid>,
    /// The amount that was asked for.
    pub amount: Money,
    /// The amount that was captured. What was refunded of it still counts.
    pub captured: Money,
    /// What became of it.
    pub state: PaymentState,
}

/// What became of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentState {
    /// It is not decided: the bank or the customer still has to act, and the provider tells later.
    /// Money may be set aside.
    Pending,
    /// Money is set aside.
    Authorised,
    /// Money was taken: all that was set aside, or a part.
    Captured,
    /// The authorisation was released. No money is set aside.
    Released,
    /// The bank declined. No money is set aside.
    Declined(Code),
}

/// A refund, as the provider shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The amount that is given back.
    pub amount: Money,
    /// How far it is.
    pub state: RefundState,
    /// The instance of the saga that asked for it, if one did.
    pub saga: Option<Uuid>,
    /// The key of the call that asked for it, if the provider knows it.
    pub key: Option<Uuid>,
}

/// How far a refund is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundState {
    /// The money is on its way to the customer.
    Succeeded,
    /// The provider has not done it yet, and may still fail to.
    Pending,
    /// It failed or was cancelled: the customer does not get this money.
    Failed(Code),
}

fn checked(text: &str) -> Result<String, InvalidId> {
    let is_fitting = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let fits = (1..=MAX_ID_LEN).contains(&text.len()) && text.bytes().all(is_fitting);
    if fits { Ok(text.to_owned()) } else { Err(InvalidId) }
}

impl PaymentId {
    /// Accepts an id that is safe in a path.
    ///
    /// # Errors
    /// [`InvalidId`].
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        checked(text).map(Self)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MethodToken {
    /// Accepts a token.
    ///
    /// # Errors
    /// [`InvalidId`].
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        checked(text).map(Self)
    }

    /// The token, to send it to the provider.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MethodToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MethodToken(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_id_is_safe_in_a_path_and_a_token_is_not_shown() {
        assert_eq!(PaymentId::parse("pi_1-a").unwrap().as_str(), "pi_1-a");
        for text in ["", "a/b", "..", "a?b", "ä", &"a".repeat(256)] {
            assert_eq!(PaymentId::parse(text), Err(InvalidId), "{text}");
        }
        let token = MethodToken::parse("pm_canary").unwrap();
        assert!(!format!("{token:?}").contains("canary"));
    }
}
