//! How each dialect says "store this" and hears "it is stored", for the closed loop.

use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, anyhow, bail};
use wire::chat::request::Send;
use wire::chat::{FromClient, FromNode, Reply};
use wire::codec::Codec;
use wire::frame::{self, Splitter};
use wire::legacy;
use wire::legacy::reply::Outcome;

use super::{CONVERSATIONS, Protocol, TEXT_BYTES, receiver, sender};
use crate::chat_client;
use crate::legacy_client::{CallError, Client};

/// Sends messages to the conversations in turn.
pub(super) struct Speaker {
    turn: usize,
    dialect: Dialect,
}

enum Dialect {
    /// Everything that is said and heard is the same each time.
    Legacy { requests: Vec<Vec<u8>>, stored: Vec<u8> },
    /// Each request has its numbers.
    Chat { codec: Codec, conversations: Vec<u64>, text: String, next_id: u64, next_seq: u64 },
}

/// Makes the accounts that are missing.
pub(super) fn accounts(target: SocketAddr, protocol: Protocol, connections: usize) -> Result<()> {
    let names = (0..CONVERSATIONS).map(receiver).chain((0..connections).map(sender));
    if protocol.is_legacy() {
        let mut founder = Client::connect(target, protocol.codec()).map_err(failed("connecting"))?;
        for name in names {
            match founder.signup(&name) {
                Err(CallError::Refused(text)) if text.contains("taken") => {}
                other => other.map_err(failed("making an account"))?,
            }
        }
    } else {
        for name in names {
            chat_client::Client::logged_in(target, protocol.codec(), &name)?;
        }
    }
    Ok(())
}

/// Turns a client's error into one that says what was being done.
fn failed(doing: &'static str) -> impl Fn(CallError) -> anyhow::Error {
    move |error| anyhow!("{doing}: {error}")
}

impl Speaker {
    /// Logs in as the user of connection `place` and opens the conversations.
    pub(super) fn open(target: SocketAddr, protocol: Protocol, place: usize) -> Result<(Self, TcpStream, Splitter)> {
        let (me, text, codec) = (sender(place), "x".repeat(TEXT_BYTES), protocol.codec());
        // Several connections do not all begin with the same conversation.
        let receivers = (0..CONVERSATIONS).map(|i| receiver((i + place) % CONVERSATIONS));
        if !protocol.is_legacy() {
            let mut client = chat_client::Client::logged_in(target, codec, &me)?;
            let conversations = receivers.map(|name| client.open(&name)).collect::<Result<_>>()?;
            let (stream, next_id, next_seq) = client.into_stream();
            let dialect = Dialect::Chat { codec, conversations, text, next_id, next_seq };
            return Ok((Self { turn: 0, dialect }, stream, Splitter::of_node(codec)));
        }
        let mut client = Client::logged_in(target, codec, &me).map_err(failed("logging in"))?;
        let mut requests = Vec::with_capacity(CONVERSATIONS);
        for name in receivers {
            let chat = client.start_chat(&me, &name).map_err(failed("opening a conversation"))?;
            let request = legacy::Request::SendChatMessage {
                chat_id: chat.as_str().into(),
                sender: me.as_str().into(),
                content: text.as_str().into(),
            };
            requests.push(client.encode(&request));
        }
        let stored = client.encode(&Outcome { success: true, error_message: "" });
        let dialect = Dialect::Legacy { requests, stored };
        Ok((Self { turn: 0, dialect }, client.into_stream(), Splitter::new(codec)))
    }

    /// Appends the next message.
    pub(super) fn say(&mut self, output: &mut Vec<u8>) -> Result<()> {
        let turn = self.turn;
        self.turn = (turn + 1) % CONVERSATIONS;
        match &mut self.dialect {
            Dialect::Legacy { requests, .. } => output.extend_from_slice(&requests[turn]),
            Dialect::Chat { codec, conversations, text, next_id, next_seq } => {
                let send = Send { conversation: conversations[turn], text, seq: *next_seq, ..Send::default() };
                let request = FromClient { id: *next_id, request: Some(wire::chat::Request::Send(send)) };
                codec.encode_frame_to_vec(&request, output)?;
                *next_id += 1;
                *next_seq += 1;
            }
        }
        Ok(())
    }

    /// Checks that a frame is an acknowledgement. They come in the order of the messages.
    pub(super) fn hear(&self, reply: &mut [u8]) -> Result<()> {
        match &self.dialect {
            Dialect::Legacy { stored, .. } if reply == stored.as_slice() => Ok(()),
            Dialect::Legacy { .. } => bail!("instead of an acknowledgement: {}", String::from_utf8_lossy(reply)),
            Dialect::Chat { codec, .. } => match codec.decode(frame::body(*codec, reply))? {
                FromNode::Reply { reply: Some(Reply::Sent(_)), .. } => Ok(()),
                FromNode::Reply { reply: Some(Reply::Error(error)), .. } => {
                    Err(anyhow!("{:?}: {}", error.code, error.text)).context("instead of an acknowledgement")
                }
                other => bail!("instead of an acknowledgement: {other:?}"),
            },
        }
    }
}
