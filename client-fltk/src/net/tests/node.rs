//! A node in this process: wire's side of the server and a small chat in memory, with faults on demand.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use wire::chat::code::Code;
use wire::chat::item::{self, Token};
use wire::chat::reply::{self, Error};
use wire::chat::{Event, FromClient, FromNode, Reply, Request, event};
use wire::codec::Codec;
use wire::frame::{self, Splitter};
use wire::samira2;
use wire::session::Server;
use wire::session::server::{Identity, Step};

/// What every node of the cluster knows.
#[derive(Default)]
pub(crate) struct World {
    users: Vec<User>,
    devices: BTreeMap<u64, Device>,
    conversations: Vec<Conversation>,
    changes: Vec<Change>,
    connections: Vec<Connection>,
    next: u64,
    /// Other nodes that clients are told of.
    pub(crate) nodes: Vec<String>,
    /// Apply the next sends and close the connection instead of answering.
    pub(crate) swallow_replies: u32,
    /// Refuse the next sends for want of a majority.
    pub(crate) refuse: u32,
    /// Refuse the next sends before their numbers are looked at.
    pub(crate) refuse_at_door: u32,
    /// Let people in without a majority.
    pub(crate) stale: bool,
    /// Give no tokens.
    pub(crate) no_tokens: bool,
    /// Take connections and say nothing.
    pub(crate) mute: bool,
    /// Answer about history late, as a node does that asks the others first.
    pub(crate) slow_history: bool,
    /// Changes in one answer.
    pub(crate) sync_limit: usize,
    /// Every write that was applied: device, number, text.
    pub(crate) applied: Vec<(u64, u64, String)>,
    /// How people came in: "signup", "login", "resume".
    pub(crate) entries: Vec<&'static str>,
    /// Marks that were asked for: user, delivered, read.
    pub(crate) marks: Vec<(u64, u64, u64)>,
}

struct User {
    name: String,
    password: String,
}

struct Device {
    user: u64,
    token: [u8; 24],
    last_seq: u64,
    replies: BTreeMap<u64, (u64, u64, u64)>,
}

#[derive(Default)]
struct Conversation {
    members: Vec<(u64, u64, u64)>,
    messages: Vec<(u64, u64, String, bool, u64, u64)>,
}

#[derive(Clone, Copy)]
enum What {
    Message(u64),
    Deleted(u64),
    Mark(u64),
}

#[derive(Clone, Copy)]
struct Change {
    id: u64,
    conversation: u64,
    what: What,
}

struct Connection {
    id: u64,
    node: SocketAddr,
    identity: Option<Identity>,
    pushed: bool,
    told: u64,
    codec: Codec,
    stream: TcpStream,
}

/// One node; several may share a world.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) world: Arc<Mutex<World>>,
    closed: Arc<AtomicBool>,
    frozen: Arc<AtomicBool>,
}

pub(crate) const CLUSTER: &str = "c1";

/// See [`World::slow_history`]: less than a client waits at its end.
const HISTORY_DELAY: Duration = Duration::from_millis(50);

impl Node {
    pub(crate) fn start() -> Self {
        Self::of(Arc::new(Mutex::new(World { sync_limit: 3, ..World::default() })))
    }

    /// Another node of the same cluster.
    pub(crate) fn of(world: Arc<Mutex<World>>) -> Self {
        Self::of_cluster(world, CLUSTER)
    }

