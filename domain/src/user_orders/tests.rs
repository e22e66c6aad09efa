//! Tests of the open orders of a user.

use std::collections::BTreeSet;

use proptest::prelude::*;
use uuid::Uuid;

use super::{
    MAX_OPEN_ORDERS, UserOrders, UserOrdersClosed, UserOrdersCommand, UserOrdersEnded,
    UserOrdersError, UserOrdersEvent, UserOrdersOpened,
};
use crate::aggregate::scenario::given;
use crate::aggregate::{Aggregate, DomainEvent};
use crate::golden::GOLDEN;

const ADA: Uuid = Uuid::from_u128(1);

fn id(order: u128) -> Uuid {
    Uuid::from_u128(order)
}

fn open(order: u128) -> UserOrdersCommand {
    UserOrdersCommand::Open { user_id: ADA, order_id: id(order) }
}

fn close(order: u128) -> UserOrdersCommand {
    UserOrdersCommand::Close { user_id: ADA, order_id: id(order) }
}

fn end() -> UserOrdersCommand {
    UserOrdersCommand::End { user_id: ADA }
}

fn opened(order: u128) -> UserOrdersEvent {
    UserOrdersEvent::Opened(UserOrdersOpened { user_id: ADA, order_id: id(order) })
}

fn closed(order: u128) -> UserOrdersEvent {
    UserOrdersEvent::Closed(UserOrdersClosed { user_id: ADA, order_id: id(order) })
}

fn ended() -> UserOrdersEvent {
    UserOrdersEvent::Ended(UserOrdersEnded { user_id: ADA })
}

#[test]
fn the_state_that_is_kept_is_what_it_was_in_its_shape() {
    let history = [opened(8), opened(7), opened(9), closed(8)];
    GOLDEN.check_kept::<UserOrders>(
        &history.into_iter().fold(UserOrders::default(), Aggregate::evolve),
    );
}

#[test]
fn an_order_is_opened_and_closed_once() {
    given::<UserOrders>([]).when(open(7)).then([opened(7)]);
    given::<UserOrders>([opened(7)]).when(open(7)).then([]);
    given::<UserOrders>([opened(7), opened(8)]).when(close(7)).then([closed(7)]);
    given::<UserOrders>([opened(7), closed(7)]).when(close(7)).then([]);
    given::<UserOrders>([]).when(close(7)).then([]);
}

#[test]
fn a_user_has_a_limited_number_of_open_orders() {
    let full = || (0..MAX_OPEN_ORDERS as u128).map(opened).collect::<Vec<_>>();
    given::<UserOrders>(full()).when(open(5_000)).then_error(&UserOrdersError::TooMany);
    let with_room: Vec<_> = full().into_iter().chain([closed(3)]).collect();
    given::<UserOrders>(with_room).when(open(5_000)).then([opened(5_000)]);
}

#[test]
fn the_orders_of_a_user_end_when_none_is_open() {
    given::<UserOrders>([]).when(end()).then([ended()]);
    given::<UserOrders>([opened(7), closed(7)]).when(end()).then([ended()]);
    given::<UserOrders>([opened(8), opened(7)])
        .when(end())
        .then_error(&UserOrdersError::Open { first: id(7), count: 2 });
    given::<UserOrders>([ended()]).when(end()).then([]);
}

#[test]
fn no_order_is_opened_after_the_end() {
    given::<UserOrders>([ended()]).when(open(7)).then_error(&UserOrdersError::Ended);
    given::<UserOrders>([ended()]).when(close(7)).then([]);
}

#[test]
fn a_refusal_names_the_oldest_open_order() {
    let text = |count| UserOrdersError::Open { first: ADA, count }.to_string();
    assert_eq!(text(1), format!("order {ADA} is open"));
    assert_eq!(text(3), format!("order {ADA} is open, and 2 more"));
}

#[test]
fn events_about_an_order_are_labelled_with_it() {
    assert_eq!(opened(7).tags(), [("user_orders", ADA), ("order", id(7))]);
    assert_eq!(ended().tags(), [("user_orders", ADA)]);
}

fn any_command() -> impl Strategy<Value = UserOrdersCommand> {
    prop_oneof![
        8 => (0..12_u128).prop_map(open),
        8 => (0..12_u128).prop_map(close),
        1 => Just(end()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_open_orders_are_those_that_were_opened_and_not_closed(
        commands in prop::collection::vec(any_command(), 0..60),
    ) {
        let (mut state, mut book, mut has_ended) = (UserOrders::default(), BTreeSet::new(), false);
        for command in commands {
            for event in state.decide(command).unwrap_or_default() {
                prop_assert!(!has_ended, "{event:?} after the end");
                match &event {
                    UserOrdersEvent::Opened(opened) => prop_assert!(book.insert(opened.order_id)),
                    UserOrdersEvent::Closed(closed) => prop_assert!(book.remove(&closed.order_id)),
                    UserOrdersEvent::Ended(_) => {
                        prop_assert!(book.is_empty());
                        has_ended = true;
                    }
                }
                state = state.evolve(event);
            }
            prop_assert_eq!(state.open(), book.iter().copied().collect::<Vec<_>>());
        }
    }
}
