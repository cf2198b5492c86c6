//! Numbered reasons for refusals. Numbers are never reused, and new ones are only appended.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a client does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Send the same again, later, here or on another node. A write keeps its sequence number.
    Retry,
    /// Log in or resume first.
    LogIn,
    /// Nothing: the user has to do something else. A write has used its sequence number up.
    GiveUp,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal $remedy:ident,)+) => {
        /// Why a request was refused, or a connection closed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
            /// A number this build does not know: treat it by its remedy's range.
            Unknown(u16),
        }

        impl Code {
            /// All known codes, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its number on the wire.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self {
                    $(Self::$name => $number,)+
                    Self::Unknown(number) => number,
                }
            }

            /// The code of that number.
            #[must_use]
            pub const fn from_number(number: u16) -> Self {
                match number {
                    $($number => Self::$name,)+
                    unknown => Self::Unknown(unknown),
                }
            }
        }

        #[cfg(test)]
        const REMEDIES: &[(Code, Remedy)] = &[$((Code::$name, Remedy::$remedy),)+];
    };
}

codes! {
    // 1 to 99: not now.
    /// Too much waits already.
    Busy = 1 Retry,
    /// No majority could be reached, and the write is certainly not stored.
    Unavailable = 2 Retry,
    /// The write was handed over and its answer never came: it may or may not become stored. Sending it again tells.
    Undecided = 3 Retry,
    /// The node is stopping: go to another one.
    Stopping = 4 Retry,
    /// A write before this one was not applied yet: send the writes again from the first unanswered one.
    OutOfOrder = 5 Retry,
    /// Reading failed on this node.
    ReadFailed = 6 Retry,
    /// Nothing whole came from the client for too long, so the connection ends.
    Silent = 7 Retry,
    // 100 to 199: who are you?
    /// Nobody is logged in on this connection.
    NotLoggedIn = 100 LogIn,
    /// Unknown user, or wrong password.
    BadCredentials = 101 LogIn,
    /// The token is not valid (any more).
    BadToken = 102 LogIn,
    /// An old token was used again: somebody else may have it, and the device was logged out everywhere.
    TokenReused = 103 LogIn,
    /// The device was logged out from elsewhere, or its account is gone.
    Revoked = 104 LogIn,
    /// This session was logged in without a majority and may only read.
    ReadOnly = 105 Retry,
    // 200 and up: no.
    /// The request cannot be decoded, or a value in it breaks a bound.
    Malformed = 200 GiveUp,
    /// No request of that name.
    UnknownRequest = 201 GiveUp,
    /// None of the client's versions is spoken here.
    Version = 202 GiveUp,
    /// Passwords and tokens do not travel in the clear on a network: connect with TLS.
    PlaintextRefused = 203 GiveUp,
    /// Somebody has that user name.
    NameTaken = 204 GiveUp,
    /// That cannot be a name.
    NameRefused = 205 GiveUp,
    /// No accounts are made here.
    SignupClosed = 206 GiveUp,
    /// No account of that name.
    NoSuchUser = 207 GiveUp,
    /// No such conversation, or none of this user's.
    NoSuchConversation = 208 GiveUp,
    /// The other side has deleted the account.
    PeerGone = 209 GiveUp,
    /// Somebody else sent that message.
    NotYours = 210 GiveUp,
    /// Applied before, so long ago that the reply is no longer kept.
    AlreadyDone = 211 GiveUp,
    /// No such device of this user.
    NoSuchDevice = 212 GiveUp,
    /// More requests are open than the node allows.
    TooManyRequests = 213 Retry,
    /// The password is wrong; who is logged in stays so.
    WrongPassword = 214 GiveUp,
    /// This request does not fit the state of the connection (a second hello, for example).
    OutOfPlace = 215 GiveUp,
}

impl Code {
    /// What to do about it. Unknown numbers below 100 are to be tried again, below 200 need a login, and others are
    /// final.
    #[must_use]
    pub const fn remedy(self) -> Remedy {
        match self {
            Self::ReadOnly | Self::TooManyRequests => Remedy::Retry,
            other => match other.number() {
                0..100 => Remedy::Retry,
                100..200 => Remedy::LogIn,
                _ => Remedy::GiveUp,
            },
        }
    }
}

impl Default for Code {
    fn default() -> Self {
        Self::Unknown(0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.number())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u16::deserialize(deserializer).map(Self::from_number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_tell_the_remedy() {
        for pair in REMEDIES.windows(2) {
            assert!(pair[0].0.number() < pair[1].0.number(), "{:?}", pair[1].0);
        }
        for &(code, remedy) in REMEDIES {
            assert_eq!(code.remedy(), remedy, "{code:?}");
            assert_eq!(Code::from_number(code.number()), code);
        }
        assert_eq!(Code::from_number(999), Code::Unknown(999));
    }
}
