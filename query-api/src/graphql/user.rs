//! Users, with the orders that they placed.

use std::sync::Arc;

use access::Permission;
use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use graphql_kit::{AtOnce, Prompt, selects};
use serde::Serialize;
use serde_json::Value;
use service_kit::Problem;
use service_kit::input::Id;

use super::asking::{Answer, Asking};
use super::connection::{Connection, Listed, Wanted};
use super::load::{OrdersKey, OrdersPage, UserKey};
use super::money::{Money, sums};
use super::order::{DETAILS, Order, SortOrders};
use super::scalar::Timestamp;
use crate::filter;
use crate::read::user::{AddressColumn, ListUsers, UserRow, UserSort};
use crate::view::known;
use crate::view::order::OrderStatus;
use crate::view::user::{CustomerType, UserStatus, net};

/// A user.
pub(super) struct User(pub(super) Arc<UserRow>);

/// What users say about themselves.
#[derive(SimpleObject)]
struct Profile {
    /// The name that others see. Null if there is none, or it was erased.
    display_name: Option<String>,
    /// The language as it is written where the person lives, such as `de-AT`. Null if not known, or
    /// erased.
    locale: Option<String>,
    /// The telephone number. Null if there is none, or it was erased.
    phone: Option<String>,
}

/// What the shop should do for a user.
#[derive(SimpleObject)]
struct Preferences {
    /// The language of mails and pages, if the user chose one (ISO 639).
    language: Option<String>,
    /// The currency to show prices in, if the user chose one (ISO 4217).
    currency: Option<String>,
    /// Whether the user wants the newsletter.
    newsletter: bool,
}

/// An address of a user. Its texts are null after they were erased.
#[derive(SimpleObject)]
struct UserAddress {
    /// The address's id.
    id: ID,
    /// What the user calls it, if it has a name.
    label: Option<String>,
    /// The person or company that receives what is sent there.
    recipient: Option<String>,
    /// The street and the number of the house.
    street: Option<String>,
    /// The city.
    city: Option<String>,
    /// The postal code, where the country has one.
    postal_code: Option<String>,
    /// A code of ISO 3166-1 alpha-2.
    country: String,
    /// The second part of a code of ISO 3166-2, if the address has one.
    region: Option<String>,
}

/// The sorts of a list of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[graphql(name = "UserSort", remote = "UserSort")]
pub(super) enum SortUsers {
    /// By registration, oldest first.
    CreatedAtAsc,
    /// By registration, newest first.
    CreatedAtDesc,
    /// Fewest orders first.
    OrderCountAsc,
    /// Most orders first.
    OrderCountDesc,
}

/// Which users a list has.
#[derive(Debug, Default, InputObject)]
pub(super) struct UserFilter {
    /// Only users with this status.
    status: Option<UserStatus>,
    /// Only the user with this e-mail address. Upper and lower case are the same.
    email: Option<String>,
}

impl UserFilter {
    /// The status that it names, and the address in the form that it is compared in.
    ///
    /// # Errors
    /// The address is none.
    pub(super) fn read(self) -> Result<(Option<UserStatus>, Option<String>), Problem> {
        let email = self.email.as_deref().map(filter::email).transpose().map_err(|error| {
            Problem::invalid(vec![error]).moved(|pointer| format!("/filter{pointer}"))
        })?;
        Ok((self.status, email))
    }
}

#[derive(Default)]
pub(super) struct UserQuery;

#[Object]
impl UserQuery {
    /// One user; null if there is none with this id, or not for the caller.
    async fn user(&self, ctx: &Context<'_>, id: ID) -> Answer<User> {
        let answer = async {
            let asking = ctx.data::<Asking>()?;
            asking.scope(Permission::UsersRead)?;
            find(asking, &id).await
        };
        answer.await.transpose()
    }

    /// The users that the caller may see.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The maximum number of users: 1 to 100. The default is 20.")]
        first: Option<i32>,
        #[graphql(desc = "The cursor that the page starts after.")] after: Option<String>,
        filter: Option<UserFilter>,
        #[graphql(default_with = "SortUsers::CreatedAtDesc")] sort: SortUsers,
    ) -> Answer<AtOnce<Connection<User>>> {
        let answer = async {
            let asking = ctx.data::<Asking>()?;
            let scope = asking.scope(Permission::UsersRead)?;
            let read = filter.unwrap_or_default().read();
            let (status, email) = read.map_err(|problem| asking.failure(&problem))?;
            let list = ("users", &(status, &email, sort));
            let wanted = Wanted::read(asking, list, sort.into(), (first, after.as_deref()))?;
            let status = status.map(|status| status.text().to_owned());
            let page_request = wanted.request.clone();
            let page = asking.ask(ListUsers { scope, status, email, page_request }).await?;
            Ok(Some(wanted.connection(page, |row| User(Arc::new(row)))))
        };
        answer.await.transpose()
    }

    #[graphql(entity)]
    async fn user_of_gateway(&self, ctx: &Context<'_>, id: ID) -> Result<Option<User>> {
        let asking = ctx.data::<Asking>()?;
        asking.entity(ctx, asking.scope(Permission::UsersRead), find(asking, &id)).await
    }
}

