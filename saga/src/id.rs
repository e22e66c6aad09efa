//! The ids that follow from names, so that every process and every attempt has the same.

use event_store::StreamName;
use uuid::Uuid;

/// The category of the streams of instances.
pub const CATEGORY: &str = "saga";
/// The namespace of the ids of instances. It must never change.
const INSTANCES: Uuid = Uuid::from_u128(0x5c1f_5ba8_3d0e_4c57_9a34_6f0e_97c1_7b2d);

/// The id of the instance of `saga` for `key`.
pub fn of_instance(saga: &str, key: &str) -> Uuid {
    // A saga's name has no slash.
    Uuid::new_v5(&INSTANCES, format!("{saga}/{key}").as_bytes())
}

/// The id of the stream that says where a saga begins.
pub(crate) fn of_deployment(saga: &str) -> Uuid {
    Uuid::new_v5(&INSTANCES, saga.as_bytes())
}

/// The idempotency key under which the action of `step` is called: the same for every attempt.
pub fn of_call(instance: Uuid, step: &str) -> Uuid {
    Uuid::new_v5(&instance, step.as_bytes())
}

/// The idempotency key under which `step` is compensated: the same for every attempt. Another
/// `round` follows only if the step succeeded after it had been compensated, or if the compensation
/// was refused and a person resumes the saga.
pub fn of_compensation(instance: Uuid, step: &str, round: u32) -> Uuid {
    let name = match round {
        0 | 1 => format!("{step}/compensation"),
        _ => format!("{step}/compensation/{round}"),
    };
    Uuid::new_v5(&instance, name.as_bytes())
}

/// The stream of an instance.
#[expect(clippy::expect_used, reason = "a category and a UUID make a name")]
pub fn stream(instance: Uuid) -> StreamName {
    StreamName::new(CATEGORY, instance).expect("a stream's name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_never_change() {
        let instance = of_instance("lending", "17");
        assert_eq!(instance.to_string(), "ac412588-b977-5013-b58f-1b230e969be4");
        assert_ne!(of_call(instance, "a"), of_compensation(instance, "a", 1));
        assert_ne!(of_compensation(instance, "a", 1), of_compensation(instance, "a", 2));
    }
}
