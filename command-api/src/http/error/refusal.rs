//! The problem for each refusal of an aggregate.

use axum::http::StatusCode;
use domain::order::{OrderError, OrderStatus};
use domain::pricing::PricingError;
use domain::product::ProductError;
use domain::user::UserError;
use domain::user_orders::UserOrdersError;
use service_kit::{FieldError, Problem};

use crate::application::CommandError;
use crate::application::error::ShortLine;
use crate::application::use_case::AggregateError;

pub(super) fn refused(error: AggregateError) -> Problem {
    match error {
        AggregateError::User(error) => user(error),
        AggregateError::Product(error) => product(error),
        AggregateError::Order(error) => order(error),
        AggregateError::UserOrders(error) => user_orders(error),
    }
}

fn user(error: UserError) -> Problem {
    match error {
        UserError::Unknown | UserError::UnknownAddress => Problem::not_found(),
        UserError::AlreadyRegistered => {
            Problem::conflict("user/already-registered", "The user is registered already")
        }
        UserError::Deactivated => Problem::conflict("user/deactivated", "The user is deactivated"),
        UserError::Active => Problem::conflict("user/active", "The user is active"),
        UserError::Erased => super::erased(),
        UserError::AddressExists => {
            Problem::conflict("user/address-exists", "The user has an address with this id already")
        }
        UserError::TooManyAddresses => {
            Problem::conflict("user/too-many-addresses", "The user has too many addresses")
                .detail(error.to_string())
        }
    }
}

fn user_orders(error: UserOrdersError) -> Problem {
    match error {
        UserOrdersError::Ended => super::erased(),
        UserOrdersError::TooMany => {
            Problem::conflict("user/too-many-open-orders", "The user has too many open orders")
                .detail(error.to_string())
        }
        UserOrdersError::Open { .. } => {
            Problem::conflict("user/open-orders", "The user has an open order")
                .detail(error.to_string())
        }
    }
}

/// A user who may change only their own data changes the address that they log in with.
pub(super) fn email_needs_proof() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "user/email-needs-proof",
        "You log in with your e-mail address, so another one is proven first",
    )
    .detail("ask for a mail to the new address with the operation askEmailChange (/auth/email)")
}

fn product(error: ProductError) -> Problem {
    match error {
        ProductError::Unknown => Problem::not_found(),
        ProductError::AlreadyAdded => {
            Problem::conflict("product/already-added", "The product is there already")
        }
        ProductError::NotEnoughStock { .. } => {
            Problem::conflict("product/not-enough-stock", "There is not enough in stock")
                .detail(error.to_string())
        }
        ProductError::UnitsOutOfRange => {
            field("/quantity", "quantity/out-of-range", &error.to_string())
        }
        ProductError::TooManyReservations => Problem::conflict(
            "product/too-many-reservations",
            "The product is reserved for too many orders at once",
        )
        .detail(error.to_string()),
        ProductError::StockTooLarge => {
            Problem::conflict("product/stock-too-large", "The stock would be too large")
                .detail(error.to_string())
        }
    }
}

fn order(error: OrderError) -> Problem {
    match error {
        OrderError::Unknown | OrderError::UnknownLine => Problem::not_found(),
        OrderError::AlreadyPlaced => {
            Problem::conflict("order/already-placed", "The order is placed already")
        }
        OrderError::NoLines => {
            field("/lines", "too-few", "an order is placed with at least one line")
        }
        OrderError::TooManyLines => {
            Problem::conflict("order/too-many-lines", "The order has too many lines")
                .detail(error.to_string())
        }
        OrderError::Total { .. } => {
            Problem::conflict("order/total", "The lines do not add up").detail(error.to_string())
        }
        OrderError::NotPending { .. } => {
            Problem::conflict("order/not-pending", "Only a pending order can change")
                .detail(error.to_string())
        }
        OrderError::NotPriced { reason } => not_priced(reason).detail(error.to_string()),
        OrderError::Empty => {
            Problem::conflict("order/empty", "An order without lines cannot be confirmed")
        }
        OrderError::OtherStatus { needed, .. } => other_status(needed).detail(error.to_string()),
        OrderError::NotCancellable { .. } => {
            Problem::conflict("order/not-cancellable", "The order can no longer be cancelled")
                .detail(error.to_string())
        }
        OrderError::OwnOrder => Problem::new(
            StatusCode::FORBIDDEN,
            "order/own",
            "Nobody records payments, shipments or refunds of their own orders",
        ),
        OrderError::NothingPaid => {
            Problem::conflict("order/nothing-paid", "Nothing was paid for the order")
        }
        OrderError::EmptyRefund => field("/amount", "money/zero", &error.to_string()),
        OrderError::RefundTooLarge { .. } => {
            Problem::conflict("order/refund-too-large", "More would be refunded than was paid")
                .detail(error.to_string())
        }
        OrderError::CancelFirst => Problem::conflict(
            "order/cancel-first",
            "An order is cancelled before its whole payment is refunded",
        ),
        OrderError::Refund { .. } => {
            Problem::conflict("order/refund", "The amount does not fit the payment")
                .detail(error.to_string())
        }
    }
}

fn not_priced(reason: PricingError) -> Problem {
    let (code, title) = match reason {
        PricingError::NoDestination => {
            ("order/no-shipping-address", "The tax depends on a shipping address")
        }
        PricingError::NoTaxRate { .. } => {
            ("order/no-tax-rate", "The shop has no tax rate for where the order goes")
        }
        PricingError::NoLines => ("order/empty", "An order without lines cannot be confirmed"),
        PricingError::Money(_) => ("order/total", "The lines do not add up"),
    };
    Problem::conflict(code, title)
}

fn other_status(needed: OrderStatus) -> Problem {
    let (code, title) = match needed {
        OrderStatus::Pending => ("order/not-pending", "Only a pending order can change"),
        OrderStatus::Confirmed => ("order/not-confirmed", "The order does not await its payment"),
        OrderStatus::Paid => ("order/not-paid", "Only a paid order is shipped"),
        OrderStatus::Shipped => ("order/not-shipped", "Only a shipped order is delivered"),
        OrderStatus::Delivered => ("order/not-delivered", "The order is not delivered"),
        OrderStatus::Cancelled => ("order/not-cancelled", "The order is not cancelled"),
        OrderStatus::Refunded => ("order/not-refunded", "The order is not refunded"),
    };
    Problem::conflict(code, title)
}

/// One problem for all lines for which there is not enough, with a pointer to each line of the
/// order.
pub(super) fn out_of_stock(lines: &[ShortLine]) -> Problem {
    let problem = Problem::conflict(
        "order/not-enough-stock",
        "There is not enough in stock for the order; nothing was taken",
    );
    let problem = problem.detail(CommandError::OutOfStock(lines.to_vec()).to_string());
    lines.iter().fold(problem, |problem, line| {
        let pointer = format!("/lines/{}", line.index);
        problem.error(FieldError::new(pointer, "stock/not-enough", line.to_string()))
    })
}

fn field(pointer: &str, code: &'static str, detail: &str) -> Problem {
    Problem::invalid(vec![FieldError::new(pointer, code, detail)])
}
