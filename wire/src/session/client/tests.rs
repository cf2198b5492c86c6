use std::vec::Vec;

use super::*;
use crate::chat::reply;

type Small = Client<3>;

/// The silence that the node of these tests asks for.
const SILENCE_MS: u64 = 30_000;

fn at(ms: u64) -> Millis {
    Millis::from_ms(ms)
}

fn reply(re: u64, reply: Reply<'_>) -> FromNode<'_> {
    FromNode::Reply { re, reply: Some(reply) }
}

fn refusal(code: Code) -> Reply<'static> {
    Reply::Error(Error { code, text: "no", retry_ms: 0 })
}

fn welcome() -> Reply<'static> {
    Reply::Welcome(Welcome { samira: CHAT_VERSION, silence_ms: SILENCE_MS, pipeline: 8, ..Default::default() })
}

fn session() -> Reply<'static> {
    Reply::Session(Session { user: 7, device: 70, last_seq: 3, ..Default::default() })
}

fn login() -> Entry<'static> {
    Entry::Login(Login { username: "al", password: "00", ..Default::default() })
}

fn bye(code: Code) -> FromNode<'static> {
    FromNode::Event(Some(Event::Bye(event::Bye { code, text: "" })))
}

/// Connected at 0 ms, with the hello on its way under the id 1.
fn greeting() -> Small {
    let mut client = Small::new("test/1");
    client.connected(at(0));
    let hello = client.poll_transmit(at(0)).expect("the hello");
    assert_eq!(hello, FromClient { id: 1, request: Some(Request::Hello(Hello { samira: 2, client: "test/1" })) });
    client
}

fn greeted() -> Small {
    let mut client = greeting();
    assert!(matches!(client.handle_frame(reply(1, welcome()), at(0)), Heard::Welcome(_)));
    client
}

/// With the login on its way under the id 2.
fn entering() -> Small {
    let mut client = greeted();
    let request = client.enter(login(), at(0)).expect("the moment to log in");
    assert_eq!(request, FromClient { id: 2, request: Some(login().into()) });
    client
}

fn ready() -> Small {
    let mut client = entering();
    assert!(matches!(client.handle_frame(reply(2, session()), at(0)), Heard::Entered(_)));
    client
}

/// With a request of the caller's open, id 3 and tag 33.
fn asking() -> Small {
    let mut client = ready();
    assert_eq!(client.request(33, at(0)), Ok(3));
    client
}

fn lost() -> Small {
    let mut client = asking();
    client.handle_closed();
    client
}

fn all_states() -> [Small; 7] {
    [Small::new("test/1"), greeting(), greeted(), entering(), ready(), asking(), lost()]
}

fn drained(client: &mut Small) -> Vec<u64> {
    core::iter::from_fn(|| client.poll_unanswered()).collect()
}

/// The first moment at which the client, asked at every moment that it names, is lost; and the pings until then.
fn run_out(client: &mut Small) -> (Millis, Vec<u64>) {
    let mut pings = Vec::new();
    loop {
        let now = client.poll_timeout().expect("a connection");
        // A moment too early nothing happens.
        let mut early = client.clone();
        let before = at(now.as_ms() - 1);
        early.handle_timeout(before);
        assert_eq!((early.state(), early.poll_transmit(before)), (client.state(), None));
        client.handle_timeout(now);
        if matches!(client.state(), State::Lost(_)) {
            return (now, pings);
        }
        let ping = client.poll_transmit(now).expect("a reason to wake up");
        assert_eq!(ping.request.map(|request| request.name()), Some("ping"));
        pings.push(now.as_ms());
    }
}

