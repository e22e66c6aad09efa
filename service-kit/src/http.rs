//! The HTTP server and the layers that every API wears: request ids and traces, problems for every error, metrics,
//! CORS, limits of size and time, security headers. What a route does is the process's own business.

mod context;
mod layers;
mod origins;
mod serve;

pub use context::{RequestId, TraceParent};
pub use layers::{BODY_DEADLINE, BODY_LIMIT, REQUEST_DEADLINE, layered};
pub use origins::{OriginError, Origins};
pub use serve::{MAX_CONNECTIONS, ServeError, bind, serve, serve_all};
