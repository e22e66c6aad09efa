//! Finds the shipment of an order, so that a reported delivery can be compared with it.

use saga::instance::Instance;

use super::RECORD_SHIPMENT;
use super::progress::Returned;

/// How an order was shipped, as its saga knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shipped {
    /// It is not shipped yet, and may be.
    NotYet,
    /// With the shipment that has this id.
    With(String),
    /// Not by the saga: it was shipped by hand, or cancelled.
    Otherwise,
}

impl Shipped {
    /// How the order of this saga was shipped.
    pub fn of(saga: &Instance) -> Self {
        let step = saga.steps.get(RECORD_SHIPMENT).filter(|step| step.action.is_settled());
        match step.map(|step| serde_json::from_value(step.data.clone())) {
            Some(Ok(Returned::Shipment(id))) => Self::With(id),
            None if !saga.status.is_end() => Self::NotYet,
            _ => Self::Otherwise,
        }
    }
}

#[cfg(test)]
mod tests {
    use saga::instance::{Leg, Status, StepState};
    use serde_json::Value;

    use super::*;

    fn saga(status: Status, data: Option<Value>) -> Instance {
        let mut saga = Instance { status, ..Instance::default() };
        let step = data.map(|data| StepState { action: Leg::Done, data, ..StepState::default() });
        saga.steps.extend(step.map(|step| (RECORD_SHIPMENT.to_owned(), step)));
        saga
    }

    #[test]
    fn only_a_recorded_shipment_is_the_one_of_its_order() {
        let with =
            |returned: &Returned| Shipped::of(&saga(Status::Completed, Some(returned.value())));
        let shipment = Returned::Shipment("shp_1".into());
        assert_eq!(with(&shipment), Shipped::With("shp_1".into()));
        assert_eq!(with(&Returned::ByHand), Shipped::Otherwise);
        assert_eq!(Shipped::of(&saga(Status::Running, None)), Shipped::NotYet);
        assert_eq!(Shipped::of(&saga(Status::Compensated, None)), Shipped::Otherwise);
    }
}
