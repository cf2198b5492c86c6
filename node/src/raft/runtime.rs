//! openraft's runtime: tokio's, with one difference.
//!
//! openraft gives a peer one heartbeat to answer an append and the shortest election timeout to answer a vote, whatever the
//! line to it is like. What has not come back by then it cancels, and sends again from the beginning: over a line with a
//! longer round trip, or for entries that take longer, that never ends. A [`super::network::Link`] knows its line and ends
//! its waits by itself. So these two timeouts of openraft do not fire here; all others do.

use std::future::Future;
use std::time::Duration;

use openraft::{AsyncRuntime, OptionalSend, TokioInstant, TokioRuntime};

use crate::limits::{CALL_BACKSTOP, ELECTION_TIMEOUT_MIN, HEARTBEAT};

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Runtime;

/// The time that openraft wants, or the backstop where a link ends the wait.
fn time_for(wanted: Duration) -> Duration {
    // Recognised by their lengths, because openraft names no purpose. Its other timeout, for the end of its own task, is a
    // second.
    if wanted == HEARTBEAT || wanted == ELECTION_TIMEOUT_MIN { CALL_BACKSTOP } else { wanted }
}

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = TokioInstant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <TokioRuntime as AsyncRuntime>::ThreadLocalRng;
    type OneshotSender<T: OptionalSend> = <TokioRuntime as AsyncRuntime>::OneshotSender<T>;
    type OneshotReceiver<T: OptionalSend> = <TokioRuntime as AsyncRuntime>::OneshotReceiver<T>;
    type OneshotReceiverError = <TokioRuntime as AsyncRuntime>::OneshotReceiverError;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(time_for(duration), future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Self::Instant, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        TokioRuntime::thread_rng()
    }

    fn oneshot<T: OptionalSend>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>) {
        TokioRuntime::oneshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openraft_ends_no_wait_for_a_peer_and_every_other() {
        for peers in [HEARTBEAT, ELECTION_TIMEOUT_MIN] {
            assert_eq!(time_for(peers), CALL_BACKSTOP);
        }
        // The time openraft gives its core to end, before it says that it has ended.
        assert_eq!(time_for(Duration::from_secs(1)), Duration::from_secs(1));
    }
}