/// Somebody who looks at a screen is told within ten seconds that nobody answers; who queues for a login waits.
#[test]
fn the_impatient_give_a_silent_node_up_sooner() {
    const PATIENCE_MS: u64 = 8_000;
    let impatient = |mut client: Small| {
        client = client.patience(PATIENCE_MS);
        client.connected(at(0));
        let _ = client.poll_transmit(at(0));
        let hello = client.own.expect("the hello").id;
        assert!(matches!(client.handle_frame(reply(hello, welcome()), at(0)), Heard::Welcome(_)));
        client
    };
    let mut entering = impatient(Small::new("test/1"));
    let login = entering.enter(login(), at(0)).expect("the moment to log in");
    let mut ready = entering.clone();
    assert!(matches!(ready.handle_frame(reply(login.id, session()), at(0)), Heard::Entered(_)));
    assert_eq!(run_out(&mut ready), (at(PATIENCE_MS), std::vec![PATIENCE_MS / 2]));
    assert_eq!(ready.state(), State::Lost(Why::Silence));
    assert_eq!(run_out(&mut entering).0, at(REPLY_TIMEOUT_MS));
    // A request that waits for a majority is no silence, as long as pings are answered.
    let mut asking = impatient(Small::new("test/1"));
    let login = asking.enter(Entry::Resume(Resume::default()), at(0)).expect("the moment to log in");
    let _ = asking.handle_frame(reply(login.id, session()), at(0));
    let asked = asking.request(33, at(0)).expect("room");
    for now in [4_000, 8_000] {
        asking.handle_timeout(at(now));
        let ping = asking.poll_transmit(at(now)).expect("a ping");
        let _ = asking.handle_frame(reply(ping.id, Reply::Done(Nothing {})), at(now + 100));
    }
    asking.handle_timeout(at(12_000));
    assert_eq!(asking.state(), State::Ready);
    assert!(matches!(
        asking.handle_frame(reply(asked, Reply::Done(Nothing {})), at(12_000)),
        Heard::Reply { tag: 33, .. }
    ));
}

#[test]
fn a_node_that_never_answers_is_given_up() {
    const HALF_MS: u64 = SILENCE_MS / 2;
    for (mut client, pings, lost_ms, why) in [
        (greeting(), &[][..], REPLY_TIMEOUT_MS, Why::NoReply),
        // The ping would be too late at 35 s; the silence is over before.
        (greeted(), &[HALF_MS], SILENCE_MS, Why::Silence),
        (entering(), &[], REPLY_TIMEOUT_MS, Why::NoReply),
        (ready(), &[HALF_MS], SILENCE_MS, Why::Silence),
        (asking(), &[HALF_MS], REPLY_TIMEOUT_MS, Why::NoReply),
    ] {
        let (lost, pinged) = run_out(&mut client);
        assert_eq!((lost, client.state(), &*pinged), (at(lost_ms), State::Lost(why), pings));
        assert_eq!(client.poll_timeout(), None);
    }
}

#[test]
fn a_request_without_an_answer_is_a_dead_connection_whatever_else_is_heard() {
    let mut client = asking();
    assert_eq!(client.request(44, at(5)), Ok(4));
    for ms in 0..REPLY_TIMEOUT_MS {
        if ms % 1000 == 0 {
            client.handle_frame(FromNode::Event(None), at(ms));
        }
    }
    assert_eq!(
        client.handle_frame(reply(4, refusal(Code::Busy)), at(6)),
        Heard::Reply { tag: 44, reply: Some(refusal(Code::Busy)) }
    );
    client.handle_timeout(at(REPLY_TIMEOUT_MS - 1));
    assert_eq!(client.state(), State::Ready);
    client.handle_timeout(at(REPLY_TIMEOUT_MS));
    assert_eq!(client.state(), State::Lost(Why::NoReply));
    assert_eq!(drained(&mut client), [33]);
}

#[test]
fn bytes_break_the_silence_and_pings_follow_what_was_sent() {
    let mut client = ready();
    client.handle_bytes(at(7));
    assert_eq!(client.poll_timeout(), Some(at(SILENCE_MS / 2)), "hearing is not saying");
    client.request(1, at(100)).expect("room");
    client.handle_frame(reply(3, refusal(Code::Busy)), at(200));
    assert_eq!(client.poll_timeout(), Some(at(100 + SILENCE_MS / 2)));
    assert_eq!(client.poll_transmit(at(99 + SILENCE_MS / 2)), None);
    let ping = client.poll_transmit(at(100 + SILENCE_MS / 2)).expect("due");
    assert_eq!(client.poll_transmit(at(SILENCE_MS)), None, "one at a time");
    assert_eq!(client.handle_frame(reply(ping.id, refusal(Code::Busy)), at(SILENCE_MS)), Heard::Nothing);
    assert_eq!(client.poll_timeout(), Some(at(100 + SILENCE_MS)), "alive, whatever it answered");
}

