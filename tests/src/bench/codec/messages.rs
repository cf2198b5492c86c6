//! The five messages of the original's size study, as each kind of codec wants them.

/// As protocol buffers, from the schemas; owned, because prost knows no other.
pub(super) mod proto {
    pub(crate) use ::proto::chat::{
        Chat, ChatsResponse as Chats, Message, MessagesResponse as Messages, UsersDisplayResponse as Users,
    };
}

/// Declares messages for serde that borrow their texts, in two modules: `sparse` leaves out what has its default, as
/// protocol buffers do; `full` writes every field, for codecs that have to.
macro_rules! serde_messages {
    ($($name:ident { $($field:ident: $type:ty,)+ })+) => {
        pub(super) mod sparse {
            use super::is_default;
            use serde::{Deserialize, Serialize};

            $(
                #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
                #[serde(default, bound(deserialize = "'de: 'a"))]
                pub(crate) struct $name<'a> {
                    $(#[serde(skip_serializing_if = "is_default")] pub(crate) $field: $type,)+
                }
            )+
        }

        pub(super) mod full {
            use serde::{Deserialize, Serialize};

            $(
                #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
                #[serde(bound(deserialize = "'de: 'a"))]
                pub(crate) struct $name<'a> {
                    $(pub(crate) $field: $type,)+
                }
            )+
        }
    };
}

serde_messages! {
    Messages {
        messages: Vec<Message<'a>>,
        error_message: &'a str,
    }
    Message {
        id: i32,
        sender: &'a str,
        content: &'a str,
        timestamp: &'a str,
        read: i32,
    }
    Chats {
        chats: Vec<Chat<'a>>,
        error_message: &'a str,
    }
    Chat {
        chat_id: &'a str,
        other_user: &'a str,
        unread_count: i32,
    }
    Users {
        usernames: Vec<&'a str>,
        total_pages: i32,
        error_message: &'a str,
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Gives the serde messages of a module a constructor from the owned ones.
macro_rules! borrow_from_proto {
    ($($module:ident)+) => {
        $(
            impl<'a> $module::Messages<'a> {
                pub(super) fn of(owned: &'a proto::Messages) -> Self {
                    let message = |message: &'a proto::Message| $module::Message {
                        id: message.id,
                        sender: &message.sender,
                        content: &message.content,
                        timestamp: &message.timestamp,
                        read: message.read,
                    };
                    let messages = owned.messages.iter().map(message).collect();
                    Self { messages, error_message: &owned.error_message }
                }
            }

            impl<'a> $module::Chats<'a> {
                pub(super) fn of(owned: &'a proto::Chats) -> Self {
                    let chat = |chat: &'a proto::Chat| $module::Chat {
                        chat_id: &chat.chat_id,
                        other_user: &chat.other_user,
                        unread_count: chat.unread_count,
                    };
                    Self { chats: owned.chats.iter().map(chat).collect(), error_message: &owned.error_message }
                }
            }

            impl<'a> $module::Users<'a> {
                pub(super) fn of(owned: &'a proto::Users) -> Self {
                    Self {
                        usernames: owned.usernames.iter().map(String::as_str).collect(),
                        total_pages: owned.total_pages,
                        error_message: &owned.error_message,
                    }
                }
            }
        )+
    };
}

borrow_from_proto! { sparse full }

/// When the first message of the study was written, seconds since 1970.
const BEGAN: i32 = 1_644_582_794;

pub(super) fn small() -> proto::Messages {
    let message = |id: i32, content: &str, read| proto::Message {
        id,
        sender: format!("user{id}"),
        content: content.to_owned(),
        timestamp: (BEGAN + id - 1).to_string(),
        read,
    };
    messages([message(1, "Hello!", 1), message(2, "Hi there!", 0)])
}

pub(super) fn medium() -> proto::Messages {
    messages((1..=10).map(|i| numbered(i, format!("This is message {i} with some content."))))
}

pub(super) fn large() -> proto::Messages {
    let lorem = |i: i32| "Lorem ipsum dolor sit amet. ".repeat(usize::try_from(i % 5 + 1).expect("from 1 to 5"));
    messages((1..=50).map(|i| numbered(i, format!("Message {i}: {}", lorem(i)))))
}

pub(super) fn chats() -> proto::Chats {
    let chat =
        |i: i32| proto::Chat { chat_id: format!("chat_{i}"), other_user: format!("user_{i}"), unread_count: i % 5 };
    proto::Chats { chats: (1..=30).map(chat).collect(), error_message: String::new() }
}

pub(super) fn users() -> proto::Users {
    let usernames = (1..=100).map(|i| format!("user_{i}")).collect();
    proto::Users { usernames, total_pages: 10, error_message: String::new() }
}

fn messages(messages: impl IntoIterator<Item = proto::Message>) -> proto::Messages {
    proto::Messages { messages: messages.into_iter().collect(), error_message: String::new() }
}

fn numbered(i: i32, content: String) -> proto::Message {
    let sender = format!("user{}", i % 3 + 1);
    proto::Message { id: i, sender, content, timestamp: (BEGAN + i).to_string(), read: i % 2 }
}
