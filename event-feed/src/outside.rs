//! Consumers for programs that have a broker and no access to the log, such as another team's
//! service.
//!
//! [`RabbitMqConsumer`] reads a queue of RabbitMQ, [`NatsConsumer`] the JetStream stream. Both do
//! the same with each event:
//! - They hand it to the program's [`Receiver`], which records its epoch and position in the
//!   transaction of its effects. So an event that comes again has no second effect.
//! - They acknowledge it only after that. A consumer that dies in between gets it again.
//! - They try it again after a delay if it fails ([`Retries`]), and make it a *dead letter* after
//!   the last attempt, or at once if it can never succeed. Dead letters wait for a person.
//! - On `subject.erased`, they hand that event over too, and then blank the personal fields of the
//!   subject in all events that wait to be tried again and in all dead letters.
//!
//! *Order.* Events come in the order of the log, one at a time, whatever the number of copies of
//! the consumer. One that is tried again comes after later ones. A receiver for which the order
//! of a stream matters returns [`NotTaken::Later`] for an event whose predecessor
//! (`streamversion`) it does not know yet.
//!
//! *Personal fields* come encrypted, as `{"$subject": …, "$sealed": …}`. Without keys they cannot be
//! read.

mod nats;
mod policy;
mod rabbitmq;
mod receiver;
mod taking;

pub use nats::{InvalidConsumerName, NatsConsumer, NatsConsumerSettings};
pub use policy::{InvalidRetries, Retries};
pub use rabbitmq::{RabbitMqConsumer, RabbitMqConsumerSettings};
pub use receiver::{Incoming, NotTaken, Receiver, Taken};

/// The header with the number of attempts that failed.
const ATTEMPTS: &str = "daybook-attempts";
/// The header with the reason of a dead letter.
const REASON: &str = "daybook-reason";
