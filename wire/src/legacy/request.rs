//! The fourteen actions.

use core::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::field::{ChatKey, Field, Scalar, Text};
use crate::limits::{DELETE_CHATS_MAX, DELETE_INDICES_MAX};

/// Positions in the list of messages last seen. Negative ones count from the end.
pub type Indices = heapless::Vec<i64, DELETE_INDICES_MAX>;

/// Text ids of conversations.
pub type ChatIds<'a> = heapless::Vec<&'a str, DELETE_CHATS_MAX>;

/// Generates the enum and both directions from one table: action, variant, keys in the order clients send them.
macro_rules! requests {
    ($($(#[$doc:meta])* $action:literal $variant:ident { $($(#[$key_doc:meta])* $key:ident: $kind:ty,)* })*) => {
        /// What a client asks for. Every key may be missing or wrong; see [`Field`].
        ///
        /// One variant is much larger than the rest: a list of indices is the price of decoding without an allocator.
        ///
        /// Its `Debug` form shows the action only: requests carry passwords and message texts.
        #[derive(Clone, PartialEq)]
        pub enum Request<'a> {
            $($(#[$doc])* $variant { $($(#[$key_doc])* $key: Field<$kind>,)* },)*
            /// No action, or one nobody knows.
            Unknown,
        }

        impl Request<'_> {
            /// Every action.
            pub const ACTIONS: &'static [&'static str] = &[$($action),*];

            /// The action, empty for [`Request::Unknown`].
            #[must_use]
            pub const fn action(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $action,)*
                    Self::Unknown => "",
                }
            }

            /// The first key that holds a value of a type it cannot take, if any. The original closed the connection
            /// on most of these.
            #[must_use]
            pub const fn wrong_key(&self) -> Option<&'static str> {
                match self {
                    $(Self::$variant { $($key),* } => {
                        $(if $key.is_wrong() {
                            return Some(stringify!($key));
                        })*
                        None
                    })*
                    Self::Unknown => None,
                }
            }
        }

        impl Serialize for Request<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant { $($key),* } => {
                        let count = 1 $(+ usize::from(!$key.is_missing()))*;
                        let mut keys = serializer.serialize_struct("Request", count)?;
                        keys.serialize_field("action", $action)?;
                        $(if !$key.is_missing() {
                            keys.serialize_field(stringify!($key), $key)?;
                        })*
                        keys.end()
                    })*
                    Self::Unknown => serializer.serialize_struct("Request", 0)?.end(),
                }
            }
        }

        impl<'a> Values<'a> {
            /// Picks the keys that belong to `action`.
            fn into_request(self) -> Request<'a> {
                match self.action.given() {
                    $(Some(&Scalar::Text($action)) => Request::$variant { $($key: self.$key),* },)*
                    _ => Request::Unknown,
                }
            }
        }
    };
}

requests! {
    /// Make an account.
    "signup" Signup {
        /// Name.
        username: Text<'a>,
        /// Shown to others.
        nickname: Text<'a>,
        /// Hexadecimal SHA-256 of the password.
        password: Text<'a>,
    }
    /// Prove to be somebody.
    "login" Login {
        /// Name.
        username: Text<'a>,
        /// Hexadecimal SHA-256 of the password.
        password: Text<'a>,
    }
    /// Delete an account.
    "delete_user" DeleteUser {
        /// Whose.
        username: Text<'a>,
    }
    /// List conversations.
    "get_chats" GetChats {
        /// Whose: a user *name*.
        user_id: Text<'a>,
    }
    /// List all users.
    "get_all_users" GetAllUsers {
        /// Whom to leave out.
        exclude_username: Text<'a>,
    }
    /// Set the view limit.
    "update_view_limit" UpdateViewLimit {
        /// Whose.
        username: Text<'a>,
        /// A number, or text of digits.
        new_limit: Scalar<'a>,
    }
    /// Set the view limit, as the original client does it.
    "save_settings" SaveSettings {
        /// Whose.
        username: Text<'a>,
        /// Text of digits, or a number.
        message_limit: Scalar<'a>,
    }
    /// Ask for the view limit.
    "get_user_message_limit" GetUserMessageLimit {
        /// Whose.
        username: Text<'a>,
    }
    /// Open a conversation with somebody.
    "start_chat" StartChat {
        /// Who asks.
        current_user: Text<'a>,
        /// With whom.
        other_user: Text<'a>,
    }
    /// Search users, page by page.
    "get_users_to_display" GetUsersToDisplay {
        /// Who asks, left out of the result.
        current_user: Text<'a>,
        /// Part of a name.
        search_pattern: Text<'a>,
        /// Page from 0: what the original client sends.
        page: i64,
        /// Page from 1: what the original server reads.
        current_page: i64,
        /// Length of a page.
        users_per_page: i64,
    }
    /// Read a conversation.
    "get_messages" GetMessages {
        /// Which.
        chat_id: ChatKey<'a>,
        /// Who asks.
        current_user: Text<'a>,
    }
    /// Send a message.
    "send_chat_message" SendChatMessage {
        /// Where to.
        chat_id: ChatKey<'a>,
        /// Who sends.
        sender: Text<'a>,
        /// The message's text.
        content: Text<'a>,
    }
    /// Delete messages.
    "delete_messages" DeleteMessages {
        /// In which conversation.
        chat_id: ChatKey<'a>,
        /// Which.
        message_indices: Indices,
        /// Who asks.
        current_user: Text<'a>,
    }
    /// Delete conversations. The original never implemented it.
    "delete_chats" DeleteChats {
        /// Which.
        chat_ids: ChatIds<'a>,
    }
}

/// Declares what is kept of a message until its action is known, which may be its last key.
macro_rules! values {
    ($($key:ident: $kind:ty,)*) => {
        #[derive(Default)]
        struct Values<'a> {
            $($key: Field<$kind>,)*
        }

        impl<'de> Values<'de> {
            /// Takes the value of `key`. A repeated key replaces what came before, an unknown one is skipped.
            fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
                match key {
                    $(stringify!($key) => self.$key = map.next_value()?,)*
                    _ => drop(map.next_value::<IgnoredAny>()?),
                }
                Ok(())
            }
        }
    };
}

values! {
    action: Scalar<'a>,
    chat_id: ChatKey<'a>,
    chat_ids: ChatIds<'a>,
    content: Text<'a>,
    current_page: i64,
    current_user: Text<'a>,
    exclude_username: Text<'a>,
    message_indices: Indices,
    message_limit: Scalar<'a>,
    new_limit: Scalar<'a>,
    nickname: Text<'a>,
    other_user: Text<'a>,
    page: i64,
    password: Text<'a>,
    search_pattern: Text<'a>,
    sender: Text<'a>,
    user_id: Text<'a>,
    username: Text<'a>,
    users_per_page: i64,
}

impl<'de> Deserialize<'de> for Request<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RequestVisitor;

        impl<'de> Visitor<'de> for RequestVisitor {
            type Value = Request<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a dictionary")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Request<'de>, A::Error> {
                let mut values = Values::default();
                while let Some(key) = map.next_key::<&str>()? {
                    values.take(key, &mut map)?;
                }
                Ok(values.into_request())
            }
        }

        deserializer.deserialize_map(RequestVisitor)
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Request({:?})", self.action())
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
