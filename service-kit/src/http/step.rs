//! Steps of a request on its way to the handler, and of the answer on its way back.
//!
//! A step does the same as a function with [`axum::middleware::from_fn`], but costs no allocation
//! and no copy of what comes behind it. It must not wait for anything.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::{BoxError, body::Bytes};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::Span;
use tracing::instrument::{Instrument as _, Instrumented};

/// What happens before and after the services behind it. Each request gets a clone, so clones
/// should share what is large.
pub trait Step: Clone {
    /// What [`after`](Self::after) needs of the request. It is dropped with the request if the
    /// client hangs up.
    type After;

    /// Looks at a request on its way to the handler, and may change it.
    ///
    /// # Errors
    /// The answer to a request that goes no further. Boxed, because it is large and rare.
    fn before(&self, request: &mut Request) -> Result<Self::After, Box<Response>>;

    /// The span in which the services behind this step run.
    fn span(_after: &Self::After) -> Span {
        Span::none()
    }

    /// Looks at an answer on its way back, and may change it. It does not see answers of
    /// [`before`](Self::before).
    fn after(&self, _after: Self::After, response: Response) -> Response {
        response
    }
}

/// The layer of a step.
#[derive(Debug, Clone)]
pub struct StepLayer<P>(pub P);

/// The services behind a step.
#[derive(Debug, Clone)]
pub struct Stepped<P, S> {
    step: P,
    inner: S,
}

impl<P, S> Stepped<P, S> {
    /// Puts a step in front of a service.
    pub const fn new(step: P, inner: S) -> Self {
        Self { step, inner }
    }
}

impl<P: Clone, S> Layer<S> for StepLayer<P> {
    type Service = Stepped<P, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Stepped::new(self.0.clone(), inner)
    }
}

impl<P, S, B> Service<Request<B>> for Stepped<P, S>
where
    P: Step,
    S: Service<Request>,
    S::Response: IntoResponse,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Stepping<P, P::After, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(Body::new);
        match self.step.before(&mut request) {
            Ok(after) => {
                let future = self.inner.call(request).instrument(P::span(&after));
                Stepping { way: Way::Passed { back: Some((self.step.clone(), after)), future } }
            }
            Err(response) => Stepping { way: Way::Refused { response: Some(response) } },
        }
    }
}

pin_project! {
    /// The future answer of a [`Stepped`] service.
    #[derive(Debug)]
    pub struct Stepping<P, A, F> {
        #[pin]
        way: Way<P, A, F>,
    }
}

pin_project! {
    #[project = WayProjection]
    #[derive(Debug)]
    enum Way<P, A, F> {
        // The request went on.
        Passed {
            back: Option<(P, A)>,
            #[pin]
            future: Instrumented<F>,
        },
        // The step itself answers.
        Refused { response: Option<Box<Response>> },
    }
}

impl<P, F, R, E> Future for Stepping<P, P::After, F>
where
    P: Step,
    F: Future<Output = Result<R, E>>,
    R: IntoResponse,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match self.project().way.project() {
            WayProjection::Passed { back, future } => {
                let response = ready!(future.poll(context))?.into_response();
                back.take().map(|(step, after)| step.after(after, response))
            }
            WayProjection::Refused { response } => response.take().map(|response| *response),
        };
        // There is none if it was taken before. A future is not polled after its end.
        response.map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
    }
}
