//! The envelopes: one pair that says what the message is, and beside it the id that a request and its reply share.
//!
//! Pairs come in any order, and those that nobody here knows are skipped. A frame with two ids or two bodies is malformed:
//! of two requests one would be lost without an answer.

use core::fmt;
use core::marker::PhantomData;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Event, Reply, Request};

/// A set of messages of which a frame holds one, under its name.
pub(crate) trait Body<'a>: Sized {
    /// Writes the pair.
    fn serialize_pair<M: SerializeMap>(&self, pairs: &mut M) -> Result<(), M::Error>;

    /// Reads what belongs to `name`; `None` without touching `pairs` if there is no such message.
    fn next_value<M: MapAccess<'a>>(name: &str, pairs: &mut M) -> Result<Option<Self>, M::Error>;
}

/// Declares a set of messages and how each stands in its envelope.
macro_rules! bodies {
    ($(#[$doc:meta])+ pub enum $set:ident<'a> {
        $($(#[$variant_doc:meta])+ $name:ident: $variant:ident($type:ty),)+
    }) => {
        $(#[$doc])+
        #[derive(Debug, Clone, PartialEq)]
        pub enum $set<'a> {
            $($(#[$variant_doc])+ $variant($type),)+
        }

        impl $set<'_> {
            /// The names of all messages of this kind, as they stand in the envelope.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)+];

            /// The name of this message.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($name),)+
                }
            }
        }

        impl<'a> $crate::chat::frame::Body<'a> for $set<'a> {
            fn serialize_pair<M: serde::ser::SerializeMap>(&self, pairs: &mut M) -> Result<(), M::Error> {
                match self {
                    $(Self::$variant(content) => pairs.serialize_entry(stringify!($name), content),)+
                }
            }

            fn next_value<M: serde::de::MapAccess<'a>>(name: &str, pairs: &mut M) -> Result<Option<Self>, M::Error> {
                match name {
                    $(stringify!($name) => pairs.next_value().map(|content| Some(Self::$variant(content))),)+
                    _ => Ok(None),
                }
            }
        }
    };
}
pub(crate) use bodies;

/// A frame of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct FromClient<'a> {
    /// The client's name for this request: any number that none of its open requests has.
    pub id: u64,
    /// The request; `None` if it is one this build does not know.
    pub request: Option<Request<'a>>,
}

/// A frame of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum FromNode<'a> {
    /// The answer to a request.
    Reply {
        /// Its id.
        re: u64,
        /// The answer; `None` if it is one this build does not know.
        reply: Option<Reply<'a>>,
    },
    /// Something that nobody asked for; `None` if this build does not know it.
    Event(Option<Event<'a>>),
}

impl Serialize for FromClient<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize("id", Some(self.id), self.request.as_ref(), serializer)
    }
}

impl Serialize for FromNode<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Reply { re, reply } => serialize("re", Some(*re), reply.as_ref(), serializer),
            Self::Event(event) => serialize("re", None, event.as_ref(), serializer),
        }
    }
}

fn serialize<'a, B: Body<'a>, S: Serializer>(
    key: &'static str,
    id: Option<u64>,
    body: Option<&B>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut pairs = serializer.serialize_map(Some(usize::from(id.is_some()) + usize::from(body.is_some())))?;
    if let Some(id) = id {
        pairs.serialize_entry(key, &id)?;
    }
    if let Some(body) = body {
        body.serialize_pair(&mut pairs)?;
    }
    pairs.end()
}

impl<'de> Deserialize<'de> for FromClient<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (id, request) = deserializer.deserialize_map(Envelope { key: "id", body: PhantomData })?;
        Ok(Self { id: id.unwrap_or_default(), request })
    }
}

