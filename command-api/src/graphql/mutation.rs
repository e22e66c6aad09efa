//! The mutations: one file for each resource.

use async_graphql::MergedObject;

mod access;
mod address;
mod fulfilment;
mod order;
mod pricing;
mod product;
mod user;

use access::AccessMutation;
use address::AddressMutation;
use fulfilment::FulfilmentMutation;
use order::OrderMutation;
use pricing::PricingMutation;
use product::ProductMutation;
use user::UserMutation;

/// The commands of the shop.
#[derive(MergedObject, Default)]
pub(super) struct Mutation(
    UserMutation,
    AddressMutation,
    ProductMutation,
    OrderMutation,
    FulfilmentMutation,
    PricingMutation,
    AccessMutation,
);
