//! Writes that carry names, for both dialects: here a name gets its keys, before anything is proposed.
//!
//! While a voter runs a release without keys they are left out. Such an account is found to the letter alone.

use wire::names::{Keys, found_by, search_key};
use wire::replication::command::{Addressee, Command, NameKeys, Outcome, RULE_LEVEL_KEYED};

use super::backend::{Backend, Cluster};
use crate::raft::propose::ProposeError;

impl<C: Cluster> Backend<C> {
    /// Makes an account under a name that was judged.
    pub(super) async fn register(
        &self,
        username: &str,
        nickname: &str,
        password_hash: &str,
    ) -> Result<Outcome, ProposeError> {
        if self.cluster.rules() < RULE_LEVEL_KEYED {
            return self.write(&Command::Signup { username, nickname, password_hash }).await;
        }
        let Keys { fold, skeleton, search } = Keys::of(username);
        let keys = NameKeys { fold: &fold, skeleton: &skeleton, search: &search };
        let nickname_search = &search_key(nickname);
        self.write(&Command::Register { username, nickname, password_hash, keys, nickname_search }).await
    }
}

/// A device's write as it is handed over: the names in it get their keys.
///
/// # Errors
/// A voter does not know this kind of write.
pub(super) fn encoded(command: &Command<'_>, rules: u16) -> Result<Vec<u8>, ProposeError> {
    if command.rule_level() > rules {
        return Err(ProposeError::not_known_by_all());
    }
    let key = match *command {
        Command::SendTo { username, .. } => found_by(username),
        Command::SetNickname { nickname, .. } => search_key(nickname),
        _ => String::new(),
    };
    let keyed = match *command {
        _ if rules < RULE_LEVEL_KEYED => None,
        Command::SendTo { user, username: name, text } => {
            Some(Command::SendToAccount { user, to: Addressee::Named { name, fold: &key }, text })
        }
        Command::SetNickname { user, nickname } => Some(Command::SetNicknameKeyed { user, nickname, search: &key }),
        _ => None,
    };
    let bytes = postcard::to_allocvec(keyed.as_ref().unwrap_or(command));
    Ok(bytes.expect("commands always encode into a growing buffer"))
}
