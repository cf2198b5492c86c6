//! How many bytes may be under way on a link: as CUBIC, and bounded by the queue that they make.
//!
//! CUBIC (RFC 9438) fills a line until a router loses something. Before a router with a slow line behind it loses anything it
//! queues for a second or longer, and then every heartbeat is late by that. This controller takes a packet that was under way
//! for much longer than the quickest of the last seconds for a queue, and shrinks the window to what the line holds without
//! one. Nothing that a link carries is worth a later heartbeat.
//!
//! What differs from CUBIC besides: the start grows by half in a round trip instead of doubling, because what it overshoots
//! stands in the queue for one round trip, and the smallest window is [`WINDOW_PACKETS_MIN`].

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;

/// Longer than this behind the quickest packet, and the window shrinks: one heartbeat.
const QUEUE_MAX: Duration = Duration::from_millis(100);

/// Longer than this, and the fast growth of the start is over.
const QUEUE_AT_START: Duration = Duration::from_millis(30);

/// A queue is believed when packets have been late for this long without one in time: after a stall of this machine they come
/// in one burst.
const QUEUE_LASTS: Duration = Duration::from_millis(30);

/// A quickest packet is remembered for this long at least, and twice as long at most: then the way may have changed.
const QUICKEST_MEMORY: Duration = Duration::from_secs(10);

/// Packets that may always be under way. On a megabit they take a tenth of a second, and an idle line is found again soon.
const WINDOW_PACKETS_MIN: u64 = 8;

/// Bytes under way at the start: what RFC 9002 takes.
const WINDOW_BYTES_START: u64 = 14_720;

/// What a loss leaves of the window, and CUBIC's speed of growth: RFC 9438, 4.1 and 4.6.
const AFTER_LOSS: f64 = 0.7;
const GROWTH: f64 = 0.4;

/// What a queue leaves of the window at least: on a short line a stall of the machine looks like a queue.
const AFTER_QUEUE_MIN: f64 = 0.25;

/// Makes a controller per connection.
#[derive(Debug, Default)]
pub(super) struct Bounded;

impl ControllerFactory for Bounded {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Window::new(now, mtu))
    }
}

/// The shortest way of the last seconds.
#[derive(Debug, Clone, Copy)]
struct Quickest {
    recent: Option<Duration>,
    before: Option<Duration>,
    since: Instant,
}

impl Quickest {
    fn add(&mut self, now: Instant, sample: Duration) {
        if now.saturating_duration_since(self.since) >= QUICKEST_MEMORY {
            (self.before, self.recent, self.since) = (self.recent, None, now);
        }
        self.recent = Some(self.recent.map_or(sample, |recent| recent.min(sample)));
    }

    fn time(&self) -> Option<Duration> {
        [self.recent, self.before].into_iter().flatten().min()
    }
}

/// The controller of one connection.
#[derive(Debug, Clone)]
struct Window {
    bytes: u64,
    /// Below it the window grows fast.
    threshold: u64,
    packet_bytes: u64,
    /// Since when it grows by CUBIC's curve. What was sent before says nothing about the window as it is.
    since: Option<Instant>,
    /// The window when it last had to shrink, and what was left of it.
    before: u64,
    after: u64,
    quickest: Quickest,
    /// Since when every packet was late.
    late_since: Option<Instant>,
    /// The quickest of the packets that are being acknowledged together, and when it was sent.
    batch: Option<(Duration, Instant)>,
}

impl Window {
    fn new(now: Instant, mtu: u16) -> Self {
        Window {
            bytes: WINDOW_BYTES_START,
            threshold: u64::MAX,
            packet_bytes: mtu.into(),
            since: None,
            before: WINDOW_BYTES_START,
            after: WINDOW_BYTES_START,
            quickest: Quickest { recent: None, before: None, since: now },
            late_since: None,
            batch: None,
        }
    }

    fn bytes_min(&self) -> u64 {
        WINDOW_PACKETS_MIN * self.packet_bytes
    }

    fn is_before_the_last_change(&self, sent: Instant) -> bool {
        self.since.is_some_and(|since| sent <= since)
    }

