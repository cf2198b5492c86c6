use std::collections::VecDeque;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

type Small = Writes<4>;

fn at(ms: u64) -> Millis {
    Millis::from_ms(ms)
}

fn session(last_seq: u64) -> Session<'static> {
    Session { last_seq, ..Default::default() }
}

fn refusal(code: Code, retry_ms: u64) -> Error<'static> {
    Error { code, text: "", retry_ms }
}

/// On a connection, with `count` unanswered writes behind number 10.
fn writes(count: u64) -> Small {
    let mut writes = Small::new();
    writes.handle_session(&session(10)).expect("a new device");
    for seq in 11..11 + count {
        assert_eq!(writes.assign(), Some(seq));
    }
    writes
}

fn sent(writes: &mut Small, now: Millis) -> Vec<u64> {
    core::iter::from_fn(|| writes.poll_send(now)).map(|due| due.seq).collect()
}

fn answer(writes: &mut Small, seq: u64, code: Option<Code>, now: Millis) -> Fate {
    let error = code.map(|code| refusal(code, 0));
    writes.handle_answer(seq, error.as_ref().map_or(Ok(()), Err), now)
}

#[test]
fn a_window_of_writes_is_in_flight_and_moves_with_the_first_answer() {
    let mut writes = writes(7);
    assert_eq!(sent(&mut writes, at(0)), [11, 12, 13, 14]);
    assert_eq!(answer(&mut writes, 12, None, at(1)), Fate::Final);
    assert_eq!(sent(&mut writes, at(1)), [], "the first is still open");
    assert_eq!(answer(&mut writes, 11, None, at(2)), Fate::Final);
    assert_eq!(sent(&mut writes, at(2)), [15, 16]);
    assert_eq!((writes.first_unanswered(), writes.unanswered(), writes.in_flight()), (13, 5, 4));
    for seq in 13..=16 {
        assert_eq!(answer(&mut writes, seq, None, at(3)), Fate::Final);
        assert_eq!(answer(&mut writes, seq, None, at(3)), Fate::Nothing, "a second time");
    }
    assert_eq!(sent(&mut writes, at(3)), [17]);
}

#[test]
fn refused_for_now_means_again_from_the_first_once_all_are_answered() {
    let mut writes = writes(5);
    assert_eq!(sent(&mut writes, at(0)), [11, 12, 13, 14]);
    assert_eq!(answer(&mut writes, 11, None, at(0)), Fate::Final);
    assert_eq!(writes.handle_answer(12, Err(&refusal(Code::Busy, 700)), at(5)), Fate::Again);
    assert_eq!(sent(&mut writes, at(5)), [], "others are in flight");
    assert_eq!(answer(&mut writes, 13, Some(Code::OutOfOrder), at(6)), Fate::Again);
    assert_eq!(writes.poll_timeout(), None);
    assert_eq!(answer(&mut writes, 14, Some(Code::OutOfOrder), at(8)), Fate::Again);
    assert_eq!(writes.poll_timeout(), Some(at(708)));
    assert_eq!(sent(&mut writes, at(707)), []);
    assert_eq!(sent(&mut writes, at(708)), [12, 13, 14, 15]);
}

#[test]
fn waits_grow_up_to_their_bound_and_shrink_with_success() {
    let mut writes = writes(1);
    let mut now = 0;
    for expected in [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        assert_eq!(sent(&mut writes, at(now)), [11]);
        answer(&mut writes, 11, Some(Code::Unavailable), at(now));
        now += expected;
        assert_eq!(sent(&mut writes, at(now - 1)), []);
        assert_eq!(writes.poll_timeout(), Some(at(now)));
    }
    assert_eq!(sent(&mut writes, at(now)), [11]);
    writes.handle_answer(11, Err(&refusal(Code::Busy, u64::MAX)), at(now));
    assert_eq!(writes.poll_timeout(), Some(at(now + RETRY_MS_MAX)), "no node may hold a device for ever");
    now += RETRY_MS_MAX;
    sent(&mut writes, at(now));
    answer(&mut writes, 11, None, at(now));
    writes.assign();
    assert_eq!(sent(&mut writes, at(now)), [12]);
    answer(&mut writes, 12, Some(Code::Undecided), at(now));
    assert_eq!(writes.poll_timeout(), Some(at(now + WRITE_BACKOFF_MS_MIN)));
}

