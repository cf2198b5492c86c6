//! What every node keeps towards a client, whether it is the real one or one that a test makes up in memory. The client
//! library is tested against the latter; what both keep is true of the library against a cluster.
//!
//! [`with_a_majority`] comes first and says who has an account then; [`without_a_majority`] is for the same place while too
//! few servers reach each other, and [`again_with_a_majority`] for afterwards. [`client`] is the small client that asks.

pub mod client;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use wire::chat::code::{Code, Remedy};
use wire::chat::item::Token;
use wire::chat::{Event, Reply, Request, reply, request};
use wire::codec::Codec;

use crate::client::{Client, password};

/// Who has an account, and what their device holds.
#[derive(Debug, Clone)]
pub struct Known {
    name: &'static str,
    device: u64,
    token: Token,
    last_seq: u64,
    cursor: u64,
}

/// Where a node is, and what to speak with it.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its address.
    pub address: SocketAddr,
    /// One of [`Codec::CHAT`].
    pub codec: Codec,
}

/// What a session says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    user: u64,
    device: u64,
    token: Option<Token>,
    last_seq: u64,
    stale: bool,
}

impl From<&reply::Session<'_>> for Session {
    fn from(from: &reply::Session<'_>) -> Self {
        let reply::Session { user, device, token, last_seq, stale, .. } = *from;
        Self { user, device, token, last_seq, stale }
    }
}

/// Who wants in, and how. The password of a name is [`password`]'s.
#[derive(Debug, Clone, Copy)]
enum Entry<'a> {
    SignUp(&'a str),
    LogIn { name: &'a str, password_of: &'a str, device: u64 },
    Resume { device: u64, token: Token },
}

impl Place {
    /// A connection of its own, and what came of the attempt to enter on it.
    fn enter(self, entry: Entry<'_>) -> Result<(Client, Result<Session, Code>)> {
        let mut client = Client::connect(self.address, self.codec)?;
        let secret;
        let request = match entry {
            Entry::SignUp(username) => {
                secret = password(username);
                Request::Signup(request::Signup { username, password: &secret, ..Default::default() })
            }
            Entry::LogIn { name, password_of, device } => {
                secret = password(password_of);
                Request::Login(request::Login { username: name, password: &secret, device, ..Default::default() })
            }
            Entry::Resume { device, token } => {
                Request::Resume(request::Resume { device, token: Some(token), ..Default::default() })
            }
        };
        let entered = client.ask(request, |reply| match reply {
            Reply::Session(session) => Ok(Ok(Session::from(&session))),
            Reply::Error(error) => Ok(Err(error.code)),
            other => anyhow::bail!("to {entry:?}: {}", other.name()),
        })?;
        Ok((client, entered))
    }

    fn session(self, entry: Entry<'_>) -> Result<(Client, Session)> {
        let (client, entered) = self.enter(entry)?;
        let session = entered.map_err(|code| anyhow::anyhow!("{entry:?} was refused: {code:?}"))?;
        Ok((client, session))
    }

    fn refusal(self, entry: Entry<'_>) -> Result<Code> {
        self.enter(entry)?.1.err().with_context(|| format!("{entry:?} was let in"))
    }
}

/// Makes two accounts and looks at everything that a client's library relies on.
///
/// # Errors
/// What the node does not keep.
pub fn with_a_majority(place: Place) -> Result<Known> {
    let (mut ann, first) = place.session(Entry::SignUp("ann"))?;
    ensure!(first.user != 0 && first.device != 0 && first.token.is_some() && !first.stale, "{first:?}");
    ensure!(first.last_seq == 0, "a new device has written something: {first:?}");
    let (mut bob, _) = place.session(Entry::SignUp("bob"))?;
    entries(place, &first)?;
    writes_happen_once(&mut ann)?;
    ensure!(sync(&mut bob, 0)?.texts == ["one", "two"], "a first sync hands over what is unread, in order");
    let what_happens = pushes(&mut ann, &mut bob);
    what_happens.context("what happens is pushed")?;
    let caught_up = sync(&mut ann, 0)?;
    ensure!(!caught_up.resync && !caught_up.stale && caught_up.cursor > 0, "{caught_up:?}");
    let again = sync(&mut ann, caught_up.cursor + 1_000)?;
    ensure!(again.resync && again.conversations == 1, "a cursor of another history begins again: {again:?}");
    ensure!(again.cursor == caught_up.cursor, "and comes to where the others are: {again:?}");
    drop(ann);
    let (_, session) = place.session(Entry::LogIn { name: "ann", password_of: "ann", device: first.device })?;
    ensure!(session.device == first.device && session.last_seq >= 4, "a device goes on with its numbers: {session:?}");
    let token = session.token.context("no token")?;
    Ok(Known { name: "ann", device: session.device, token, last_seq: session.last_seq, cursor: caught_up.cursor })
}