impl<'de> Deserialize<'de> for FromNode<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (re, body) = deserializer.deserialize_map(Envelope { key: "re", body: PhantomData })?;
        Ok(match (re, body) {
            (Some(re), Some(Said::Reply(reply))) => Self::Reply { re, reply: Some(reply) },
            (Some(re), _) => Self::Reply { re, reply: None },
            (None, Some(Said::Event(event))) => Self::Event(Some(event)),
            (None, _) => Self::Event(None),
        })
    }
}

/// Either kind of body; their names differ, which a test of this module checks.
enum Said<'a> {
    Reply(Reply<'a>),
    Event(Event<'a>),
}

impl<'a> Body<'a> for Said<'a> {
    fn serialize_pair<M: SerializeMap>(&self, pairs: &mut M) -> Result<(), M::Error> {
        match self {
            Self::Reply(reply) => reply.serialize_pair(pairs),
            Self::Event(event) => event.serialize_pair(pairs),
        }
    }

    fn next_value<M: MapAccess<'a>>(name: &str, pairs: &mut M) -> Result<Option<Self>, M::Error> {
        if let Some(reply) = Reply::next_value(name, pairs)? {
            return Ok(Some(Self::Reply(reply)));
        }
        Ok(Event::next_value(name, pairs)?.map(Self::Event))
    }
}

/// Reads an id under `key` and a body under any other.
struct Envelope<B> {
    key: &'static str,
    body: PhantomData<B>,
}

impl<'de, B: Body<'de>> Visitor<'de> for Envelope<B> {
    type Value = (Option<u64>, Option<B>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dictionary")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut pairs: M) -> Result<Self::Value, M::Error> {
        let (mut id, mut body) = (None, None);
        while let Some(name) = pairs.next_key::<&str>()? {
            if name == self.key {
                refuse_second(&id, "id")?;
                id = Some(pairs.next_value()?);
            } else if let Some(read) = B::next_value(name, &mut pairs)? {
                refuse_second(&body, "message in a frame")?;
                body = Some(read);
            } else {
                pairs.next_value::<IgnoredAny>()?;
            }
        }
        Ok((id, body))
    }
}

fn refuse_second<T, E: serde::de::Error>(first: &Option<T>, what: &'static str) -> Result<(), E> {
    match first {
        Some(_) => Err(E::duplicate_field(what)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;
    use crate::error::DecodeErrorKind;

    #[test]
    fn a_frame_has_one_id_and_one_message() {
        let two: [(&[u8], &str); 3] = [
            (br#"{"id":1,"ping":{},"id":2}"#, "id"),
            (br#"{"id":1,"ping":{},"account":{}}"#, "message in a frame"),
            (br#"{"id":1,"account":{},"later":{},"account":{}}"#, "message in a frame"),
        ];
        for (bytes, what) in two {
            let mut buffer = [0; 64];
            let frame = &mut buffer[..bytes.len()];
            frame.copy_from_slice(bytes);
            let error = Codec::Json2.decode::<FromClient<'_>>(frame).unwrap_err();
            assert_eq!(error.kind, DecodeErrorKind::Repeated(what));
        }
        let mut list = *br#"{"id":4,"ping":[]}"#;
        assert!(Codec::Json2.decode::<FromClient<'_>>(&mut list).is_err(), "a list is no dictionary");
        let mut frame = *br#"{"done":{},"re":1,"sent":{}}"#;
        let error = Codec::Json2.decode::<FromNode<'_>>(&mut frame).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::Repeated("message in a frame"));
        // SAMIRA/2: `id` is key 00, `ping` 2c, `account` 38; 90 is an empty dictionary.
        let mut frame = [0x00, 0x01, 0x2c, 0x90, 0x38, 0x90];
        let error = Codec::Samira2.decode::<FromClient<'_>>(&mut frame).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::Repeated("message in a frame"));
        assert!(Codec::Samira2.decode::<FromClient<'_>>(&mut frame[..4]).is_ok());
    }

    #[test]
    fn no_reply_is_called_like_an_event() {
        for name in Reply::NAMES {
            assert!(!Event::NAMES.contains(name) && *name != "re", "{name}");
        }
    }
}
