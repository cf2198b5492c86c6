//! A switch in user space: what a slow or long line does to datagrams. It delays them, lets only so many bytes pass in a
//! second, queues what has to wait as a router does, and loses the rest.
//!
//! Every sender has a line of its own into the switch. Its rate and its queue are for everything that it sends; the delay is
//! added behind the queue. [`crate::proxy::Network`] hands its datagrams through here. Where nothing is shaped they pass at
//! once, on the thread of the caller.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::now;

/// Bytes that IPv4 and UDP add to a datagram on a line.
const HEADER_BYTES: usize = 28;

/// The character of all lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Time from one end to the other: half a round trip.
    pub delay: Duration,
    /// Bytes that pass in a second; as many as there are if absent.
    pub bytes_per_s: Option<u64>,
    /// Bytes that may wait for their turn. What comes when they are full is lost.
    pub queue_bytes: usize,
    /// Part of the datagrams that is lost, between 0 and 1.
    pub loss: f64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { delay: Duration::ZERO, bytes_per_s: None, queue_bytes: 0, loss: 0.0 }
    }
}

impl Shape {
    /// Lines with this round trip and nothing else.
    #[must_use]
    pub fn round_trip(time: Duration) -> Self {
        Self { delay: time / 2, ..Self::default() }
    }

    /// The same with so many megabits in a second, and the queue of an ordinary router: a quarter of a second, but 64 KiB at
    /// least.
    #[must_use]
    pub fn with_rate(self, megabits: u64) -> Self {
        let bytes_per_s = megabits * 1_000_000 / 8;
        let queue_bytes = usize::try_from(bytes_per_s / 4).unwrap_or(usize::MAX).max(64 << 10);
        Self { bytes_per_s: Some(bytes_per_s), queue_bytes, ..self }
    }
}

/// The switch; a thread of its own delivers what had to wait.
#[derive(Debug)]
pub struct Switch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shape: Shape,
    /// When the line of each sender is free again.
    free_at: HashMap<SocketAddr, Instant>,
    waiting: BinaryHeap<Reverse<Parcel>>,
    /// Datagrams carried so far: keeps those that are due at the same time in order, and seeds what is lost.
    carried: u64,
    ended: bool,
}

#[derive(Debug)]
struct Parcel {
    due: Instant,
    number: u64,
    socket: Arc<UdpSocket>,
    /// Absent where the socket is connected.
    to: Option<SocketAddr>,
    datagram: Vec<u8>,
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Parcel {}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl Default for Switch {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new() }
    }
}

impl Switch {
    /// A switch whose lines are as short and wide as the machine allows.
    #[must_use]
    pub fn start() -> Arc<Self> {
        let switch = Arc::new(Self::default());
        let delivering = switch.clone();
        thread::spawn(move || delivering.deliver());
        switch
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every line is like this from now on.
    pub fn set(&self, shape: Shape) {
        let mut state = self.state();
        state.shape = shape;
        state.free_at.clear();
    }

    /// Nothing is delivered any more.
    pub fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// Takes a datagram from a sender to where `socket` is connected, or to `to`.
    pub fn carry(&self, from: SocketAddr, socket: &Arc<UdpSocket>, to: Option<SocketAddr>, datagram: &[u8]) {
        let mut state = self.state();
        if state.shape == Shape::default() && state.waiting.is_empty() {
            drop(state);
            return send(socket, to, datagram);
        }
        state.carried += 1;
        let (shape, number, present) = (state.shape, state.carried, now());
        if is_lost(number, shape.loss) {
            return;
        }
        let free = state.free_at.get(&from).copied().unwrap_or(present).max(present);
        let mut due = free;
        if let Some(rate) = shape.bytes_per_s {
            #[expect(clippy::cast_precision_loss, reason = "a fraction of a second at a rate is not exact anyway")]
            let (queued, takes) = (
                (free - present).as_secs_f64() * rate as f64,
                Duration::from_secs_f64((datagram.len() + HEADER_BYTES) as f64 / rate as f64),
            );
            #[expect(clippy::cast_precision_loss, reason = "see above")]
            if queued > shape.queue_bytes as f64 {
                return;
            }
            due += takes;
            state.free_at.insert(from, due);
        }
        let parcel = Parcel { due: due + shape.delay, number, socket: socket.clone(), to, datagram: datagram.to_vec() };
        let first = state.waiting.peek().is_none_or(|Reverse(first)| parcel.due < first.due);
        state.waiting.push(Reverse(parcel));
        drop(state);
        if first {
            self.changed.notify_all();
        }
    }

    fn deliver(&self) {
        let mut state = self.state();
        while !state.ended {
            let present = now();
            match state.waiting.peek().map(|Reverse(first)| first.due.saturating_duration_since(present)) {
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    if let Some(Reverse(parcel)) = state.waiting.pop() {
                        drop(state);
                        send(&parcel.socket, parcel.to, &parcel.datagram);
                        state = self.state();
                    }
                }
                Some(pause) => {
                    (state, _) = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// Errors of UDP are those of datagrams before (a port without a process): they are lost, as any datagram may be.
fn send(socket: &UdpSocket, to: Option<SocketAddr>, datagram: &[u8]) {
    let _ = match to {
        Some(to) => socket.send_to(datagram, to),
        None => socket.send(datagram),
    };
}

/// The same datagrams are lost in every run, scattered evenly (SplitMix64).
fn is_lost(number: u64, part: f64) -> bool {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let drawn = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default();
    f64::from(drawn) < part * f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Arc<UdpSocket>, UdpSocket, SocketAddr) {
        let (from, to) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        to.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        from.connect(to.local_addr().unwrap()).unwrap();
        let address = from.local_addr().unwrap();
        (Arc::new(from), to, address)
    }

    fn arrivals(to: &UdpSocket) -> Vec<(u8, Instant)> {
        let mut datagram = [0; 2048];
        std::iter::from_fn(|| to.recv(&mut datagram).ok().map(|_| (datagram[0], now()))).collect()
    }

    #[test]
    fn datagrams_are_late_by_the_delay_and_stay_in_order() {
        let (from, to, address) = pair();
        let switch = Switch::start();
        switch.set(Shape::round_trip(Duration::from_millis(120)));
        let begin = now();
        (0..20).for_each(|number| switch.carry(address, &from, None, &[number; 100]));
        let arrived = arrivals(&to);
        assert!(arrived.iter().map(|(number, _)| *number).eq(0..20), "{arrived:?}");
        assert!(arrived.iter().all(|(_, at)| *at - begin >= Duration::from_millis(60)), "{arrived:?}");
        switch.end();
    }

    #[test]
    fn a_line_passes_its_rate_queues_a_little_and_loses_the_rest() {
        let (from, to, address) = pair();
        let switch = Switch::start();
        switch.set(Shape { bytes_per_s: Some(100_000), queue_bytes: 10_000, ..Shape::default() });
        let begin = now();
        (0..40).for_each(|number| switch.carry(address, &from, None, &[number; 972]));
        let arrived = arrivals(&to);
        // Ten fit the queue and one is on its way; each takes 10 ms.
        assert!((10..=13).contains(&arrived.len()), "{arrived:?}");
        let took = arrived.last().unwrap().1 - begin;
        assert!(took >= Duration::from_millis(95), "{took:?}");
        switch.end();
    }

    #[test]
    fn so_many_of_a_hundred_are_lost() {
        let lost = (0..10_000).filter(|number| is_lost(*number, 0.05)).count();
        assert!((400..600).contains(&lost), "{lost}");
        assert!(!(0..1000).any(|number| is_lost(number, 0.0)));
    }
}