#[test]
fn a_refusal_for_good_is_final_and_the_others_go_on() {
    let mut writes = writes(5);
    sent(&mut writes, at(0));
    assert_eq!(answer(&mut writes, 11, Some(Code::PeerGone), at(1)), Fate::Final);
    assert_eq!(sent(&mut writes, at(1)), [15]);
    assert_eq!(writes.first_unanswered(), 12);
}

#[test]
fn a_number_that_was_not_used_is_used_up_by_a_blank() {
    let mut writes = writes(2);
    assert_eq!(sent(&mut writes, at(0)), [11, 12]);
    assert_eq!(answer(&mut writes, 11, Some(Code::UnknownRequest), at(0)), Fate::Final);
    assert_eq!(answer(&mut writes, 12, Some(Code::OutOfOrder), at(0)), Fate::Again);
    let now = writes.poll_timeout().expect("a wait");
    assert_eq!(writes.poll_send(now), Some(Due { seq: 11, blank: true }));
    assert_eq!(writes.poll_send(now), Some(Due { seq: 12, blank: false }));
    writes.handle_lost();
    writes.handle_session(&session(10)).expect("its own numbers");
    assert_eq!(writes.poll_send(now), Some(Due { seq: 11, blank: true }), "it stays one");
    assert_eq!(answer(&mut writes, 11, Some(Code::NoSuchConversation), now), Fate::Nothing);
    assert_eq!(writes.first_unanswered(), 12);
    assert_eq!(blank(11).seq(), Some(11));
}

#[test]
fn a_number_that_was_used_up_by_a_malformed_write_holds_nobody_up() {
    let mut writes = writes(2);
    let now = at(0);
    assert_eq!(sent(&mut writes, now), [11, 12]);
    assert_eq!(answer(&mut writes, 11, Some(Code::Malformed), now), Fate::Final);
    assert_eq!(answer(&mut writes, 12, Some(Code::OutOfOrder), now), Fate::Again);
    let now = writes.poll_timeout().expect("it waits");
    assert_eq!(writes.poll_send(now), Some(Due { seq: 11, blank: true }));
    // The node has kept what it said about the write.
    assert_eq!(answer(&mut writes, 11, Some(Code::Malformed), now), Fate::Nothing);
    assert_eq!((writes.first_unanswered(), writes.poll_send(now)), (12, Some(Due { seq: 12, blank: false })));
}

#[test]
fn what_was_in_flight_is_sent_again_on_the_next_connection() {
    let mut writes = writes(4);
    sent(&mut writes, at(0));
    answer(&mut writes, 12, None, at(0));
    writes.handle_lost();
    assert_eq!((sent(&mut writes, at(0)), writes.in_flight()), (Vec::new(), 0));
    assert_eq!(writes.assign(), Some(15), "writing goes on without a connection");
    let stale = Session { stale: true, last_seq: 2, ..Default::default() };
    writes.handle_session(&stale).expect("a session without a majority proves nothing");
    assert_eq!(sent(&mut writes, at(0)), []);
    writes.handle_session(&session(13)).expect("its own numbers");
    assert_eq!(
        sent(&mut writes, at(0)),
        [11, 13, 14],
        "applied or not, only the answer tells; 15 is behind the window"
    );
}

#[test]
fn whoever_is_logged_out_sends_nothing() {
    let mut writes = writes(3);
    sent(&mut writes, at(0));
    assert_eq!(answer(&mut writes, 11, Some(Code::Revoked), at(0)), Fate::Again);
    assert_eq!(answer(&mut writes, 12, Some(Code::NotLoggedIn), at(0)), Fate::Nothing, "it is not in flight any more");
    assert_eq!((sent(&mut writes, at(u64::MAX)), writes.poll_timeout()), (Vec::new(), None));
    writes.handle_session(&session(10)).expect("its own numbers");
    assert_eq!(sent(&mut writes, at(0)), [11, 12, 13]);
}

#[test]
fn numbers_of_another_history_are_noticed() {
    for (last_seq, fits) in [(9, false), (10, true), (13, true), (14, false), (u64::MAX, false)] {
        let mut writes = writes(3);
        let result = writes.handle_session(&session(last_seq));
        assert_eq!(result, if fits { Ok(()) } else { Err(Mismatch { first: 11, last: 13, last_seq }) });
        assert_eq!(sent(&mut writes, at(0)).is_empty(), !fits);
    }
    for last_seq in [0, 9, 10, 14, u64::MAX - 1] {
        let mut writes = writes(0);
        assert_eq!(writes.handle_session(&session(last_seq)), Ok(()), "nothing depends on it");
        assert_eq!(writes.assign(), (last_seq < u64::MAX - 1).then_some(last_seq + 1));
    }
    assert!(writes(0).handle_session(&session(u64::MAX)).is_err());
    assert_eq!(Small::new().assign(), None, "nobody has told yet");
}