/// Ways in, and who is kept out.
fn entries(place: Place, first: &Session) -> Result<()> {
    let log_in = |name, password_of, device| Entry::LogIn { name, password_of, device };
    ensure!(place.refusal(Entry::SignUp("ann"))? == Code::NameTaken);
    ensure!(place.refusal(log_in("ann", "bob", 0))? == Code::BadCredentials);
    ensure!(place.refusal(log_in("cyd", "cyd", 0))? == Code::BadCredentials);
    let (_, second) = place.session(log_in("ann", "ann", 0))?;
    ensure!(second.user == first.user && second.device != first.device, "a device of its own: {second:?}");
    let token = second.token.context("no token")?;
    let (_, resumed) = place.session(Entry::Resume { device: second.device, token })?;
    ensure!(resumed.device == second.device && resumed.token.is_some_and(|next| next != token), "{resumed:?}");
    // The one that was used is old once the next one is.
    let next = resumed.token.context("no token")?;
    place.session(Entry::Resume { device: second.device, token: next })?;
    let old = place.refusal(Entry::Resume { device: second.device, token })?;
    let made_up = place.refusal(Entry::Resume { device: first.device, token: Token([7; 24]) })?;
    ensure!([old, made_up].map(Code::remedy) == [Remedy::LogIn; 2], "{old:?} {made_up:?}");
    Ok(())
}

fn writes_happen_once(ann: &mut Client) -> Result<()> {
    let first = send(ann, "bob", "one", 1)?.map_err(refused)?;
    ensure!(send(ann, "bob", "one", 1)? == Ok(first), "a repeated write has the same answer");
    ensure!(send(ann, "bob", "three", 3)? == Err(Code::OutOfOrder), "a gap is refused, and uses no number up");
    let nobody = send(ann, "cyd", "to nobody", 2)?;
    ensure!(nobody.is_err_and(|code| code.remedy() == Remedy::GiveUp), "{nobody:?}");
    let second = send(ann, "bob", "two", 3)?.map_err(refused)?;
    ensure!(second == (first.0, first.1 + 1), "a refusal for good uses its number up: {second:?}");
    Ok(())
}

fn pushes(ann: &mut Client, bob: &mut Client) -> Result<()> {
    sync(ann, 0)?;
    let (conversation, number) = send(ann, "bob", "three", 4)?.map_err(refused)?;
    // Whose device wrote it finds its number in it; nobody else does.
    for (client, expected) in [(&mut *ann, 4), (&mut *bob, 0)] {
        let seq = until(client, |event| match event {
            Event::Message(message) => (message.text == "three").then_some(message.seq),
            Event::Update(changes) => changes.messages.iter().find(|one| one.text == "three").map(|one| one.seq),
            _ => None,
        })?;
        ensure!(seq == expected, "the message came with the write number {seq}");
    }
    let marks = vec![wire::chat::item::Mark { conversation, user: 0, delivered: number, read: number }];
    done(bob, Request::Mark(request::Marks { marks: marks.into() }))?;
    let read = until(ann, |event| match event {
        Event::Mark(moved) if moved.mark.read > 0 => Some((moved.mark.conversation, moved.mark.read)),
        Event::Update(changes) => {
            changes.marks.iter().find(|mark| mark.read > 0).map(|mark| (mark.conversation, mark.read))
        }
        _ => None,
    })?;
    ensure!(read == (conversation, number), "{read:?}");
    let history = Request::History(request::History { conversation, after: 0, before: number, limit: 1 });
    let texts = bob.ask(history, |reply| match reply {
        Reply::Messages(found) => Ok((found.messages.iter().map(|one| one.text.to_owned()).collect(), found.more)),
        other => anyhow::bail!("to history: {}", other.name()),
    })?;
    ensure!(texts == (vec!["two".to_owned()], true), "newest first, below the number: {texts:?}");
    Ok(())
}

