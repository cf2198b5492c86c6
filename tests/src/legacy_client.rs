//! A small blocking client of the original protocol, in both codecs.

use std::fmt;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

pub use contract::client::password;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::codec::Codec;
use wire::frame::Splitter;
use wire::legacy::reply::{
    Chat, ChatsReply, HelloReply, LimitReply, LoginReply, Message, MessagesReply, Outcome, StartChatReply, Status,
    UsersReply,
};
use wire::legacy::{Hello, Request};

use crate::read_some;

/// For one reply. Longer than the server holds a write while nobody leads.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a request has no good answer.
#[derive(Debug)]
pub enum CallError {
    /// The connection failed: whether the request was done is unknown.
    Io(io::Error),
    /// The server said no, in words.
    Refused(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "connection failed: {error}"),
            Self::Refused(text) => write!(f, "refused: {text}"),
        }
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Result of a request.
pub type Call<T> = Result<T, CallError>;

/// One connection.
pub struct Client {
    stream: TcpStream,
    codec: Codec,
    splitter: Splitter,
    input: Vec<u8>,
}

impl Client {
    /// Connects and shakes hands.
    ///
    /// # Errors
    /// When nobody answers, or the server turns us away.
    pub fn connect(address: SocketAddr, codec: Codec) -> Call<Self> {
        Self::connect_within(address, codec, REPLY_TIMEOUT)
    }

