//! Calls to other people's systems, each within limits.
//!
//! A [`Target`] is one system behind one address. Each call to it has a deadline for each attempt
//! and one in total. What failed is repeated with exponential backoff and full jitter, within a
//! budget, and not before the moment that the target names in `Retry-After`. A circuit breaker
//! refuses calls to a target that keeps failing, and a bulkhead limits how many calls it can hold
//! up. Every call carries its idempotency key and its trace.
//!
//! A failed call says whether it may have taken effect ([`Effect`]). That decides what the caller
//! may do next: call again, or look up what became of it.
//!
//! The circuit breaker is our own. tower-resilience 0.13 measures time by the system's clock, so no
//! test can move it; its count window never forgets a call, so a target that worked for a day must
//! fail for a day before the breaker opens; and an answer to a call from before the breaker opened
//! counts as the answer to a probe.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use outward::{Http, Repeat, Request, Settings, Target};
//!
//! let settings = Settings::default();
//! let http = Http::new("https://parcels.example.com".parse()?, &settings)?;
//! let parcels = Target::new("parcels", http, settings);
//! let request = Request::post("/v1/parcels", "weight=3").repeat(Repeat::with_key("4711"));
//! let answer = parcels.call(request).await?;
//! # Ok(())
//! # }
//! ```

mod address;
mod answer;
mod backoff;
mod breaker;
mod breaker_state;
mod budget;
mod bulkhead;
mod effect;
mod error;
mod http;
mod request;
mod retry_after;
mod settings;
mod target;
mod telemetry;
mod trace;

pub use address::{Address, InvalidAddress};
pub use answer::{Answer, Verdict, judge};
pub use breaker::BreakerSettings;
pub use breaker_state::State;
pub use budget::BudgetSettings;
pub use bulkhead::BulkheadSettings;
pub use effect::Effect;
pub use error::{CallError, Reason};
pub use http::{Http, SendError, Transport};
pub use request::{Repeat, Request};
pub use settings::Settings;
pub use target::{Report, Target};

// The types of requests and answers.
pub use bytes::Bytes;
pub use reqwest::{Method, StatusCode, header};