/// Looks at a node that no majority vouches for.
///
/// # Errors
/// What the node does not keep.
pub fn without_a_majority(place: Place, known: &Known) -> Result<()> {
    let Known { name, device, token, last_seq, cursor } = *known;
    let log_in = |password_of| Entry::LogIn { name, password_of, device };
    for entry in [log_in(name), Entry::Resume { device, token }] {
        let (mut client, session) = place.session(entry)?;
        let expected = Session { user: session.user, device, token: None, last_seq, stale: true };
        ensure!(session == expected, "{entry:?}: it may read, and keeps what it holds: {session:?}");
        let ahead = sync(&mut client, cursor + 1_000)?;
        ensure!(ahead.stale && !ahead.resync, "what this node has not heard of is no other history: {ahead:?}");
        let begun = sync(&mut client, 0)?;
        ensure!(begun.stale && begun.conversations == 1, "what is here is shown: {begun:?}");
        let refused = send(&mut client, "bob", "too early", last_seq + 1)?;
        ensure!(refused.is_err_and(|code| code.remedy() == Remedy::Retry), "{refused:?}");
    }
    let made_up = Entry::Resume { device, token: Token([7; 24]) };
    for entry in [log_in("somebody else"), made_up, Entry::SignUp("dee")] {
        let code = place.refusal(entry)?;
        ensure!(code.remedy() == Remedy::Retry, "{entry:?}: nobody can know that for good: {code:?}");
    }
    Ok(())
}

/// Looks whether anything of the time without a majority has cost a device something.
///
/// # Errors
/// What the node does not keep.
pub fn again_with_a_majority(place: Place, known: &Known) -> Result<()> {
    let (mut client, session) = place.session(Entry::Resume { device: known.device, token: known.token })?;
    ensure!(!session.stale && session.token.is_some() && session.last_seq == known.last_seq, "{session:?}");
    send(&mut client, "bob", "four", known.last_seq + 1)?.map_err(refused)?;
    Ok(())
}

fn refused(code: Code) -> anyhow::Error {
    anyhow::anyhow!("refused: {code:?}")
}

/// Where a message was stored: conversation and number.
fn send(client: &mut Client, username: &str, text: &str, seq: u64) -> Result<Result<(u64, u64), Code>> {
    client.ask(Request::Send(request::Send { username, text, seq, ..Default::default() }), |reply| match reply {
        Reply::Sent(sent) => Ok(Ok((sent.conversation, sent.number))),
        Reply::Error(error) => Ok(Err(error.code)),
        other => anyhow::bail!("to a message: {}", other.name()),
    })
}

fn done(client: &mut Client, request: Request<'_>) -> Result<()> {
    client.ask(request, |reply| match reply {
        Reply::Done(_) => Ok(()),
        other => anyhow::bail!("it is not done: {other:?}"),
    })
}

/// What a whole sync told.
#[derive(Debug, Default)]
struct Told {
    texts: Vec<String>,
    conversations: usize,
    cursor: u64,
    resync: bool,
    stale: bool,
}

fn sync(client: &mut Client, cursor: u64) -> Result<Told> {
    let mut told = Told { cursor, ..Told::default() };
    loop {
        let request = request::Sync { cursor: told.cursor, ..Default::default() };
        let more = client.ask(Request::Sync(request), |reply| match reply {
            Reply::Changes(changes) => {
                told.texts.extend(changes.messages.iter().map(|message| message.text.to_owned()));
                told.conversations += changes.conversations.iter().count();
                told.cursor = changes.cursor;
                told.resync |= changes.resync;
                told.stale |= changes.stale;
                Ok(changes.more)
            }
            other => anyhow::bail!("to sync: {other:?}"),
        })?;
        if !more {
            return Ok(told);
        }
    }
}

/// The first thing that an event tells which is looked for.
fn until<T>(client: &mut Client, look: impl Fn(&Event<'_>) -> Option<T>) -> Result<T> {
    loop {
        if let Some(found) = client.event(|event| Ok(look(&event)))? {
            return Ok(found);
        }
    }
}
