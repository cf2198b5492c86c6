//! What a client asks for. Each is a dictionary under its own name beside the request's `id`:
//! `{"id": 7, "send": {"conversation": 3, "text": "hello", "seq": 12}}`.

use serde::{Deserialize, Serialize};

use super::item::{Mark, Token};
use super::{List, is_default};

/// Declares a request, reply or event: a struct whose keys may all be missing.
macro_rules! messages {
    ($($(#[$doc:meta])+ $name:ident $(<$life:lifetime>)? { $($(#[$field_doc:meta])+ $field:ident: $type:ty,)* })+) => {
        $(
            $(#[$doc])+
            #[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
            #[serde(default)]
            // Lists borrow from the frame too, which the derive sees in plain references only.
            $(#[serde(bound(deserialize = "'de: 'a"))] #[cfg_attr(any(), borrows($life))])?
            pub struct $name $(<$life>)? {
                $(
                    $(#[$field_doc])+
                    #[serde(skip_serializing_if = "is_default")]
                    pub $field: $type,
                )*
            }

            /// Without what belongs in no log: passwords, and what people write.
            impl $(<$life>)? core::fmt::Debug for $name $(<$life>)? {
                fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    let mut shown = f.debug_struct(stringify!($name));
                    $(
                        if $crate::chat::request::is_private(stringify!($name), stringify!($field)) {
                            shown.field(stringify!($field), &format_args!(".."));
                        } else {
                            shown.field(stringify!($field), &self.$field);
                        }
                    )*
                    shown.finish()
                }
            }
        )+
    };
}
pub(crate) use messages;

/// Whether a key of a message is left out when the message is shown for debugging.
pub(crate) fn is_private(message: &str, key: &str) -> bool {
    matches!((message, key), (_, "password" | "new_password") | ("Send", "text"))
}

super::frame::bodies! {
    /// What a client asks for.
    pub enum Request<'a> {
        /// Who speaks; the first request of a connection.
        hello: Hello(Hello<'a>),
        /// Makes an account and logs in.
        signup: Signup(Signup<'a>),
        /// Logs in.
        login: Login(Login<'a>),
        /// Logs in as a device that was logged in before.
        resume: Resume(Resume),
        /// Logs this device out for good.
        logout: Logout(Nothing),
        /// Says that the connection is alive; both sides' silence is bounded.
        ping: Ping(Nothing),
        /// What happened behind a cursor; once it has all been told, what happens is pushed.
        sync: Sync(Sync),
        /// The list of conversations, newest message first.
        conversations: Conversations(Page),
        /// Finds or makes the direct conversation with somebody. A write without a number: doing it twice does nothing more.
        open: Open(Open<'a>),
        /// The next unread messages of a conversation that is behind.
        next: Next(Next),
        /// Messages by number.
        history: History(History),
        /// Sends a message.
        send: Send(Send<'a>),
        /// Deletes messages of one's own, for everybody.
        delete: Delete(Delete),
        /// Empties one's own view of a conversation.
        clear: Clear(Clear),
        /// Raises marks. A write without a number: marks never fall.
        mark: Mark(Marks),
        /// Typing, or not any more. Never stored.
        typing: Typing(Typing),
        /// Whose presence to tell from now on, instead of those named before. Never stored.
        watch: Watch(Watch),
        /// Searches for people.
        users: Users(Users<'a>),
        /// One's own account.
        account: Account(Nothing),
        /// Changes the nickname.
        nickname: Nickname(Nickname<'a>),
        /// Changes how many unread messages one request hands over.
        view_limit: ViewLimit(ViewLimit),
        /// Changes the password. All other devices are logged out.
        password: Password(Password<'a>),
        /// The devices that are logged in.
        devices: Devices(Nothing),
        /// Logs a device out.
        revoke: Revoke(Revoke),
        /// Deletes the account, or tells what that would lose.
        delete_account: DeleteAccount(DeleteAccount<'a>),
    }
}

messages! {
    /// A request without keys.
    Nothing {}

    /// See [`Request::Hello`].
    Hello<'a> {
        /// The highest version of this dialect that the client speaks; what it has in common with the node's is spoken.
        samira: u64,
        /// Name and version of the program, for the node's log.
        client: &'a str,
    }

    /// See [`Request::Signup`].
    Signup<'a> {
        /// Unique, however it is typed.
        username: &'a str,
        /// Shown to others; empty: the user name.
        nickname: &'a str,
        /// Lowercase hexadecimal SHA-256 of the password.
        password: &'a str,
        /// What this device calls itself.
        device_name: &'a str,
    }

    /// See [`Request::Login`].
    Login<'a> {
        /// Who.
        username: &'a str,
        /// Lowercase hexadecimal SHA-256 of the password.
        password: &'a str,
        /// The device to go on as, so that its writes keep their numbers; 0: a new one.
        device: u64,
        /// What this device calls itself.
        device_name: &'a str,
    }

    /// See [`Request::Resume`].
    Resume {
        /// Which device.
        device: u64,
        /// Its newest token. From the moment on when the next one is used, this one is old.
        token: Option<Token>,
        /// A random number that the client draws when it starts and keeps to itself; 0: none. A token that is old shows that
        /// two hold it, but not in the run of the program that was given what came after it: then the request came late.
        life: u64,
    }

    /// See [`Request::Sync`].
    Sync {
        /// What is known already; 0: nothing.
        cursor: u64,
        /// Changes at most; 0: as many as the node likes.
        limit: u64,
        /// Conversations that the device knows to be behind: their messages are not handed over, their summaries are told anew.
        behind: List<u64>,
    }

    /// See [`Request::Conversations`].
    Page {
        /// Behind this many.
        skip: u64,
        /// At most; 0: as many as the node likes.
        limit: u64,
    }

    /// See [`Request::Open`].
    Open<'a> {
        /// User name of the other one; one's own for a notebook.
        username: &'a str,
    }

    /// See [`Request::Next`].
    Next {
        /// Where.
        conversation: u64,
        /// Behind the last message that was handed over.
        after: u64,
    }

    /// See [`Request::History`]. With `after`, oldest first; otherwise newest first, from below `before`, or from the newest.
    History {
        /// Where.
        conversation: u64,
        /// Above this number.
        after: u64,
        /// Below this number.
        before: u64,
        /// At most; 0: as many as the node likes.
        limit: u64,
    }

    /// See [`Request::Send`].
    Send<'a> {
        /// Where to; 0: to `username`.
        conversation: u64,
        /// To whom, if not to a known conversation.
        username: &'a str,
        /// To whom by user id, whoever has the name by then; 0: by `username`.
        user: u64,
        /// What.
        text: &'a str,
        /// The write's number.
        seq: u64,
    }

    /// See [`Request::Delete`].
    Delete {
        /// Where.
        conversation: u64,
        /// Which.
        numbers: List<u64>,
        /// The write's number.
        seq: u64,
    }

    /// See [`Request::Clear`].
    Clear {
        /// Which.
        conversation: u64,
        /// Up to this message number.
        upto: u64,
        /// The write's number.
        seq: u64,
    }

    /// See [`Request::Mark`].
    Marks {
        /// In each conversation.
        marks: List<Mark>,
    }

    /// See [`Request::Typing`].
    Typing {
        /// Where.
        conversation: u64,
        /// False: not any more.
        on: bool,
    }

    /// See [`Request::Watch`].
    Watch {
        /// User ids.
        users: List<u64>,
    }

    /// See [`Request::Users`].
    Users<'a> {
        /// What to look for in user names and nicknames; `*` and `?` are wildcards. Empty: everybody.
        pattern: &'a str,
        /// Behind this many.
        skip: u64,
        /// At most; 0: as many as the node likes.
        limit: u64,
    }

    /// See [`Request::Nickname`].
    Nickname<'a> {
        /// The new one.
        nickname: &'a str,
        /// The write's number.
        seq: u64,
    }

    /// See [`Request::ViewLimit`].
    ViewLimit {
        /// From 1.
        view_limit: u64,
        /// The write's number.
        seq: u64,
    }

    /// See [`Request::Password`].
    Password<'a> {
        /// The one that holds; both lowercase hexadecimal SHA-256.
        password: &'a str,
        /// The new one.
        new_password: &'a str,
    }

    /// See [`Request::Revoke`].
    Revoke {
        /// Which.
        device: u64,
    }

    /// See [`Request::DeleteAccount`].
    DeleteAccount<'a> {
        /// Lowercase hexadecimal SHA-256 of the password.
        password: &'a str,
        /// False: only tell how many unread messages would go.
        confirm: bool,
    }
}
