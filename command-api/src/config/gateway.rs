//! The settings of payments and shipments: which provider, and its secrets. There is no default: a
//! shop that forgot to choose would charge nobody.

use std::sync::Arc;

use cli_kit::{Usage, describe};
use outward::{Address, Settings};
use secrecy::SecretString;

use crate::adapter::sandbox::webhook::ShipmentWebhooks;
use crate::adapter::stripe::webhook::Webhooks;
use crate::adapter::{SandboxShipping, Stripe, stripe};
use crate::port::{PaymentGateway, Shipping};

/// The secret key of the sandbox, which takes any test key.
const SANDBOX_KEY: &str = "sk_test_sandbox";

/// The providers of payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PaymentProvider {
    /// Stripe, by its API.
    Stripe,
    /// The sandbox, which moves no money.
    Sandbox,
}

/// The providers of shipments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ShippingProvider {
    /// The sandbox, which moves no goods.
    Sandbox,
}

service_kit::secret_args!(
    /// The secret key of Stripe's API.
    StripeKeyArgs, "stripe-secret-key", "STRIPE_SECRET_KEY", "stripe-secret-key-file",
        "STRIPE_SECRET_KEY_FILE"
);

service_kit::secret_args!(
    /// The secrets that sign the payment provider's events, one per line. There are two while one
    /// replaces the other.
    WebhookSecretArgs, "payment-webhook-secret", "PAYMENT_WEBHOOK_SECRET",
        "payment-webhook-secret-file", "PAYMENT_WEBHOOK_SECRET_FILE"
);

service_kit::secret_args!(
    /// The secrets that sign the shipper's events, one per line. There are two while one replaces
    /// the other.
    ShippingSecretArgs, "shipping-webhook-secret", "SHIPPING_WEBHOOK_SECRET",
        "shipping-webhook-secret-file", "SHIPPING_WEBHOOK_SECRET_FILE"
);

/// Which provider takes payments, where it is, and its secrets.
#[derive(Debug, clap::Args)]
pub struct PaymentArgs {
    /// The provider of payments.
    #[arg(long, env = "PAYMENT_PROVIDER", value_enum)]
    pub payment_provider: PaymentProvider,
    /// The key of Stripe's API.
    #[command(flatten)]
    pub stripe_key: StripeKeyArgs,
    /// The secrets that sign the provider's events.
    #[command(flatten)]
    pub webhook_secret: WebhookSecretArgs,
    /// The address of Stripe's API.
    #[arg(long, env = "STRIPE_API", value_name = "URL", default_value = stripe::ADDRESS)]
    pub stripe_api: Address,
    /// The address of the sandbox.
    #[arg(
        id = "payment-sandbox",
        long = "payment-sandbox",
        env = "PAYMENT_SANDBOX",
        value_name = "URL",
        default_value = "http://127.0.0.1:4010"
    )]
    pub sandbox: Address,
}

/// Which provider ships parcels, and where it is.
#[derive(Debug, clap::Args)]
pub struct ShippingArgs {
    /// The provider of shipments.
    #[arg(long, env = "SHIPPING_PROVIDER", value_enum)]
    pub shipping_provider: ShippingProvider,
    /// The secrets that sign the shipper's events.
    #[command(flatten)]
    pub webhook_secret: ShippingSecretArgs,
    /// The address of the sandbox.
    #[arg(
        id = "shipping-sandbox",
        long = "shipping-sandbox",
        env = "SHIPPING_SANDBOX",
        value_name = "URL",
        default_value = "http://127.0.0.1:4010"
    )]
    pub sandbox: Address,
}

/// A setting that cannot be used.
fn usage(error: impl std::error::Error + 'static) -> Usage {
    Usage(describe(&error))
}

impl PaymentArgs {
    /// The chosen provider, with the limits of calls to it.
    ///
    /// # Errors
    /// A secret is missing or unusable, or the HTTP client cannot be made.
    pub fn gateway(&self, limits: Settings) -> Result<Arc<dyn PaymentGateway>, Usage> {
        let made = match self.payment_provider {
            PaymentProvider::Stripe => {
                let key = self.stripe_key.get().map_err(usage)?;
                Stripe::new("stripe", self.stripe_api.clone(), &key, limits)
            }
            PaymentProvider::Sandbox => {
                let key = SecretString::from(SANDBOX_KEY);
                Stripe::new("payment_sandbox", self.sandbox.clone(), &key, limits)
            }
        };
        let made = made.map_err(usage)?;
        Ok(Arc::new(made))
    }

