//! The mutations: one file for each resource.

use async_graphql::MergedObject;

mod order;
mod product;
mod user;

use order::OrderMutation;
use product::ProductMutation;
use user::UserMutation;

/// The commands of the shop.
#[derive(MergedObject, Default)]
pub(super) struct Mutation(UserMutation, ProductMutation, OrderMutation);