#[test]
fn unanswered_writes_come_back_from_disk() {
    let mut writes = Small::restored([5, 7, 8, 9, 10]).expect("rising");
    assert_eq!((writes.first_unanswered(), writes.unanswered(), writes.assign()), (5, 6, Some(11)));
    writes.handle_session(&session(6)).expect("its own numbers");
    assert_eq!(sent(&mut writes, at(0)), [5, 7, 8], "a window from 5 on");
    for (unanswered, bad) in
        [(&[0][..], 0), (&[5, 5], 5), (&[5, 4], 4), (&[5, 6, 10], 10), (&[5, 10], 10), (&[u64::MAX], u64::MAX)]
    {
        assert_eq!(Small::restored(unanswered.iter().copied()).err(), Some(bad), "{unanswered:?}");
    }
    assert!(Small::restored([5, 9]).is_ok(), "5 to 8 were in flight");
    assert!(Small::restored([]).is_ok_and(|writes| writes.unanswered() == 0));
}

#[test]
fn every_input_in_every_phase() {
    let phases: [fn() -> Small; 6] = [
        Small::new,
        || writes(0),
        || writes(6),
        || {
            let mut flying = writes(6);
            sent(&mut flying, at(0));
            flying
        },
        || {
            let mut draining = writes(6);
            sent(&mut draining, at(0));
            answer(&mut draining, 12, Some(Code::Busy), at(0));
            draining
        },
        || {
            let mut waiting = writes(1);
            sent(&mut waiting, at(0));
            answer(&mut waiting, 11, Some(Code::Malformed), at(0));
            waiting
        },
    ];
    let codes = Code::ALL.iter().copied().chain([Code::Unknown(0), Code::Unknown(150), Code::Unknown(u16::MAX)]);
    for phase in phases {
        for code in codes.clone().map(Some).chain([None]) {
            for seq in [0, 10, 11, 12, 13, 14, 15, 16, 17, u64::MAX] {
                let mut writes = phase();
                answer(&mut writes, seq, code, at(u64::MAX));
                let _ = (writes.poll_timeout(), writes.poll_send(at(u64::MAX)), writes.assign());
                writes.handle_lost();
                assert_eq!(writes.in_flight(), 0);
                let _ = writes.handle_session(&session(seq));
                assert!(sent(&mut writes, at(0)).len() <= 4);
            }
        }
    }
}

// ---- a simulated node and link -----------------------------------------------------------------------------

/// Where the numbers of a device stand in the cluster, by the rules of the replicated state.
#[derive(Debug, Default)]
struct Cluster {
    /// What was applied, and whether by the rules it was refused.
    applied: Vec<(Content, bool)>,
}

/// What a write says: its number here, so that the order shows. A blank says nothing.
type Content = Option<u64>;

/// How many outcomes are kept, fewer than in earnest.
const KEPT: u64 = 8;

impl Cluster {
    fn last_seq(&self) -> u64 {
        self.applied.len() as u64
    }

    fn take(&mut self, seq: u64, content: Content) -> Result<(), Code> {
        let place = usize::try_from(seq - 1).expect("a small number");
        if seq == self.last_seq() + 1 {
            // A blank names no conversation, and every fifth write breaks a rule.
            self.applied.push((content, content.is_none_or(|content| content % 5 == 0)));
        } else if seq > self.last_seq() {
            return Err(Code::OutOfOrder);
        } else if seq <= self.last_seq().saturating_sub(KEPT) {
            return Err(Code::AlreadyDone);
        }
        if self.applied[place].1 { Err(Code::NoSuchConversation) } else { Ok(()) }
    }
}

/// A generator of which only the seed matters.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// What came of a run, and each step of it.
#[derive(Debug, PartialEq)]
struct Run {
    applied: Vec<(Content, bool)>,
    told: Vec<(u64, Option<u16>)>,
    trace: Vec<std::string::String>,
}

const WRITES: u64 = 40;

