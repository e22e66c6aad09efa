//! The share of the GraphQL library: the answer of *graphql* from rows in memory, as JSON, without
//! HTTP, SQL and tokens, and on one core.
//!
//! - *library alone* parses the document each time, and resolves each field as a task of its own,
//!   as the library does by itself.
//! - *library, at once* has the document parsed, and resolves fields at once, as the API does.
//!
//! The plain handler needs no library. So the time that both take for an answer tells which ratio
//! the API can reach at most.

use std::hint::black_box;

use anyhow::ensure;
use async_graphql::parser::parse_query;
use async_graphql::{EmptyMutation, EmptySubscription, ObjectType, Request, Schema};

use super::load::USERS;
use super::{BENCH, QueriesBench};
use crate::bench::figure::Figure;
use crate::bench::round::{Round, run as round, values};

/// Defines the schema. `Shown` is what a field hands over, which `shown` makes of its value.
macro_rules! schema {
    () => {
        use async_graphql::{Enum, ID, Object, SimpleObject};
        use graphql_kit::Prompt;

        use crate::bench::queries::fill::{order_id, user_id};

        pub(super) struct Query;

        struct Users(Vec<User>);

        struct User(i64);

        struct Orders(Vec<Order>);

        struct Order(i64);

        #[derive(SimpleObject)]
        struct Money {
            amount: String,
            currency: String,
        }

        #[derive(Clone, Copy, PartialEq, Eq, Enum)]
        enum Status {
            Paid,
            Shipped,
        }

        impl Prompt for Users {}
        impl Prompt for User {}
        impl Prompt for Orders {}
        impl Prompt for Order {}
        impl Prompt for Money {}

        #[Object]
        impl Query {
            async fn users(&self, first: i32) -> Shown<Users> {
                shown(Users((0..first.into()).map(User).collect()))
            }
        }

        #[Object]
        impl Users {
            async fn nodes(&self) -> Vec<Shown<&User>> {
                self.0.iter().map(shown).collect()
            }
        }

        #[Object]
        impl User {
            async fn id(&self) -> ID {
                user_id(self.0).into()
            }

            async fn email(&self) -> Option<&str> {
                Some("somebody@example.com")
            }

            async fn name(&self) -> Option<&str> {
                Some("Some Body")
            }

            async fn orders(&self, first: i32) -> Shown<Orders> {
                shown(Orders((0..first.into()).map(Order).collect()))
            }
        }

        #[Object]
        impl Orders {
            async fn nodes(&self) -> Vec<Shown<&Order>> {
                self.0.iter().map(shown).collect()
            }
        }

        #[Object]
        impl Order {
            async fn id(&self) -> ID {
                order_id(self.0).into()
            }

            async fn status(&self) -> Status {
                if self.0 % 2 == 0 { Status::Paid } else { Status::Shipped }
            }

            async fn created_at(&self) -> String {
                "2026-11-28T15:11:26.686545Z".to_owned()
            }

            async fn total(&self) -> Shown<Money> {
                shown(Money { amount: "29.34".to_owned(), currency: "USD".to_owned() })
            }
        }
    };
}

mod by_itself {
    schema!();

    type Shown<T> = T;

    fn shown<T>(value: T) -> Shown<T> {
        value
    }
}

mod at_once {
    schema!();

    type Shown<T> = graphql_kit::AtOnce<T>;

    fn shown<T>(value: T) -> Shown<T> {
        graphql_kit::AtOnce(value)
    }
}

/// Measures both on one core.
pub(super) async fn measure(bench: &QueriesBench) -> anyhow::Result<Vec<Figure>> {
    let document = parse_query(USERS)?;
    let known = move || {
        let mut request = Request::new(USERS);
        request.set_parsed_query(document.clone());
        request
    };
    let (by_itself, at_once) = (by_itself::Query, at_once::Query);
    let one = alone(bench, "library alone", by_itself, || Request::new(USERS)).await?;
    let other = alone(bench, "library, at once", at_once, known).await?;
    Ok([one, other].concat())
}

async fn alone<Q: ObjectType + 'static>(
    bench: &QueriesBench,
    case: &str,
    query: Q,
    request: impl Fn() -> Request + Clone + Send + 'static,
) -> anyhow::Result<Vec<Figure>> {
    let schema = Schema::new(query, EmptyMutation, EmptySubscription);
    let worker = move || {
        let (schema, request) = (schema.clone(), request());
        async move {
            let answer = schema.execute(request).await;
            ensure!(answer.errors.is_empty(), "{:?}", answer.errors);
            black_box(serde_json::to_vec(&answer)?);
            Ok(1)
        }
    };
    let (_, mut workers) = round(bench.schedule.warmup_seconds, vec![worker]).await?;
    let mut rounds: Vec<Round> = Vec::new();
    for _ in 0..bench.schedule.rounds {
        let (done, again) = round(bench.schedule.round_seconds, workers).await?;
        rounds.push(done);
        workers = again;
    }
    let rate = values(&rounds, |round| round.rate);
    let time = values(&rounds, |round| 1_000_000.0 / round.rate);
    Ok(vec![
        Figure::new(BENCH, case, "rate", "answers/s", &rate),
        Figure::new(BENCH, case, "time", "µs/answer", &time),
    ])
}
