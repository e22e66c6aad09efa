//! Says what type of customer a user is.

use access::{Owner, Permission};
use domain::user::UserCommand;
use domain::value::CustomerType;
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{Environment, Fields, Input};

/// The type of a customer, as the caller writes it.
#[derive(Debug, Clone)]
pub struct ClassifyUserInput {
    /// The user's id.
    pub user_id: Uuid,
    /// The type: `consumer`, `business` or `reseller`.
    pub customer_type: String,
}

impl Input for ClassifyUserInput {
    type UseCase = ClassifyUser;

    fn read(self, _: &Environment) -> Result<ClassifyUser, CommandError> {
        let mut fields = Fields::default();
        match fields.value("customer_type", self.customer_type.parse()) {
            Some(customer_type) => Ok(ClassifyUser { user_id: self.user_id, customer_type }),
            None => Err(fields.invalid().into()),
        }
    }
}

/// Says what type of customer a user is. Discounts depend on it, so users do not choose it.
pub struct ClassifyUser {
    /// The user's id.
    pub user_id: Uuid,
    /// The type of the customer.
    pub customer_type: CustomerType,
}

impl UseCase for ClassifyUser {
    const NAME: &'static str = "classify_user";
    const PERMISSION: Permission = Permission::UsersClassify;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::User(self.user_id))
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let user = work.user(self.user_id).await?;
        let events = user.decide([UserCommand::Classify { customer_type: self.customer_type }])?;
        Ok(work.changes(&user, &events)?.into())
    }
}
