//! What each request needs before anything is done about it: the one table that sessions, the node's dispatch and the
//! documentation read.

use crate::chat::Request;

/// When a request may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// As the first of a connection, and never again.
    First,
    /// After the hello while nobody is logged in, one at a time.
    Entry,
    /// Any time after the hello.
    Greeted,
    /// While somebody is logged in.
    LoggedIn,
}

/// What a request does to what the cluster stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Something that is the same when it is done twice, or that its user notices when it was done before. Needs a
    /// majority.
    Write,
    /// Something that must happen once: it carries a `seq` of its device. Needs a majority.
    NumberedWrite,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// When it may be asked.
    pub stage: Stage,
    /// It, or its reply, holds a password or a token, which do not travel in the clear.
    pub secret: bool,
    /// What it does.
    pub effect: Effect,
}

macro_rules! rules {
    ($($variant:ident $name:ident: $stage:ident $secret:ident $effect:ident,)+) => {
        /// The rule of every request, in the order of [`Request::NAMES`].
        pub const RULES: &[(&str, Rule)] = &[
            $((stringify!($name), Rule { stage: Stage::$stage, secret: rules!($secret), effect: Effect::$effect }),)+
        ];

        impl Request<'_> {
            /// What this request needs; see [`RULES`].
            #[must_use]
            pub const fn rule(&self) -> Rule {
                match self {
                    $(Self::$variant(_) => {
                        Rule { stage: Stage::$stage, secret: rules!($secret), effect: Effect::$effect }
                    })+
                }
            }
        }
    };
    (open) => { false };
    (secret) => { true };
}

rules! {
    Hello hello:                   First    open   None,
    Signup signup:                 Entry    secret Write,
    // Without a majority these two still let somebody in who only wants to read, so they count as no writes.
    Login login:                   Entry    secret None,
    Resume resume:                 Entry    secret None,
    Logout logout:                 LoggedIn open   Write,
    Ping ping:                     Greeted  open   None,
    Sync sync:                     LoggedIn open   None,
    Conversations conversations:   LoggedIn open   None,
    Open open:                     LoggedIn open   Write,
    Next next:                     LoggedIn open   None,
    History history:               LoggedIn open   None,
    Send send:                     LoggedIn open   NumberedWrite,
    Delete delete:                 LoggedIn open   NumberedWrite,
    Clear clear:                   LoggedIn open   NumberedWrite,
    Mark mark:                     LoggedIn open   Write,
    Typing typing:                 LoggedIn open   None,
    Watch watch:                   LoggedIn open   None,
    Users users:                   LoggedIn open   None,
    Account account:               LoggedIn open   None,
    Nickname nickname:             LoggedIn open   NumberedWrite,
    ViewLimit view_limit:          LoggedIn open   NumberedWrite,
    Password password:             LoggedIn secret Write,
    Devices devices:               LoggedIn open   None,
    Revoke revoke:                 LoggedIn open   Write,
    DeleteAccount delete_account:  LoggedIn secret Write,
}

impl Request<'_> {
    /// The number of a numbered write; `None` for everything else.
    #[must_use]
    pub const fn seq(&self) -> Option<u64> {
        match self {
            Self::Send(send) => Some(send.seq),
            Self::Delete(delete) => Some(delete.seq),
            Self::Clear(clear) => Some(clear.seq),
            Self::Nickname(nickname) => Some(nickname.seq),
            Self::ViewLimit(view_limit) => Some(view_limit.seq),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::chat::request;

    /// One request of each kind, with the number 9 where there is one.
    pub(crate) fn every_request() -> [Request<'static>; RULES.len()] {
        [
            Request::Hello(request::Hello { samira: 2, client: "test" }),
            Request::Signup(Default::default()),
            Request::Login(Default::default()),
            Request::Resume(Default::default()),
            Request::Logout(Default::default()),
            Request::Ping(Default::default()),
            Request::Sync(Default::default()),
            Request::Conversations(Default::default()),
            Request::Open(Default::default()),
            Request::Next(Default::default()),
            Request::History(Default::default()),
            Request::Send(request::Send { seq: 9, ..Default::default() }),
            Request::Delete(request::Delete { seq: 9, ..Default::default() }),
            Request::Clear(request::Clear { seq: 9, ..Default::default() }),
            Request::Mark(Default::default()),
            Request::Typing(Default::default()),
            Request::Watch(Default::default()),
            Request::Users(Default::default()),
            Request::Account(Default::default()),
            Request::Nickname(request::Nickname { seq: 9, ..Default::default() }),
            Request::ViewLimit(request::ViewLimit { seq: 9, ..Default::default() }),
            Request::Password(Default::default()),
            Request::Devices(Default::default()),
            Request::Revoke(Default::default()),
            Request::DeleteAccount(Default::default()),
        ]
    }

    #[test]
    fn every_request_has_its_rule_and_numbered_writes_have_numbers() {
        assert!(RULES.iter().map(|(name, _)| name).eq(Request::NAMES));
        for (request, (name, rule)) in every_request().iter().zip(RULES) {
            assert_eq!((request.name(), request.rule()), (*name, *rule));
            assert_eq!(request.seq(), (rule.effect == Effect::NumberedWrite).then_some(9), "{name}");
        }
    }
}
