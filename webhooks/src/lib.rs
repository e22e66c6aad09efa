//! Webhooks: sends events of the log to other people's systems over HTTP, signed by [Standard
//! Webhooks](https://www.standardwebhooks.com).
//!
//! Guarantees, whatever dies in between:
//! - A receiver gets each event of its types after the position where its subscription began, at
//!   least once, with one `webhook-id` that never changes. It gets every `subject.erased`.
//! - What cannot be delivered is tried again for more than a day, then parked for a person. A
//!   receiver that is away, slow or refuses costs a bounded number of rows, connections and
//!   seconds, and holds up no other. A subscription that fails for too long is paused with a
//!   reason, and stays where it is in the log.
//! - No payload is stored: each attempt builds it from the log. So an erased subject is blank in
//!   attempts that come later, whether they are first ones, retries or replays.
//! - No connection is made to an address inside our network, unless its network is allowed.
//!
//! It knows no business terms. The program `webhooks` runs it ([`process`]).

mod destination;
mod dispatcher;
mod feed;
pub mod limits;
pub mod message;
pub mod ops;
pub mod process;
pub mod reach;
mod receiver;
pub mod secret;
mod sending;
pub mod tables;
mod telemetry;

pub use destination::{Destination, Failure, FailureKind, Outcome};
pub use dispatcher::Dispatcher;
pub use limits::Limits;
pub use receiver::{NoReceiver, REPLAY, Receiver};
pub use sending::{NO_CACHE, Sending};
