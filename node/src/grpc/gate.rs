//! What holds for every call, whatever it is: refused connections are told why, and calls and the bytes of their requests
//! have bounds over all connections.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tower::Service;

use super::socket::Peer;
use crate::limits::{GRPC_CALLS_MAX, GRPC_REQUESTS_BYTES_MAX};

/// Stands in front of all services.
#[derive(Debug, Clone)]
pub(super) struct Gate<S> {
    inner: S,
    inside: Arc<Inside>,
}

/// What is inside now.
#[derive(Debug, Default)]
struct Inside {
    calls: AtomicUsize,
    bytes: AtomicUsize,
}

impl<S> Gate<S> {
    pub(super) fn new(inner: S) -> Gate<S> {
        Gate { inner, inside: Arc::default() }
    }
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Response<Body>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(why) = request.extensions().get::<Peer>().and_then(|peer| peer.refused) {
            let status = Status::failed_precondition(why);
            return Box::pin(async move { Ok(status.into_http()) });
        }
        let call = Taken { of: self.inside.clone(), count: 1, bytes: 0 };
        if self.inside.calls.fetch_add(1, Ordering::Relaxed) >= GRPC_CALLS_MAX {
            let status = Status::resource_exhausted("too many calls are under way, try again");
            return Box::pin(async move {
                drop(call);
                Ok(status.into_http())
            });
        }
        let bytes = Taken { of: self.inside.clone(), count: 0, bytes: 0 };
        let future = self.inner.call(request.map(|body| Body::new(Counted { body, bytes })));
        Box::pin(async move {
            let response = future.await;
            drop(call);
            response
        })
    }
}

/// A part of what is inside.
#[derive(Debug)]
struct Taken {
    of: Arc<Inside>,
    count: usize,
    bytes: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.of.calls.fetch_sub(self.count, Ordering::Relaxed);
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A request whose bytes are counted until it has come to its end.
struct Counted {
    body: Body,
    bytes: Taken,
}

impl http_body::Body for Counted {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.bytes.bytes += data.len();
            let before = this.bytes.of.bytes.fetch_add(data.len(), Ordering::Relaxed);
            if before + data.len() > GRPC_REQUESTS_BYTES_MAX {
                let status = Status::resource_exhausted("too many requests are being sent at once, try again");
                return Poll::Ready(Some(Err(status)));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
