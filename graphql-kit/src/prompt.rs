//! Objects whose fields are resolved where they are made, as far as they wait for nothing.
//!
//! The library puts each field of each object into a box and a task of its own, so that all fields
//! that wait do so together. Most fields of a row wait for nothing, and on a page of rows these
//! boxes and tasks cost more than the rest of a query. Here a field gets them only if it waits.
//!
//! The values and the errors are those of the library. Fields keep the order in which they were
//! asked for; only the errors of several fields that wait may come in another one. Where this file
//! does not know better, the library resolves the whole object: under directives, fragments of
//! other types, and fields that are asked for twice. Extensions do not see what is resolved here.

use std::borrow::Cow;
use std::pin::{Pin, pin};
use std::task::{self, Poll, Waker};

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::{
    ContainerType, ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value,
};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

/// The maximum number of fields of one object that are resolved here. Each is compared with all
/// others.
const MAX_FIELDS: usize = 32;

/// An object that knows which of its fields wait.
pub trait Prompt: ContainerType {
    /// The names of the fields that wait for something, here or further below.
    const WAITING: &'static [&'static str] = &[];
}

impl<T: Prompt + ?Sized> Prompt for &T {
    const WAITING: &'static [&'static str] = T::WAITING;
}

/// An object whose fields are resolved at once, as far as they wait for nothing. In the schema, it
/// is the object itself.
#[derive(Debug, Clone)]
pub struct AtOnce<T>(pub T);

type Waiting<'f> = Pin<Box<dyn Future<Output = (&'f Name, ServerResult<Value>)> + Send + 'f>>;

impl<T: Prompt> OutputType for AtOnce<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn qualified_type_name() -> String {
        T::qualified_type_name()
    }

    fn introspection_type_name(&self) -> Cow<'static, str> {
        self.0.introspection_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let Some(fields) = fields::<T>(ctx) else {
            // Boxed: it is rare, and would make the future of each object large.
            return Box::pin(self.0.resolve(ctx, field)).await;
        };
        let mut values = IndexMap::with_capacity(fields.len());
        let mut waiting: Vec<Waiting<'_>> = Vec::new();
        for field in fields {
            let now =
                if selects(&field.node, T::WAITING) { None } else { now(ctx, &self.0, field) };
            match now {
                Some(Ok(value)) => {
                    values.insert(field.node.response_key().node.clone(), value);
                }
                Some(Err(error)) => ctx.add_error(error),
                None => {
                    // It keeps its place in the answer.
                    values.insert(field.node.response_key().node.clone(), Value::Null);
                    waiting.push(Box::pin(async move {
                        let ctx = ctx.with_field(field);
                        let value = self.0.resolve_field(&ctx).await;
                        (&field.node.response_key().node, value.map(Option::unwrap_or_default))
                    }));
                }
            }
        }
        if !waiting.is_empty() {
            let mut waiting: FuturesUnordered<_> = waiting.into_iter().collect();
            while let Some(done) = waiting.next().await {
                match done {
                    (name, Ok(value)) => drop(values.insert(name.clone(), value)),
                    (name, Err(error)) => {
                        values.shift_remove(name);
                        ctx.add_error(error);
                    }
                }
            }
        }
        Ok(if values.is_empty() { Value::Null } else { Value::Object(values) })
    }
}

/// Whether a field, or one further below it, has one of these names. A fragment may have them all.
pub fn selects(field: &Field, names: &[&str]) -> bool {
    if names.is_empty() {
        return false;
    }
    names.contains(&field.name.node.as_str())
        || field.selection_set.node.items.iter().any(|selection| match &selection.node {
            Selection::Field(field) => selects(&field.node, names),
            Selection::FragmentSpread(_) | Selection::InlineFragment(_) => true,
        })
}

/// Resolves a field if that needs no wait.
fn now<T: ContainerType>(
    ctx: &ContextSelectionSet<'_>,
    object: &T,
    field: &Positioned<Field>,
) -> Option<ServerResult<Value>> {
    if field.node.name.node == "__typename" {
        return Some(Ok(Value::String(object.introspection_type_name().into_owned())));
    }
    let ctx = ctx.with_field(field);
    let resolving = pin!(object.resolve_field(&ctx));
    match resolving.poll(&mut task::Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value.map(Option::unwrap_or_default)),
        // Its type does not say so, but it waits.
        Poll::Pending => None,
    }
}

/// The fields that are asked for of an object, with each fragment in its place. `None` if the
/// library has to resolve the object.
fn fields<'a, T: OutputType>(ctx: &ContextSelectionSet<'a>) -> Option<Vec<&'a Positioned<Field>>> {
    let mut fields = Vec::with_capacity(ctx.item.node.items.len());
    let is_known = add_fields::<T>(ctx, &ctx.item.node, &mut fields);
    let are_different = || {
        let mut all = fields.iter().enumerate();
        all.all(|(at, field)| {
            let key = &field.node.response_key().node;
            fields.iter().skip(at + 1).all(|other| other.node.response_key().node != *key)
        })
    };
    (is_known && are_different()).then_some(fields)
}

fn add_fields<'a, T: OutputType>(
    ctx: &ContextSelectionSet<'a>,
    set: &'a SelectionSet,
    to: &mut Vec<&'a Positioned<Field>>,
) -> bool {
    set.items.iter().all(|selection| {
        let (condition, set) = match &selection.node {
            Selection::Field(field) => {
                to.push(field);
                return field.node.directives.is_empty() && to.len() <= MAX_FIELDS;
            }
            Selection::FragmentSpread(spread) => {
                let found = ctx.query_env.fragments.get(&spread.node.fragment_name.node);
                let Some(fragment) = found else { return false };
                (Some(&fragment.node.type_condition), &fragment.node.selection_set)
            }
            Selection::InlineFragment(inline) => {
                (inline.node.type_condition.as_ref(), &inline.node.selection_set)
            }
        };
        let applies = condition.is_none_or(|condition| *condition.node.on.node == *T::type_name());
        applies && add_fields::<T>(ctx, &set.node, to)
    })
}

#[cfg(test)]
mod tests;