/// Sends [`WRITES`] writes over connections that break, to nodes that refuse; the last steps are without faults.
fn run(seed: u64) -> Run {
    let mut random = Random(seed);
    let mut cluster = Cluster::default();
    let mut writes = Small::new();
    let mut trace = Vec::new();
    let mut told = Vec::new();
    let mut now = at(0);
    // In order both ways: requests and answers on the connection, and what still reaches the log after it broke.
    let mut to_node = VecDeque::<(u64, Content)>::new();
    let mut to_client = VecDeque::<(u64, Result<(), Code>)>::new();
    let mut late = Vec::<(u64, Content)>::new();
    let mut connected = false;
    let mut highest_on_connection = None::<u64>;
    for step in 0..20_000_u64 {
        let faults = step < 2_000;
        now = now.after(random.below(40));
        if !connected {
            writes.handle_session(&session(cluster.last_seq())).expect("one history");
            (connected, highest_on_connection) = (true, None);
        }
        if told.len() as u64 + writes.unanswered() < WRITES && random.one_in(3) {
            writes.assign().expect("a session");
        }
        while let Some(Due { seq, blank }) = writes.poll_send(now) {
            // Whatever lies between two numbers that are sent was answered.
            let from = highest_on_connection.map_or(writes.first_unanswered(), |highest| highest + 1);
            assert!((from..seq).all(|skipped| told.iter().any(|&(done, _)| done == skipped)), "{seq} before {from}");
            highest_on_connection = highest_on_connection.max(Some(seq));
            trace.push(std::format!("{now} send {seq} {blank}"));
            to_node.push_back((seq, (!blank).then_some(seq)));
        }
        if random.one_in(2)
            && let Some((seq, content)) = to_node.pop_front()
        {
            let outcome = match if faults { random.below(12) } else { 12 } {
                0 => Err(Code::Busy),
                // Not answered, not decided: it may be applied later, or never.
                1 => {
                    late.push((seq, content));
                    Err(Code::Undecided)
                }
                2 => {
                    let _answer_lost = cluster.take(seq, content);
                    Err(Code::Undecided)
                }
                // A node that does not know this request.
                3 if content.is_some_and(|content| content % 7 == 0) => Err(Code::UnknownRequest),
                _ => cluster.take(seq, content),
            };
            to_client.push_back((seq, outcome));
        }
        if random.one_in(2)
            && let Some((seq, outcome)) = to_client.pop_front()
        {
            let error = outcome.err().map(|code| refusal(code, random.below(200)));
            let fate = writes.handle_answer(seq, error.as_ref().map_or(Ok(()), Err), now);
            trace.push(std::format!("{now} answer {seq} {outcome:?} {fate:?}"));
            if fate == Fate::Final {
                told.push((seq, outcome.err().map(Code::number)));
            }
        }
        if !late.is_empty() && random.one_in(10) {
            let (seq, content) = late.swap_remove(random.below(late.len() as u64) as usize);
            let _nobody_waits = cluster.take(seq, content);
            // A log may hold it more than once.
            let _nobody_waits = cluster.take(seq, content);
        }
        if faults && random.one_in(40) {
            trace.push(std::format!("{now} lost"));
            // What was on its way to the node may still arrive, in order or not; answers do not.
            late.extend(to_node.drain(..).filter(|_| random.one_in(2)));
            to_client.clear();
            writes.handle_lost();
            connected = false;
        }
        if told.len() as u64 == WRITES && writes.unanswered() == 0 {
            break;
        }
    }
    assert_eq!(writes.unanswered(), 0, "everything is answered in the end");
    Run { applied: cluster.applied, told, trace }
}

/// Every write applied once and in order, each told once, and what was told is what happened.
fn check(seed: u64) {
    let outcome = run(seed);
    assert_eq!(outcome.applied.len() as u64, WRITES);
    for (place, (content, refused)) in outcome.applied.iter().enumerate() {
        let seq = place as u64 + 1;
        let told: Vec<_> = outcome.told.iter().filter(|(told, _)| *told == seq).collect();
        assert_eq!(told.len(), 1, "write {seq}");
        let code = told[0].1.map(Code::from_number);
        match content {
            Some(content) => {
                assert_eq!(*content, seq);
                let by_rule = if *refused { Some(Code::NoSuchConversation) } else { None };
                // Refused by a node that does not know it, but applied through another one before that.
                let by_door = code == Some(Code::UnknownRequest);
                assert!(code == by_rule || code == Some(Code::AlreadyDone) || by_door, "write {seq}: {code:?}");
            }
            None => assert_eq!(code, Some(Code::UnknownRequest), "a blank in place of write {seq}"),
        }
    }
    assert_eq!(run(seed), outcome, "the seed is all that matters");
}

#[test]
fn writes_are_applied_once_and_in_order_for_the_first_seeds() {
    (0..40).for_each(check);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn writes_are_applied_once_and_in_order(seed in any::<u64>()) {
        check(seed);
    }
}