/// Finds a user by id. A text that is no id is that of nobody.
async fn find(asking: &Asking, id: &ID) -> Result<Option<User>> {
    let Ok(id) = id.parse::<Id>() else { return Ok(None) };
    Ok(asking.load(UserKey(id.get())).await?.map(User))
}

impl Listed for User {
    type Sort = UserSort;

    fn key(&self, sort: UserSort) -> Value {
        self.0.key(sort)
    }
}

impl Prompt for User {
    const WAITING: &'static [&'static str] = &["orders"];
}

/// A user, who may order.
#[Object]
impl User {
    /// The id: a UUID.
    pub(super) async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// The e-mail address. Null after the user's personal data were erased.
    async fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    /// The person's name. Null after the user's personal data were erased.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Whether the user can order. Null if this program does not know the status yet.
    async fn status(&self) -> Option<UserStatus> {
        known(&self.0.status)
    }

    /// What kind of customer the user is. Null if this program does not know the kind yet.
    async fn customer_type(&self) -> Option<CustomerType> {
        known(&self.0.customer_type)
    }

    /// What the user says about themselves.
    async fn profile(&self) -> Profile {
        let UserRow { display_name, locale, phone, .. } = self.0.as_ref();
        Profile { display_name: display_name.clone(), locale: locale.clone(), phone: phone.clone() }
    }

    /// What the shop should do for the user.
    async fn preferences(&self) -> Preferences {
        let UserRow { language, currency, newsletter, .. } = self.0.as_ref();
        Preferences {
            language: language.clone(),
            currency: currency.clone(),
            newsletter: *newsletter,
        }
    }

    /// The addresses, in the sequence in which they were added.
    async fn addresses(&self) -> Vec<UserAddress> {
        self.0.addresses.iter().map(UserAddress::of).collect()
    }

    /// The user's orders, as far as the caller may see them.
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The maximum number of orders: 1 to 100. The default is 20.")]
        first: Option<i32>,
        #[graphql(desc = "The cursor that the page starts after.")] after: Option<String>,
        #[graphql(desc = "Only orders with this status.")] status: Option<OrderStatus>,
        #[graphql(default_with = "SortOrders::CreatedAtDesc")] sort: SortOrders,
    ) -> Answer<AtOnce<Connection<Order>>> {
        let answer = async {
            let asking = ctx.data::<Asking>()?;
            asking.scope(Permission::OrdersRead)?;
            let list = ("orders of a user", &(self.0.id, status, sort));
            let wanted = Wanted::read(asking, list, sort.into(), (first, after.as_deref()))?;
            let status = status.map(OrderStatus::text);
            let is_brief = !selects(&ctx.item.node, DETAILS);
            let page = OrdersPage { status, is_brief, request: wanted.request.clone() };
            let page = asking.load(OrdersKey { user_id: self.0.id, page }).await?;
            Ok(page.map(|page| wanted.connection(page.as_ref().clone(), Order)))
        };
        answer.await.transpose()
    }

    /// The number of confirmed orders that were not cancelled afterwards.
    async fn order_count(&self) -> i64 {
        self.0.order_count
    }

    /// The gross total of these orders, by currency.
    async fn total_spent(&self) -> Vec<Money> {
        sums(&self.0.total_spent)
    }

    /// What was refunded of these orders, by currency.
    async fn total_refunded(&self) -> Vec<Money> {
        sums(&self.0.total_refunded)
    }

    /// The net total: `totalSpent` less `totalRefunded`, by currency.
    async fn total_net(&self) -> Vec<Money> {
        sums(&net(&self.0.total_spent, &self.0.total_refunded))
    }

    /// The total of all payments, by currency, also for orders that were cancelled afterwards.
    async fn total_paid(&self) -> Vec<Money> {
        sums(&self.0.total_paid)
    }

    /// The total of all refunds, by currency, also of cancelled orders.
    async fn total_paid_back(&self) -> Vec<Money> {
        sums(&self.0.total_paid_back)
    }

    /// The latest date of an order that was confirmed, also if it was cancelled afterwards.
    async fn last_order_at(&self) -> Option<Timestamp> {
        self.0.last_order_at.map(Timestamp)
    }

    /// The time when the user was registered.
    async fn created_at(&self) -> Timestamp {
        Timestamp(self.0.created_at)
    }

    /// The time of the latest change.
    async fn updated_at(&self) -> Timestamp {
        Timestamp(self.0.updated_at)
    }

    /// The version of the user. Each change raises it.
    async fn version(&self) -> i64 {
        self.0.version
    }
}

impl UserAddress {
    fn of(column: &AddressColumn) -> Self {
        let AddressColumn { id, label, recipient, street, city, postal_code, country, region } =
            column.clone();
        Self { id: id.into(), label, recipient, street, city, postal_code, country, region }
    }
}