    pub(crate) fn of_cluster(world: Arc<Mutex<World>>, cluster: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = world.clone();
        let closed = Arc::new(AtomicBool::new(false));
        let ended = closed.clone();
        let frozen = Arc::new(AtomicBool::new(false));
        let stands_still = frozen.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Relaxed) {
                    return;
                }
                let (world, stream, frozen) = (shared.clone(), stream.unwrap(), stands_still.clone());
                thread::spawn(move || serve(&world, stream, cluster, &frozen));
            }
        });
        Self { address, world, closed, frozen }
    }

    pub(crate) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Ends this node, with its connections.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        // Whoever waits for a connection wakes by one.
        let _ = TcpStream::connect(self.address);
        for connection in self.world().connections.iter().filter(|connection| connection.node == self.address) {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }

    /// From now on this node takes everything and answers nothing.
    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Relaxed);
    }

    /// Closes every connection to every node of the cluster.
    pub(crate) fn cut(&self) {
        for connection in &self.world().connections {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends every connection with a reason.
    pub(crate) fn say_bye(&self, code: Code) {
        let bye = Event::Bye(event::Bye { code, text: "" });
        for connection in &mut self.world().connections {
            send(&mut connection.stream, connection.codec, &FromNode::Event(Some(bye.clone())));
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }

    /// Everybody's messages in a conversation, as texts.
    pub(crate) fn texts(&self, conversation: u64) -> Vec<String> {
        let world = self.world();
        world.conversations[conversation as usize - 1].messages.iter().map(|message| message.2.clone()).collect()
    }

    /// Makes a token worthless.
    pub(crate) fn forget_tokens(&self) {
        for device in self.world().devices.values_mut() {
            device.token = [0xff; 24];
        }
    }

    /// Puts another token in the place of the first device's and returns what was there; none: one that nobody has.
    pub(crate) fn swap_token(&self, token: Option<[u8; 24]>) -> [u8; 24] {
        let mut world = self.world();
        let device = world.devices.values_mut().next().unwrap();
        std::mem::replace(&mut device.token, token.unwrap_or([0xff; 24]))
    }

    /// Gives somebody a password, as it comes over the wire.
    pub(crate) fn set_password(&self, name: &str, password: &str) {
        let mut world = self.world();
        let user = world.users.iter_mut().find(|user| user.name == name).unwrap();
        user.password = password.to_owned();
    }

    /// Forgets all that happened behind the first `count` changes.
    pub(crate) fn roll_back(&self, count: usize) {
        let mut world = self.world();
        world.changes.truncate(count);
        let last = world.cursor();
        for conversation in &mut world.conversations {
            conversation.messages.retain(|message| message.1 <= last);
            for (_, delivered, read) in &mut conversation.members {
                let held = conversation.messages.len() as u64;
                (*delivered, *read) = ((*delivered).min(held), (*read).min(held));
            }
        }
    }

    /// Gives somebody another name.
    pub(crate) fn rename(&self, user: u64, name: &str) {
        self.world().users[user as usize - 1].name = name.to_owned();
    }

    /// Somebody with an account who is not connected.
    pub(crate) fn add_user(&self, name: &str) -> u64 {
        self.world().user(name, "")
    }

    /// A message of somebody without a device here.
    pub(crate) fn say(&self, from: u64, to: u64, text: &str) {
        let mut world = self.world();
        let conversation = world.direct(from, to);
        world.store(conversation, from, text, 0, 0);
        world.push();
    }
}

fn send(stream: &mut TcpStream, codec: Codec, frame: &FromNode<'_>) {
    let mut bytes = Vec::new();
    codec.encode_frame_to_vec(frame, &mut bytes).unwrap();
    // A client that is gone is noticed by its reader.
    let _ = stream.write_all(&bytes);
}

fn serve(world: &Mutex<World>, mut stream: TcpStream, cluster: &str, frozen: &AtomicBool) {
    if world.lock().unwrap().mute || frozen.load(Relaxed) {
        let mut nothing = [0; 64];
        while stream.read(&mut nothing).is_ok_and(|got| got > 0) {}
        return;
    }
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    let mut more = |buffer: &mut Vec<u8>, stream: &mut TcpStream| match stream.read(&mut chunk) {
        Ok(got @ 1..) => {
            buffer.extend_from_slice(&chunk[..got]);
            true
        }
        _ => false,
    };
    if !more(&mut buffer, &mut stream) {
        return;
    }
    let codec = match Codec::sniff(buffer[0]) {
        Some(Codec::Samira2) => {
            while buffer.len() < samira2::PREFACE.len() {
                assert!(more(&mut buffer, &mut stream));
            }
            assert_eq!(buffer[..4], samira2::PREFACE);
            buffer.drain(..4);
            stream.write_all(&samira2::PREFACE).unwrap();
            Codec::Samira2
        }
        Some(Codec::Json) => Codec::Json2,
        other => panic!("{other:?}"),
    };
    let id = {
        let mut world = world.lock().unwrap();
        world.next += 1;
        let id = world.next;
        let node = stream.local_addr().unwrap();
        let stream = stream.try_clone().unwrap();
        world.connections.push(Connection { id, node, identity: None, pushed: false, told: 0, codec, stream });
        id
    };
    let mut server = Server::new(true);
    let mut splitter = Splitter::new(codec);
    'connection: loop {
        while let Some(len) = splitter.push(&buffer).unwrap() {
            let mut whole: Vec<u8> = buffer.drain(..len).collect();
            let request: FromClient<'_> = codec.decode(frame::body(codec, &mut whole)).unwrap();
            match server.handle_frame(request) {
                Step::Ask { id: re, request } => {
                    let mut world = world.lock().unwrap();
                    if !world.answer(id, &mut server, re, &request, &mut stream, codec, cluster) {
                        break 'connection;
                    }
                    server.handle_answered(re);
                    world.push();
                }
                Step::Refuse { id: re, error } => {
                    send(&mut stream, codec, &FromNode::Reply { re, reply: Some(Reply::Error(error)) });
                }
                Step::Bye { .. } | Step::Drop => break 'connection,
            }
        }
        if !more(&mut buffer, &mut stream) {
            break;
        }
        while frozen.load(Relaxed) && more(&mut buffer, &mut stream) {
            buffer.clear();
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
    world.lock().unwrap().connections.retain(|connection| connection.id != id);
}

impl World {
    /// The newest change.
    pub(crate) fn cursor(&self) -> u64 {
        self.changes.len() as u64
    }

    fn user(&mut self, name: &str, password: &str) -> u64 {
        self.users.push(User { name: name.into(), password: password.into() });
        self.users.len() as u64
    }

    /// Somebody has another name from now on, and nobody is told.
    pub(super) fn rename(&mut self, user: u64, name: &str) {
        self.users[user as usize - 1].name = name.to_owned();
    }

    fn user_named(&self, name: &str) -> Option<u64> {
        self.users.iter().position(|user| user.name == name).map(|at| at as u64 + 1)
    }

    fn direct(&mut self, one: u64, two: u64) -> u64 {
        let has = |conversation: &Conversation, user| conversation.members.iter().any(|member| member.0 == user);
        let found = self.conversations.iter().position(|found| {
            has(found, one) && has(found, two) && found.members.len() == if one == two { 1 } else { 2 }
        });
        let at = found.unwrap_or_else(|| {
            let mut members = vec![(one, 0, 0), (two, 0, 0)];
            members.dedup();
            self.conversations.push(Conversation { members, messages: Vec::new() });
            self.conversations.len() - 1
        });
        at as u64 + 1
    }

    fn change(&mut self, conversation: u64, what: What) -> u64 {
        let id = self.changes.len() as u64 + 1;
        self.changes.push(Change { id, conversation, what });
        id
    }

    fn store(&mut self, conversation: u64, sender: u64, text: &str, seq: u64, device: u64) -> (u64, u64) {
        let number = self.conversations[conversation as usize - 1].messages.len() as u64 + 1;
        let id = self.change(conversation, What::Message(number));
        self.conversations[conversation as usize - 1].messages.push((sender, id, text.into(), false, seq, device));
        (number, id)
    }

    fn message(&self, conversation: u64, number: u64, device: u64) -> item::Message<'_> {
        let (sender, id, text, deleted, seq, by) =
            &self.conversations[conversation as usize - 1].messages[number as usize - 1];
        item::Message {
            id: *id,
            conversation,
            number,
            sender: *sender,
            time_ms: 1_000 + id,
            text: if *deleted { "" } else { text },
            seq: if *by == device { *seq } else { 0 },
        }
    }

    fn summary(&self, conversation: u64, user: u64) -> item::Conversation<'_> {
        let found = &self.conversations[conversation as usize - 1];
        let read = found.members.iter().find(|member| member.0 == user).map_or(0, |member| member.2);
        let unread =
            (1..).zip(&found.messages).filter(|(number, message)| *number > read && message.0 != user && !message.3);
        let unread = unread.count() as u64;
        let members = found.members.iter().map(|&(user, delivered, read)| item::Member {
            person: item::Person { user, username: &self.users[user as usize - 1].name, ..Default::default() },
            delivered,
            read,
        });
        item::Conversation {
            conversation,
            members: members.collect(),
            last_number: found.messages.len() as u64,
            unread,
            ..Default::default()
        }
    }

    fn sees(&self, conversation: u64, user: u64) -> bool {
        self.conversations[conversation as usize - 1].members.iter().any(|member| member.0 == user)
    }

    /// Tells every connection that has caught up what is new.
    fn push(&mut self) {
        let mut connections = std::mem::take(&mut self.connections);
        for connection in &mut connections {
            let (Some(identity), true) = (connection.identity, connection.pushed) else { continue };
            for change in self.changes.iter().filter(|change| change.id > connection.told) {
                for event in self.events(change, identity) {
                    send(&mut connection.stream, connection.codec, &FromNode::Event(Some(event)));
                }
            }
            connection.told = self.changes.len() as u64;
        }
        self.connections = connections;
    }

    fn events(&self, change: &Change, to: Identity) -> Vec<Event<'_>> {
        let Change { id, conversation, what } = *change;
        if !self.sees(conversation, to.user) {
            return Vec::new();
        }
        match what {
            What::Message(1) => vec![Event::Update(reply::Changes {
                conversations: vec![self.summary(conversation, to.user)].into(),
                messages: vec![self.message(conversation, 1, to.device)].into(),
                cursor: id,
                ..Default::default()
            })],
            What::Message(number) => vec![Event::Message(self.message(conversation, number, to.device))],
            What::Deleted(number) => vec![Event::Deleted(item::Deleted { id, conversation, number })],
            What::Mark(user) => vec![Event::Mark(event::Moved { id, mark: self.mark(conversation, user) })],
        }
    }

    fn mark(&self, conversation: u64, user: u64) -> item::Mark {
        let members = &self.conversations[conversation as usize - 1].members;
        let (_, delivered, read) = *members.iter().find(|member| member.0 == user).unwrap();
        item::Mark { conversation, user, delivered, read }
    }

    fn changes(&self, cursor: u64, to: Identity) -> reply::Changes<'_> {
        let mut changes = reply::Changes { stale: self.stale, ..Default::default() };
        let (mut messages, mut deleted, mut marks, mut summaries) = (vec![], vec![], vec![], vec![]);
        changes.resync = !self.stale && cursor > self.cursor();
        let cursor = if changes.resync { 0 } else { cursor };
        let new = self.changes.iter().skip(cursor as usize);
        changes.cursor = cursor;
        for (count, change) in new.enumerate() {
            if count == self.sync_limit {
                changes.more = true;
                break;
            }
            changes.cursor = change.id;
            if !self.sees(change.conversation, to.user) {
                continue;
            }
            match change.what {
                What::Message(number) => {
                    messages.push(self.message(change.conversation, number, to.device));
                    if number == 1 {
                        summaries.push(self.summary(change.conversation, to.user));
                    }
                }
                What::Deleted(number) => {
                    deleted.push(item::Deleted { id: change.id, conversation: change.conversation, number });
                }
                What::Mark(user) => marks.push(self.mark(change.conversation, user)),
            }
        }
        changes.messages = messages.into();
        changes.deleted = deleted.into();
        changes.marks = marks.into();
        changes.conversations = summaries.into();
        changes
    }

    /// Answers a request; false: closes the connection instead.
    #[allow(clippy::too_many_arguments)]
    fn answer(
        &mut self,
        id: u64,
        server: &mut Server,
        re: u64,
        request: &Request<'_>,
        stream: &mut TcpStream,
        codec: Codec,
        cluster: &str,
    ) -> bool {
        let identity = server.identity().unwrap_or(Identity { user: 0, device: 0, read_only: false });
        let reply = match request {
            Request::Hello(_) => {
                let nodes = self.nodes.iter().map(|address| item::Node { name: "n", address, leader: false }).collect();
                let welcome = reply::Welcome { samira: 2, cluster, node: "n1", nodes, ..Default::default() };
                send(stream, codec, &FromNode::Reply { re, reply: Some(Reply::Welcome(welcome)) });
                return true;
            }
            Request::Signup(signup) => {
                self.entries.push("signup");
                if self.stale {
                    error(Code::Unavailable)
                } else if self.user_named(signup.username).is_some() {
                    error(Code::NameTaken)
                } else {
                    let user = self.user(signup.username, signup.password);
                    self.enter(id, server, user, 0)
                }
            }
            Request::Login(login) => {
                self.entries.push("login");
                match self.user_named(login.username) {
                    Some(user) if self.users[user as usize - 1].password == login.password => {
                        self.enter(id, server, user, login.device)
                    }
                    _ if self.stale => error(Code::Unavailable),
                    _ => error(Code::BadCredentials),
                }
            }
            Request::Resume(resume) => {
                self.entries.push("resume");
                let token = resume.token.as_ref().map(|token| token.0);
                match self.devices.get(&resume.device).filter(|device| Some(device.token) == token) {
                    Some(device) => {
                        let user = device.user;
                        self.enter(id, server, user, resume.device)
                    }
                    None if self.stale => error(Code::Unavailable),
                    None => error(Code::BadToken),
                }
            }
            Request::Sync(sync) => {
                let changes = self.changes(sync.cursor, identity);
                let (told, done) = (changes.cursor, !changes.more);
                send(stream, codec, &FromNode::Reply { re, reply: Some(Reply::Changes(changes)) });
                let connection = self.connections.iter_mut().find(|connection| connection.id == id).unwrap();
                (connection.told, connection.pushed) = (told, done);
                return true;
            }
            Request::Send(asked) => match self.sent(identity, asked) {
                Some(reply) => reply,
                None => return false,
            },
            Request::Clear(clear) => {
                // Only the one that uses a number up comes here.
                let device = self.devices.get_mut(&identity.device).unwrap();
                assert_eq!((clear.conversation, clear.seq), (0, device.last_seq + 1));
                device.last_seq += 1;
                Reply::Done(Default::default())
            }
            Request::Delete(delete) => {
                let device = self.devices.get_mut(&identity.device).unwrap();
                assert_eq!(delete.seq, device.last_seq + 1);
                device.last_seq += 1;
                for &number in delete.numbers.iter() {
                    self.conversations[delete.conversation as usize - 1].messages[number as usize - 1].3 = true;
                    self.change(delete.conversation, What::Deleted(number));
                }
                Reply::Removed(reply::Count { count: delete.numbers.len() as u64 })
            }
            Request::Mark(marks) => {
                for mark in marks.marks.iter() {
                    self.marks.push((identity.user, mark.delivered, mark.read));
                    let members = &mut self.conversations[mark.conversation as usize - 1].members;
                    let member = members.iter_mut().find(|member| member.0 == identity.user).unwrap();
                    member.2 = member.2.max(mark.read);
                    member.1 = member.1.max(mark.delivered).max(member.2);
                    self.change(mark.conversation, What::Mark(identity.user));
                }
                Reply::Done(Default::default())
            }
            Request::History(asked) => {
                if self.slow_history {
                    // It ends early if the client leaves.
                    stream.set_read_timeout(Some(HISTORY_DELAY)).unwrap();
                    let _ = stream.peek(&mut [0]);
                    stream.set_read_timeout(None).unwrap();
                }
                let before = if asked.before == 0 { u64::MAX } else { asked.before };
                let last = self.conversations[asked.conversation as usize - 1].messages.len() as u64;
                let numbers = (1..=last).rev().filter(|number| *number < before);
                let messages: Vec<_> = numbers
                    .map(|number| self.message(asked.conversation, number, identity.device))
                    .take(asked.limit as usize)
                    .collect();
                let more = messages.last().is_some_and(|message| message.number > 1);
                let messages = reply::Messages { messages: messages.into(), more, ..Default::default() };
                send(stream, codec, &FromNode::Reply { re, reply: Some(Reply::Messages(messages)) });
                return true;
            }
            Request::Users(_) => {
                let people = self.users.iter().zip(1..).map(|(user, id)| item::Person {
                    user: id,
                    username: &user.name,
                    ..Default::default()
                });
                let users = reply::Users { people: people.collect(), total: 0, stale: false };
                send(stream, codec, &FromNode::Reply { re, reply: Some(Reply::Users(users)) });
                return true;
            }
            Request::Logout(_) => {
                self.devices.remove(&identity.device);
                Reply::Done(Default::default())
            }
            _ => Reply::Done(Default::default()),
        };
        send(stream, codec, &FromNode::Reply { re, reply: Some(reply) });
        true
    }

    fn enter(&mut self, id: u64, server: &mut Server, user: u64, device: u64) -> Reply<'_> {
        let known = self.devices.get(&device).is_some_and(|found| found.user == user);
        self.next += 1;
        let mut token = [0; 24];
        token[..8].copy_from_slice(&self.next.to_be_bytes());
        // Without a majority no device is made and no token changes.
        let device = match (known, self.stale) {
            (true, _) => device,
            (false, true) => 0,
            (false, false) => 1000 + self.next,
        };
        if !self.stale {
            let new = Device { user, token, last_seq: 0, replies: BTreeMap::new() };
            self.devices.entry(device).or_insert(new).token = token;
        }
        let identity = Identity { user, device, read_only: self.stale };
        server.logged_in(identity);
        let last_seq = self.devices.get(&device).map_or(0, |found| found.last_seq);
        let connection = self.connections.iter_mut().find(|connection| connection.id == id).unwrap();
        connection.identity = Some(identity);
        Reply::Session(reply::Session {
            user,
            username: &self.users[user as usize - 1].name,
            view_limit: 6,
            device,
            token: (!self.no_tokens && !self.stale).then_some(Token(token)),
            last_seq,
            stale: self.stale,
            ..Default::default()
        })
    }

    fn sent(&mut self, identity: Identity, asked: &wire::chat::request::Send<'_>) -> Option<Reply<'static>> {
        let sent = |(conversation, number, id)| Some(Reply::Sent(reply::Sent { conversation, number, id }));
        let device = &self.devices[&identity.device];
        if self.refuse_at_door > 0 {
            self.refuse_at_door -= 1;
            return Some(error(Code::Malformed));
        }
        if let Some(&again) = device.replies.get(&asked.seq) {
            return sent(again);
        }
        if asked.seq != device.last_seq + 1 {
            return Some(error(Code::OutOfOrder));
        }
        if self.refuse > 0 {
            self.refuse -= 1;
            return Some(error(Code::Unavailable));
        }
        let conversation = match asked.conversation {
            0 => match Some(asked.user).filter(|&user| user != 0).or_else(|| self.user_named(asked.username)) {
                Some(other) => self.direct(identity.user, other),
                None => {
                    self.devices.get_mut(&identity.device).unwrap().last_seq = asked.seq;
                    return Some(error(Code::NoSuchUser));
                }
            },
            known => known,
        };
        let (number, id) = self.store(conversation, identity.user, asked.text, asked.seq, identity.device);
        self.applied.push((identity.device, asked.seq, asked.text.to_owned()));
        let device = self.devices.get_mut(&identity.device).unwrap();
        device.last_seq = asked.seq;
        device.replies.insert(asked.seq, (conversation, number, id));
        if self.swallow_replies > 0 {
            self.swallow_replies -= 1;
            return None;
        }
        sent((conversation, number, id))
    }
}

fn error(code: Code) -> Reply<'static> {
    Reply::Error(Error { code, text: "refused by the test", retry_ms: 0 })
}