#[test]
fn what_a_welcome_says_is_kept_within_bounds() {
    for (silence_ms, pinged) in [
        (0, SILENCE_MS_MAX / 2),
        (1, SILENCE_MS_MIN / 2),
        (SILENCE_MS_MIN, SILENCE_MS_MIN / 2),
        (SILENCE_MS_MAX + 1, SILENCE_MS_MAX / 2),
        (u64::MAX, SILENCE_MS_MAX / 2),
    ] {
        let mut client = greeting();
        let welcome = Welcome { samira: CHAT_VERSION, silence_ms, ..Default::default() };
        client.handle_frame(reply(1, Reply::Welcome(welcome)), at(0));
        assert_eq!(client.poll_timeout(), Some(at(pinged)), "{silence_ms}");
    }
    for (pipeline, room) in [(0, 3), (1, 1), (2, 1), (3, 2), (4, 3), (u64::MAX, 3)] {
        let mut client = greeting();
        let welcome = Welcome { samira: CHAT_VERSION, pipeline, ..Default::default() };
        client.handle_frame(reply(1, Reply::Welcome(welcome)), at(0));
        assert_eq!(client.room(), 0, "nobody is logged in");
        client.enter(login(), at(0)).expect("the moment");
        client.handle_frame(reply(2, session()), at(0));
        for tag in 0..room {
            assert!(client.request(tag, at(0)).is_ok());
        }
        assert_eq!((client.room(), client.request(9, at(0))), (0, Err(NotNow::Full)), "{pipeline}");
    }
    for samira in [0, CHAT_VERSION_MIN - 1, CHAT_VERSION + 1, u64::MAX] {
        let mut client = greeting();
        client.handle_frame(reply(1, Reply::Welcome(Welcome { samira, ..Default::default() })), at(0));
        assert_eq!(client.state(), State::Lost(Why::Nonsense), "{samira}");
    }
}

#[test]
fn replies_find_their_requests_in_any_order() {
    let mut client = ready();
    let ids = [10, 11, 12].map(|tag| client.request(tag, at(0)).expect("room"));
    assert_eq!(client.request(13, at(0)), Err(NotNow::Full));
    for (id, tag) in [(ids[1], 11), (ids[2], 12), (ids[0], 10)] {
        assert_eq!(
            client.handle_frame(FromNode::Reply { re: id, reply: None }, at(1)),
            Heard::Reply { tag, reply: None }
        );
        assert_eq!(
            client.handle_frame(FromNode::Reply { re: id, reply: None }, at(1)),
            Heard::Nothing,
            "a second time"
        );
    }
    assert_eq!(client.room(), 3);
}

#[test]
fn ids_are_never_used_twice_and_old_requests_never_answered_on_a_new_connection() {
    let mut client = asking();
    client.handle_closed();
    assert_eq!(drained(&mut client), [33]);
    client.connected(at(9));
    let hello = client.poll_transmit(at(9)).expect("the hello");
    assert_eq!(hello.id, 4);
    assert_eq!(client.handle_frame(FromNode::Reply { re: 3, reply: None }, at(9)), Heard::Nothing);
}

#[test]
fn a_refused_login_can_be_tried_again_and_a_refused_hello_not() {
    let mut client = entering();
    let error = Error { code: Code::BadCredentials, text: "no", retry_ms: 0 };
    assert_eq!(client.handle_frame(reply(2, Reply::Error(error.clone())), at(1)), Heard::Refused(error));
    assert_eq!(client.state(), State::Greeted);
    assert!(client.enter(login(), at(1)).is_ok());

    let mut client = greeting();
    assert!(matches!(client.handle_frame(reply(1, refusal(Code::Version)), at(1)), Heard::Refused(_)));
    assert_eq!(client.state(), State::Lost(Why::Refused(Code::Version)));
}

#[test]
fn who_is_logged_out_by_the_node_may_log_in_again() {
    for code in [Code::NotLoggedIn, Code::Revoked, Code::ReadOnly, Code::Busy, Code::PeerGone] {
        let mut client = asking();
        client.handle_frame(reply(3, refusal(code)), at(1));
        assert_eq!(client.state() == State::Greeted, code.remedy() == Remedy::LogIn, "{code:?}");
        assert_eq!(client.enter(login(), at(1)).is_ok(), code.remedy() == Remedy::LogIn);
    }
}

