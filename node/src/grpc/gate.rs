//! What holds for every call, whatever it is: refused connections are told why, and calls and the bytes of their requests
//! have bounds over all connections.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::{Code as Grpc, Status};
use tower::Service;
use wire::chat::Code;

use super::convert::{CODE, code_of, refusal};
use super::socket::Peer;
use crate::limits::{GRPC_CALLS_MAX, GRPC_REQUESTS_BYTES_MAX};

/// Paths of our own dialect's calls.
const V2: &str = "/samira.v2.Chat/";

/// The call whose request is a stream that may last.
const WRITES: &str = "/samira.v2.Chat/Write";

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
            let status = refusal(Code::PlaintextRefused, why);
            return Box::pin(async move { Ok(status.into_http()) });
        }
        let call = Taken { of: self.inside.clone(), count: 1, bytes: 0 };
        if self.inside.calls.fetch_add(1, Ordering::Relaxed) >= GRPC_CALLS_MAX {
            let status = refusal(Code::Busy, "too many calls are under way, try again");
            return Box::pin(async move {
                drop(call);
                Ok(status.into_http())
            });
        }
        let bytes = Taken { of: self.inside.clone(), count: 0, bytes: 0 };
        let path = request.uri().path();
        let (is_v2, streams) = (path.starts_with(V2), path == WRITES);
        let messages = streams.then(Messages::default);
        let future = self.inner.call(request.map(|body| Body::new(Counted { body, bytes, messages })));
        Box::pin(async move {
            let response = future.await;
            drop(call);
            response.map(|response| if is_v2 { coded(response) } else { response })
        })
    }
}

/// Adds the number of a code to a refusal of the framework's own.
fn coded(mut response: Response<Body>) -> Response<Body> {
    let status = response.headers().get(Status::GRPC_STATUS).map(|status| Grpc::from_bytes(status.as_bytes()));
    if let Some(code) = status.and_then(code_of)
        && !response.headers().contains_key(CODE)
    {
        response.headers_mut().insert(CODE, HeaderValue::from(code.number()));
    }
    response
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
    /// Of a stream of messages only the one that has not come to its end counts: those before it were taken.
    messages: Option<Messages>,
}

/// Where the messages of a stream end: each has five bytes in front, a flag and its length.
#[derive(Debug, Default)]
struct Messages {
    head: [u8; 5],
    head_len: usize,
    left: usize,
    held: usize,
}

impl Messages {
    /// Takes in the next bytes of the stream, and returns how many of the message at their end have come.
    fn take_in(&mut self, mut data: &[u8]) -> usize {
        while let Some(&first) = data.first() {
            if self.head_len < self.head.len() {
                self.head[self.head_len] = first;
                self.head_len += 1;
                data = &data[1..];
                if self.head_len == self.head.len() {
                    let [_, length @ ..] = self.head;
                    self.left = u32::from_be_bytes(length) as usize;
                }
            } else {
                let count = self.left.min(data.len());
                self.left -= count;
                self.held += count;
                data = &data[count..];
            }
            if self.head_len == self.head.len() && self.left == 0 {
                *self = Messages::default();
            }
        }
        self.held
    }
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
            let held = this.bytes.bytes;
            let now = this.messages.as_mut().map_or(held + data.len(), |messages| messages.take_in(data));
            this.bytes.bytes = now;
            this.bytes.of.bytes.fetch_add(now, Ordering::Relaxed);
            let all = this.bytes.of.bytes.fetch_sub(held, Ordering::Relaxed) - held;
            if all > GRPC_REQUESTS_BYTES_MAX {
                let status = refusal(Code::Busy, "too many requests are being sent at once, try again");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_stream_the_message_under_way_counts() {
        let message = |length: u8| [&[0, 0, 0, 0, length][..], &vec![7; usize::from(length)]].concat();
        let stream = [message(3), message(0), message(200), message(9)].concat();
        for chunk in 1..=stream.len() {
            let mut messages = Messages::default();
            let held: Vec<usize> = stream.chunks(chunk).map(|piece| messages.take_in(piece)).collect();
            assert!(held.iter().all(|held| *held < 200) && held.last() == Some(&0), "{held:?} by {chunk}");
        }
        let mut messages = Messages::default();
        assert_eq!(messages.take_in(&stream[..8]), 0);
        assert_eq!(messages.take_in(&stream[8..118]), 100);
    }
}