    /// As [`Client::connect`], waiting only so long for this and every later reply.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_within(address: SocketAddr, codec: Codec, patience: Duration) -> Call<Self> {
        let mut client = Self::open(address, codec)?;
        client.stream.set_read_timeout(Some(patience))?;
        let reply: HelloReply<String> = client.call_raw(&Hello::new("e2e"))?;
        match reply.status {
            Status::Connected => Ok(client),
            Status::Error => Err(CallError::Refused(reply.message)),
        }
    }

    /// Connects and says nothing yet.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn open(address: SocketAddr, codec: Codec) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        // A reply may be as large as a request here; the server's own bound is tighter.
        Ok(Self { stream, codec, splitter: Splitter::new(codec), input: Vec::new() })
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// See [`Client::connect`] and [`Client::login`].
    pub fn logged_in(address: SocketAddr, codec: Codec, name: &str) -> Call<Self> {
        let mut client = Self::connect(address, codec)?;
        client.login(name)?;
        Ok(client)
    }

    /// The socket, with nothing outstanding.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Of the connection.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Shuts our sending side.
    ///
    /// # Errors
    /// Of the connection.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// One message in this connection's codec.
    ///
    /// # Panics
    /// When the codec has no form for it.
    pub fn encode(&self, message: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.codec.encode_to_vec(message, &mut bytes).expect("test messages have a form in every codec");
        bytes
    }

    /// The next reply, undecoded; `None` at the end of the connection.
    ///
    /// # Errors
    /// Of the connection, or a reply that is no message.
    pub fn receive_bytes(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let end = self.splitter.push(&self.input).map_err(io::Error::other)?;
            if let Some(end) = end {
                let rest = self.input.split_off(end);
                return Ok(Some(std::mem::replace(&mut self.input, rest)));
            }
            let mut chunk = [0; 4096];
            match read_some(&mut self.stream, &mut chunk)? {
                0 if self.input.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.input.extend_from_slice(&chunk[..count]),
            }
        }
    }

    /// The next reply.
    ///
    /// # Errors
    /// Of the connection, or a reply of another shape.
    pub fn receive<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut frame = self.receive_bytes()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.codec.decode(&mut frame).map_err(io::Error::other)
    }

    /// Sends any message and reads one reply.
    ///
    /// # Errors
    /// Of the connection, or a reply of another shape.
    pub fn call_raw<T: DeserializeOwned>(&mut self, message: &impl Serialize) -> io::Result<T> {
        let bytes = self.encode(message);
        self.send_bytes(&bytes)?;
        self.receive()
    }

    fn outcome(&mut self, request: &Request<'_>) -> Call<()> {
        let outcome: Outcome<String> = self.call_raw(request)?;
        granted(outcome.success, outcome.error_message, ())
    }

    /// Makes an account. The nickname is the name in capitals.
    ///
    /// # Errors
    /// See [`CallError`], here and below.
    pub fn signup(&mut self, name: &str) -> Call<()> {
        let (nickname, password) = (name.to_uppercase(), password(name));
        self.outcome(&Request::Signup {
            username: name.into(),
            nickname: nickname.as_str().into(),
            password: password.as_str().into(),
        })
    }

    /// Logs in.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn login(&mut self, name: &str) -> Call<LoginReply<String>> {
        let password = password(name);
        let request = Request::Login { username: name.into(), password: password.as_str().into() };
        let reply: LoginReply<String> = self.call_raw(&request)?;
        granted(reply.success, reply.error_message.clone(), reply)
    }

    /// Opens a conversation and returns its id.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn start_chat(&mut self, me: &str, other: &str) -> Call<String> {
        let reply: StartChatReply<String> =
            self.call_raw(&Request::StartChat { current_user: me.into(), other_user: other.into() })?;
        granted(reply.success, reply.error_message, reply.chat_id)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn send(&mut self, chat: &str, me: &str, text: &str) -> Call<()> {
        self.outcome(&Request::SendChatMessage { chat_id: chat.into(), sender: me.into(), content: text.into() })
    }

    /// Reads a conversation, and marks it as read.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn messages(&mut self, chat: &str, me: &str) -> Call<Vec<Message<String>>> {
        let reply: MessagesReply<Vec<Message<String>>, String> =
            self.call_raw(&Request::GetMessages { chat_id: chat.into(), current_user: me.into() })?;
        granted(reply.success == Some(true), reply.error_message, reply.messages)
    }

    /// Lists conversations.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn chats(&mut self, me: &str) -> Call<Vec<Chat<String>>> {
        let reply: ChatsReply<Vec<Chat<String>>, String> = self.call_raw(&Request::GetChats { user_id: me.into() })?;
        granted(reply.success, reply.error_message, reply.chats)
    }

    /// Finds users whose name contains `pattern`; pages count from 1.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn search(&mut self, me: &str, pattern: &str, page: i64, per_page: i64) -> Call<Vec<String>> {
        let reply: UsersReply<Vec<String>, String> = self.call_raw(&Request::GetUsersToDisplay {
            current_user: me.into(),
            search_pattern: pattern.into(),
            page: wire::legacy::field::Field::Missing,
            current_page: page.into(),
            users_per_page: per_page.into(),
        })?;
        granted(reply.success, reply.error_message, reply.users)
    }

    /// Deletes messages by their places in the list last received.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn delete_messages(&mut self, chat: &str, me: &str, places: &[i64]) -> Call<()> {
        self.outcome(&Request::DeleteMessages {
            chat_id: chat.into(),
            message_indices: places.iter().copied().collect::<wire::legacy::request::Indices>().into(),
            current_user: me.into(),
        })
    }

    /// Sets the view limit, as the original client does it: as text.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn set_limit(&mut self, me: &str, limit: &str) -> Call<()> {
        self.outcome(&Request::SaveSettings { username: me.into(), message_limit: limit.into() })
    }

    /// The view limit, as text.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn limit(&mut self, me: &str) -> Call<String> {
        let reply: LimitReply<String, String> = self.call_raw(&Request::GetUserMessageLimit { username: me.into() })?;
        granted(reply.error_message.is_empty(), reply.error_message, reply.message_limit)
    }

    /// Deletes the account.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn delete_user(&mut self, me: &str) -> Call<()> {
        self.outcome(&Request::DeleteUser { username: me.into() })
    }
}

fn granted<T>(success: bool, error_message: String, value: T) -> Call<T> {
    if success { Ok(value) } else { Err(CallError::Refused(error_message)) }
}
