//! RabbitMQ, as the relay and consumers elsewhere use it: the address, a connection whose calls end
//! in time, events as messages, and the names of exchanges and queues.
//!
//! Events go to the durable topic exchange [`EXCHANGE`], with the routing key `events.<type>`. A
//! [`Queue`] is durable and bound to some of them.

mod address;
mod link;
mod message;
mod topology;

pub use address::{AddressError, RabbitAddress};
pub use message::{decode, encode};
pub use topology::{EXCHANGE, MARK, Pattern, Queue, QueueName, Queues, TopologyError};

pub(crate) use link::{Link, LinkError, NotConfirmed, Outgoing, called};
pub(crate) use message::{Encoded, encoded, header_of, text};
pub(crate) use topology::{
    PUBLISHER, declare_exchange, declare_mark, declare_queue, declare_retries,
};