    fn shrink(&mut self, now: Instant, part: f64) {
        self.before = self.bytes;
        self.bytes = scaled(self.bytes, part).max(self.bytes_min());
        self.after = self.bytes;
        self.since = Some(now);
    }

    /// CUBIC's window at a time after the last change.
    fn curve(&self, time: Duration) -> u64 {
        let packets = |bytes: u64| float(bytes) / float(self.packet_bytes);
        let (before, after) = (packets(self.before), packets(self.after.min(self.before)));
        let plateau = ((before - after) / GROWTH).cbrt();
        let window = GROWTH * (time.as_secs_f64() - plateau).powi(3) + before;
        scaled(self.packet_bytes, window.max(0.0))
    }

    fn grow(&mut self, now: Instant, bytes: u64, round_trip: Duration) {
        if self.bytes < self.threshold {
            self.bytes += bytes / 2;
            return;
        }
        let since = *self.since.get_or_insert(now);
        let curve = self.curve(now.saturating_duration_since(since) + round_trip);
        let towards_curve = scaled(bytes, float(curve.saturating_sub(self.bytes)) / float(self.bytes));
        let steady = self.packet_bytes * bytes / self.bytes / 2;
        self.bytes += towards_curve.clamp(steady, bytes / 2);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a window is far below 2^53 bytes")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is never negative")]
fn scaled(bytes: u64, by: f64) -> u64 {
    (float(bytes) * by) as u64
}