    /// What reads the provider's events; `None` without a secret.
    ///
    /// # Errors
    /// The secret cannot be read.
    pub fn webhooks(&self) -> Result<Option<Webhooks>, Usage> {
        let secret = self.webhook_secret.optional().map_err(usage)?;
        Ok(secret.as_ref().map(Webhooks::new))
    }
}

impl ShippingArgs {
    /// The chosen provider, with the limits of calls to it.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn gateway(&self, limits: Settings) -> Result<Arc<dyn Shipping>, Usage> {
        let ShippingProvider::Sandbox = self.shipping_provider;
        let made = SandboxShipping::new("shipping_sandbox", self.sandbox.clone(), limits);
        Ok(Arc::new(made.map_err(usage)?))
    }

    /// What reads the shipper's events; `None` without a secret.
    ///
    /// # Errors
    /// The secret cannot be read.
    pub fn webhooks(&self) -> Result<Option<ShipmentWebhooks>, Usage> {
        let secret = self.webhook_secret.optional().map_err(usage)?;
        Ok(secret.as_ref().map(ShipmentWebhooks::new))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Program {
        #[command(flatten)]
        payment: PaymentArgs,
        #[command(flatten)]
        shipping: ShippingArgs,
    }

    fn parsed(arguments: &[&str]) -> Result<Program, String> {
        let program = Program::try_parse_from(["program"].iter().chain(arguments));
        program.map_err(|error| error.to_string())
    }

    #[test]
    fn an_unknown_or_missing_provider_is_refused_with_the_known_ones() {
        let refused = parsed(&["--payment-provider=paypal"]).unwrap_err();
        assert!(refused.contains("paypal") && refused.contains("stripe, sandbox"), "{refused}");
        let refused = parsed(&["--payment-provider=sandbox", "--shipping-provider=dhl"]);
        let refused = refused.unwrap_err();
        assert!(refused.contains("dhl") && refused.contains("[possible values: sandbox]"));
        let refused = parsed(&[]).unwrap_err();
        assert!(refused.contains("--payment-provider") && refused.contains("--shipping-provider"));
    }

    #[test]
    fn a_provider_needs_its_own_secret_and_no_other() {
        let with = |provider: &str, more: &[&str]| {
            let provider = format!("--payment-provider={provider}");
            let arguments = [&[provider.as_str(), "--shipping-provider=sandbox"], more].concat();
            parsed(&arguments).unwrap()
        };
        let made = |program: &Program| program.payment.gateway(Settings::default()).map(drop);
        let program = with("sandbox", &[]);
        assert!(made(&program).is_ok() && program.payment.webhooks().unwrap().is_none());
        assert!(program.shipping.gateway(Settings::default()).is_ok());
        assert!(program.shipping.webhooks().unwrap().is_none());
        let missing = made(&with("stripe", &[])).unwrap_err().to_string();
        assert!(missing.contains("STRIPE_SECRET_KEY"), "{missing}");
        let unusable = made(&with("stripe", &["--stripe-secret-key=canary\n1"])).unwrap_err();
        assert!(!unusable.to_string().contains("canary"), "{unusable}");
        let program = with("stripe", &["--stripe-secret-key=sk", "--payment-webhook-secret=wh"]);
        assert!(made(&program).is_ok() && program.payment.webhooks().unwrap().is_some());
        let debug = format!("{program:?}");
        assert!(!debug.contains("\"sk\"") && !debug.contains("\"wh\""), "{debug}");
    }

    #[test]
    fn secrets_leave_by_tls_or_stay_on_this_machine() {
        let refused = parsed(&[
            "--payment-provider=stripe",
            "--shipping-provider=sandbox",
            "--stripe-api=http://api.example.com",
        ]);
        assert!(refused.unwrap_err().contains("--stripe-api"));
    }
}
