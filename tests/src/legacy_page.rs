//! The chat page of the original's client, as far as it is known, and its connection: one `recv` of 2048 bytes is one
//! reply, whatever else may have come.
//!
//! The page asks for the messages of its chat once a second, shows `list[count:]`, and remembers the count. Deleting sends
//! the places of rows. What is not known is left to the tests: whether the count is also lowered ([`Counting`]), and what
//! the page does once something was deleted ([`AfterDeletion`]).

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use wire::codec::Codec;

use crate::legacy_client::password;
use crate::read_some;

/// What the original's client reads at once.
const RECEIVE_BYTES: usize = 2048;

/// Longer than the original's ten seconds: a busy machine is no fault here.
const TIMEOUT: Duration = Duration::from_secs(30);

/// When a page takes over the length of a list as its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Each time it asks.
    Always,
    /// Only when there is something to show.
    OnGrowth,
}

/// What a page does when its deletion has succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterDeletion {
    /// Clears itself and asks for everything.
    Reload,
    /// Takes the row away and lowers the count.
    RemoveRow,
}

/// One connection of the original's client, logged in.
pub struct Original {
    stream: TcpStream,
    codec: Codec,
    /// Who is logged in.
    pub name: String,
    /// The longest reply so far, in bytes.
    pub longest_reply: usize,
}

impl Original {
    /// Connects and logs in to an account that exists.
    ///
    /// # Errors
    /// Of the connection, or a refusal.
    pub fn login(address: SocketAddr, codec: Codec, name: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut client = Self { stream, codec, name: name.into(), longest_reply: 0 };
        client.call(&json!({"client_id": name, "message": "connection_request"}))?;
        let reply = client.call(&json!({"action": "login", "username": name, "password": password(name)}))?;
        if truthy(&reply["success"]) { Ok(client) } else { Err(io::Error::other(reply.to_string())) }
    }

    /// One request and what one `recv` brings. A reply that is not whole ruins the session.
    ///
    /// # Errors
    /// Of the connection, or what was received is not one whole message.
    pub fn call(&mut self, request: &Value) -> io::Result<Value> {
        let mut bytes = Vec::new();
        self.codec.encode_to_vec(request, &mut bytes).map_err(io::Error::other)?;
        self.stream.write_all(&bytes)?;
        let mut buffer = [0; RECEIVE_BYTES];
        let len = read_some(&mut self.stream, &mut buffer)?;
        self.longest_reply = self.longest_reply.max(len);
        self.codec.decode(&mut buffer[..len]).map_err(io::Error::other)
    }

    /// Sends a message; whether it was taken.
    ///
    /// # Errors
    /// See [`Original::call`].
    pub fn send(&mut self, chat: &str, text: &str) -> io::Result<bool> {
        let request = json!({"action": "send_chat_message", "chat_id": chat, "sender": self.name, "content": text});
        self.call(&request).map(|reply| truthy(&reply["success"]))
    }

    /// Asks for a chat with somebody, as opening a page does; returns its id.
    ///
    /// # Errors
    /// See [`Original::call`].
    pub fn start_chat(&mut self, other: &str) -> io::Result<String> {
        let reply = self.call(&json!({"action": "start_chat", "current_user": self.name, "other_user": other}))?;
        reply["chat_id"].as_str().map(ToOwned::to_owned).ok_or_else(|| io::Error::other(reply.to_string()))
    }
}

/// SAMIRA/1 sends booleans as numbers.
fn truthy(value: &Value) -> bool {
    value.as_bool().unwrap_or(value.as_i64().is_some_and(|number| number != 0))
}

/// One row on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Who is said to have sent it.
    pub sender: String,
    /// Its text.
    pub content: String,
}

/// An open page.
#[derive(Debug)]
pub struct Page {
    /// Which chat it shows.
    pub chat: String,
    /// What is on the screen.
    pub rows: Vec<Row>,
    counting: Counting,
    count: usize,
}

impl Page {
    /// Opens a page and asks for the first time.
    ///
    /// # Errors
    /// See [`Original::call`].
    pub fn open(client: &mut Original, other: &str, counting: Counting) -> io::Result<Self> {
        let chat = client.start_chat(other)?;
        let mut page = Self { chat, rows: Vec::new(), counting, count: 0 };
        page.poll(client)?;
        Ok(page)
    }

    /// What the timer does every second. Returns how many rows it has added.
    ///
    /// # Errors
    /// See [`Original::call`].
    pub fn poll(&mut self, client: &mut Original) -> io::Result<usize> {
        let request = json!({"action": "get_messages", "chat_id": self.chat, "current_user": client.name});
        let reply = client.call(&request)?;
        let list = reply["messages"].as_array().ok_or_else(|| io::Error::other(reply.to_string()))?;
        let new = list.get(self.count..).unwrap_or_default();
        for message in new {
            let (Some(sender), Some(content)) = (message["sender"].as_str(), message["content"].as_str()) else {
                return Err(io::Error::other(format!("the page cannot show {message}")));
            };
            self.rows.push(Row { sender: sender.into(), content: content.into() });
        }
        if self.counting == Counting::Always || !new.is_empty() {
            self.count = list.len();
        }
        Ok(new.len())
    }

    /// Deletes the message in a row; whether it was granted.
    ///
    /// # Errors
    /// See [`Original::call`].
    pub fn delete(&mut self, client: &mut Original, row: usize, after: AfterDeletion) -> io::Result<bool> {
        let request = json!({"action": "delete_messages", "chat_id": self.chat, "message_indices": [row],
                             "current_user": client.name});
        let granted = truthy(&client.call(&request)?["success"]);
        match after {
            _ if !granted => {}
            AfterDeletion::Reload => {
                self.rows.clear();
                self.count = 0;
                self.poll(client)?;
            }
            AfterDeletion::RemoveRow => {
                self.rows.remove(row);
                self.count -= 1;
            }
        }
        Ok(granted)
    }
}
