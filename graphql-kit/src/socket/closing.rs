//! How a socket is closed.

/// The maximum length of a reason, in bytes (RFC 6455, section 5.5).
const MAX_REASON_BYTES: usize = 123;

/// The code and the reason with which a socket is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The code: that of the protocol, or of RFC 6455.
    pub code: u16,
    /// The reason, for people.
    reason: String,
}

impl Closing {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// 4403: the client may not ask.
    pub fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(4403, reason)
    }

    /// 1013: the client should try again later.
    pub fn try_again_later(reason: impl Into<String>) -> Self {
        Self::new(1013, reason)
    }

    /// 4400: a message is not one of the protocol.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::new(4400, reason)
    }

    /// 1001: the server is going down.
    pub(super) fn going_away() -> Self {
        Self::new(1001, "Going away")
    }

    /// 1002: the framing is not valid.
    pub(super) fn framing() -> Self {
        Self::new(1002, "Protocol error")
    }

    /// 1007: a text is not UTF-8.
    pub(super) fn not_utf8() -> Self {
        Self::new(1007, "Not UTF-8")
    }

    /// 1009: a message is too big.
    pub(super) fn too_big(limit: usize) -> Self {
        Self::new(1009, format!("A message has at most {limit} bytes"))
    }

    /// 1011: an answer cannot be written.
    pub(super) fn internal() -> Self {
        Self::new(1011, "Internal error")
    }

    /// 4401: an operation came before the client said who it is.
    pub(super) fn unauthorized() -> Self {
        Self::new(4401, "Unauthorized")
    }

    /// 4406: the client does not speak the protocol.
    pub(super) fn protocol() -> Self {
        Self::new(4406, "Subprotocol not acceptable")
    }

    /// 4408: the client did not say who it is in time.
    pub(super) fn late() -> Self {
        Self::new(4408, "Connection initialisation timeout")
    }

    /// 4409: the id of an operation is taken.
    pub(super) fn duplicate(id: &str) -> Self {
        Self::new(4409, format!("Subscriber for {id} already exists"))
    }

    /// 4429: the client said twice who it is.
    pub(super) fn init_again() -> Self {
        Self::new(4429, "Too many initialisation requests")
    }

    /// The reason, as long as it may be.
    pub(super) fn reason(&self) -> &str {
        let mut end = self.reason.len().min(MAX_REASON_BYTES);
        while !self.reason.is_char_boundary(end) {
            end -= 1;
        }
        &self.reason[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_two_characters() {
        let long = Closing::invalid("ä".repeat(100));
        assert_eq!(long.reason(), "ä".repeat(61));
        assert_eq!(Closing::invalid("a").reason(), "a");
    }
}
