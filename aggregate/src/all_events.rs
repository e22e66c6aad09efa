//! The list of the events of all aggregates of a domain.

/// Lists the event enums of all aggregates, one per line, so readers of the log know them.
///
/// An event enum must be in this list to be a [`DomainEvent`](crate::DomainEvent).
#[macro_export]
macro_rules! events_of_all_aggregates {
    ($($event:ty,)+) => {
        $(impl $crate::private::listed::Listed for $event {})+

        /// The shapes in which the events of each aggregate are written today.
        pub(crate) const EVENTS: &[&[$crate::Shape]] =
            &[$(<$event as $crate::DomainEvent>::KNOWN),+];

        /// The JSON Schemas of the events that are written today.
        pub fn written_schemas() -> Vec<$crate::EventSchema> {
            let of_each = [$($crate::schema::of::<$event>()),+];
            of_each.into_iter().flatten().collect()
        }

        #[cfg(test)]
        pub(crate) fn check_golden_files(goldens: &$crate::golden::Goldens) {
            $(goldens.check_event::<$event>();)+
        }
    };
}