#[test]
fn a_login_does_not_wait_for_a_ping() {
    let mut client = greeted();
    let ping = client.poll_transmit(at(SILENCE_MS / 2)).expect("a ping");
    let login = client.enter(login(), at(SILENCE_MS / 2 + 1)).expect("the moment");
    assert_eq!(client.handle_frame(reply(ping.id, Reply::Done(Nothing {})), at(SILENCE_MS / 2 + 2)), Heard::Nothing);
    assert_eq!(client.state(), State::Entering);
    client.handle_frame(reply(login.id, session()), at(SILENCE_MS / 2 + 3));
    assert_eq!(client.state(), State::Ready);
}

#[test]
fn a_clock_that_goes_back_breaks_nothing() {
    let mut client = ready();
    client.handle_bytes(at(1000));
    client.request(1, at(1000)).expect("room");
    client.request(2, at(3)).expect("room");
    client.handle_frame(FromNode::Event(None), at(2));
    client.handle_timeout(at(1));
    client.handle_frame(FromNode::Reply { re: 3, reply: None }, at(1));
    assert_eq!(client.poll_timeout(), Some(at(1000 + SILENCE_MS / 2)));
}

#[test]
fn every_input_in_every_state() {
    let replies: Vec<Option<Reply<'static>>> = std::vec![
        None,
        Some(Reply::Done(Nothing {})),
        Some(welcome()),
        Some(session()),
        Some(refusal(Code::Busy)),
        Some(refusal(Code::Revoked)),
        Some(Reply::Sent(reply::Sent::default())),
    ];
    let mut frames = std::vec![FromNode::Event(None), bye(Code::Stopping)];
    frames.push(FromNode::Event(Some(Event::Update(reply::Changes::default()))));
    for re in [0, 1, 2, 3, 4, u64::MAX] {
        frames.extend(replies.iter().map(|reply| FromNode::Reply { re, reply: reply.clone() }));
    }
    for state in all_states() {
        let connected = state.is_connected();
        for frame in &frames {
            let mut client = state.clone();
            let heard = client.handle_frame(frame.clone(), at(1));
            assert!(connected || heard == Heard::Nothing, "{heard:?} in {:?}", state.state());
            assert!(connected || client.state() == state.state());
            let said_bye = *frame == bye(Code::Stopping);
            assert_eq!(client.state() == State::Lost(Why::Bye(Code::Stopping)), connected && said_bye);
        }
        let after = |input: fn(&mut Small)| {
            let mut client = state.clone();
            input(&mut client);
            client.state()
        };
        let unless_gone = |new: State| if connected { new } else { state.state() };
        assert_eq!(after(|client| client.connected(at(1))), State::Greeting);
        assert_eq!(after(Small::handle_closed), unless_gone(State::Lost(Why::Closed)));
        assert_eq!(after(Small::handle_malformed), unless_gone(State::Lost(Why::Nonsense)));
        assert_eq!(after(|client| client.handle_bytes(at(1))), state.state());
        assert_eq!(after(|client| client.handle_timeout(at(0))), state.state());
        let late = after(|client| client.handle_timeout(at(u64::MAX)));
        assert_eq!(matches!(late, State::Lost(Why::Silence | Why::NoReply)), connected);

        let mut client = state.clone();
        assert_eq!(client.enter(login(), at(1)).is_ok(), state.state() == State::Greeted);
        let mut client = state.clone();
        assert_eq!(client.request(1, at(1)).is_ok(), state.state() == State::Ready);
        let mut client = state.clone();
        assert_eq!(client.poll_transmit(at(1)), None, "the hello was taken, and no ping is due");
        assert_eq!(client.poll_timeout().is_some(), connected);
        assert_eq!(drained(&mut client).len(), usize::from(state.state() == State::Lost(Why::Closed)));
    }
}

#[test]
fn debug_output_shows_no_texts() {
    let message = crate::chat::item::Message { text: "hunter2", ..Default::default() };
    assert_eq!(std::format!("{:?}", Heard::Event(Event::Message(message))), "Event { message }");
    let session = Session { user: 7, username: "al", ..Default::default() };
    assert_eq!(std::format!("{:?}", Heard::Entered(session)), "Entered { user: 7, last_seq: 0 }");
}
