//! Blanks what a queue holds of an erased subject.
//!
//! RabbitMQ cannot change a message, so each one is stored again at the end of the queue, and then
//! acknowledged. One that is lost sight of in between is there twice, which does no harm. A
//! waiting retry waits again from the beginning. If the sweep is interrupted, `subject.erased` was
//! not acknowledged, so it comes again and the sweep begins again.

use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::types::ShortString;
use uuid::Uuid;

use super::Interrupted;
use super::copy::Copy;
use crate::rabbitmq::{Link, called};

/// The maximum number of messages that are stored again at once.
const AT_ONCE: u32 = 100;

/// Blanks the subject's fields in all messages that the queue holds now.
pub(super) async fn queue(
    link: &Link,
    name: &ShortString,
    subject: Uuid,
) -> Result<(), Interrupted> {
    let mut left = link.messages_in(name).await?.unwrap_or(0);
    while left > 0 {
        let read = read(link, name, left.min(AT_ONCE)).await?;
        if read.is_empty() {
            break;
        }
        left = left.saturating_sub(u32::try_from(read.len()).unwrap_or(u32::MAX));
        let copies = read.iter().map(|delivery| Copy::without(delivery, subject).to(name.clone()));
        link.publish(copies.collect()).await?;
        for delivery in read {
            called("acknowledge", delivery.ack(BasicAckOptions::default())).await?;
        }
    }
    Ok(())
}

/// Reads the first messages of the queue.
async fn read(link: &Link, name: &ShortString, most: u32) -> Result<Vec<Delivery>, Interrupted> {
    let mut read = Vec::new();
    for _ in 0..most {
        let getting = link.channel.basic_get(name.clone(), BasicGetOptions::default());
        let Some(message) = called("read a waiting event", getting).await? else { break };
        read.push(message.delivery);
    }
    Ok(read)
}