impl Controller for Window {
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        let took = now.saturating_duration_since(sent);
        if self.batch.is_none_or(|(quickest, _)| took < quickest) {
            self.batch = Some((took, sent));
        }
        if !app_limited && !self.is_before_the_last_change(sent) {
            self.grow(now, bytes, rtt.get());
        }
    }

    fn on_end_acks(&mut self, now: Instant, _in_flight: u64, _app_limited: bool, _largest: Option<u64>) {
        let Some((took, sent)) = self.batch.take() else { return };
        self.quickest.add(now, took);
        let Some(quickest) = self.quickest.time() else { return };
        let queue = took.saturating_sub(quickest);
        let starting = self.threshold == u64::MAX;
        let bound = if starting { QUEUE_AT_START } else { QUEUE_MAX };
        if queue <= bound || self.is_before_the_last_change(sent) {
            self.late_since = None;
            return;
        }
        let late_since = *self.late_since.get_or_insert(now);
        if now.saturating_duration_since(late_since) < QUEUE_LASTS {
            return;
        }
        self.late_since = None;
        // What the line holds without a queue, and a little less, so that the queue goes.
        let part = 0.9 * quickest.as_secs_f64() / took.as_secs_f64();
        self.shrink(now, part.max(AFTER_QUEUE_MIN));
        // If it was no queue but a long stall, half of what there was is soon there again.
        self.threshold = if starting { self.bytes } else { (self.before / 2).max(self.bytes) };
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, _lost_bytes: u64) {
        if self.is_before_the_last_change(sent) {
            return;
        }
        self.shrink(now, if is_persistent_congestion { 0.0 } else { AFTER_LOSS });
        self.threshold = scaled(self.before, AFTER_LOSS).max(self.bytes_min());
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.packet_bytes = mtu.into();
        self.bytes = self.bytes.max(self.bytes_min());
    }

    fn window(&self) -> u64 {
        self.bytes
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        WINDOW_BYTES_START
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u16 = 1200;

    /// A line with a rate, a delay and a queue that never ends, and a sender that always has something to send.
    struct Line {
        window: Window,
        now: Instant,
        bytes_per_ms: f64,
        round_trip: Duration,
        longest_queue: Duration,
    }

    impl Line {
        fn new(bytes_per_ms: f64, round_trip: Duration) -> Self {
            #[expect(clippy::disallowed_methods, reason = "only a beginning; time goes on by hand")]
            let now = Instant::now();
            Line { window: Window::new(now, MTU), now, bytes_per_ms, round_trip, longest_queue: Duration::ZERO }
        }

        /// Keeps the line full for this long; returns bytes that arrived.
        fn run(&mut self, time: Duration) -> f64 {
            let end = self.now + time;
            let mut under_way = std::collections::VecDeque::new();
            let (mut bytes_under_way, mut free_at, mut arrived) = (0, self.now, 0.0);
            let takes = Duration::from_secs_f64(f64::from(MTU) / self.bytes_per_ms / 1000.0);
            while self.now < end {
                while bytes_under_way + u64::from(MTU) <= self.window.window() {
                    free_at = free_at.max(self.now) + takes;
                    self.longest_queue = self.longest_queue.max(free_at - self.now);
                    under_way.push_back((self.now, free_at + self.round_trip));
                    bytes_under_way += u64::from(MTU);
                }
                let (sent, back) = under_way.pop_front().expect("something is always under way");
                self.now = back;
                bytes_under_way -= u64::from(MTU);
                arrived += f64::from(MTU);
                self.acknowledge(sent, false);
            }
            arrived
        }

        fn acknowledge(&mut self, sent: Instant, app_limited: bool) {
            // There is no public way to make an estimator; what the curve adds for it is a round trip.
            let took = self.now - sent;
            if self.window.batch.is_none_or(|(quickest, _)| took < quickest) {
                self.window.batch = Some((took, sent));
            }
            if !app_limited && !self.window.is_before_the_last_change(sent) {
                self.window.grow(self.now, MTU.into(), took);
            }
            self.window.on_end_acks(self.now, 0, app_limited, None);
        }
    }

    #[test]
    fn the_queue_at_a_slow_line_stays_short_and_the_line_is_used() {
        for (megabits, round_trip) in [(1.0, 300), (1.0, 20), (10.0, 50), (20.0, 2), (100.0, 100)] {
            let mut line = Line::new(megabits * 125.0, Duration::from_millis(round_trip));
            line.run(Duration::from_secs(4));
            let at_start = std::mem::take(&mut line.longest_queue);
            let arrived = line.run(Duration::from_secs(30));
            let used = arrived / (megabits * 125.0 * 30_000.0);
            let case = format!("{megabits} Mbit/s at {round_trip} ms: {at_start:?} {:?} {used:.2}", line.longest_queue);
            assert!(at_start < Duration::from_millis(300), "{case}");
            assert!(line.longest_queue < Duration::from_millis(200), "{case}");
            assert!(used > 0.6, "{case}");
        }
    }

    #[test]
    fn a_longer_way_is_taken_for_a_queue_only_until_the_old_one_is_forgotten() {
        let mut line = Line::new(1250.0, Duration::from_millis(5));
        line.run(Duration::from_secs(5));
        line.round_trip = Duration::from_millis(200);
        line.run(Duration::from_secs(40));
        let arrived = line.run(Duration::from_secs(20));
        assert!(arrived > 0.5 * 1250.0 * 20_000.0, "{arrived}");
    }

    #[test]
    fn a_loss_takes_a_part_once_a_round_trip_and_no_window_is_below_the_least() {
        let mut line = Line::new(1250.0, Duration::from_millis(50));
        line.run(Duration::from_secs(2));
        let before = line.window.window();
        let sent = line.now;
        line.now += Duration::from_millis(50);
        line.window.on_congestion_event(line.now, sent, false, 1200);
        let after = line.window.window();
        assert!(after < before && after >= scaled(before, 0.69), "{before} {after}");
        line.window.on_congestion_event(line.now, sent, false, 1200);
        assert_eq!(line.window.window(), after, "the same round trip");
        for _ in 0..100 {
            line.now += Duration::from_millis(50);
            line.window.on_congestion_event(line.now, line.now, false, 1200);
        }
        assert_eq!(line.window.window(), WINDOW_PACKETS_MIN * u64::from(MTU));
    }

    #[test]
    fn a_stall_of_a_machine_costs_nothing() {
        let mut line = Line::new(12_500.0, Duration::from_micros(300));
        line.run(Duration::from_secs(2));
        let before = line.window.window();
        let sent = line.now;
        line.now += Duration::from_millis(250);
        for _ in 0..20 {
            // What came in meanwhile is read in one burst.
            line.now += Duration::from_micros(100);
            line.acknowledge(sent, true);
        }
        assert_eq!(line.window.window(), before);
        line.run(Duration::from_millis(50));
        assert!(line.window.window() >= before, "{before} {}", line.window.window());
    }
}
