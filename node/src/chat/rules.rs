//! What each command does. One function per command; all of them total: whatever the arguments, the answer is an
//! [`Outcome`], and an error means that storage itself failed.

mod addresses;
mod devices;
mod marks;
mod names;

use wire::limits::{
    DELETE_INDICES_MAX, MESSAGE_TEXT_BYTES_MAX, NAME_CHARS_MAX, SERVER_NAME_BYTES_MAX, VIEW_LIMIT_DEFAULT,
    VIEW_LIMIT_MAX,
};
use wire::replication::command::{Addressee, Chat, Command, Outcome, RULE_LEVEL_NUMBERED, Refusal, Writer};

use super::resolve::{Target, free_id, resolve};
use super::state::{Change, Revocation, State};

/// Bytes of a stored password hash. An Argon2id PHC text takes about a hundred.
const PASSWORD_HASH_BYTES_MAX: usize = 256;

/// How long an expired join code is remembered, so that who comes too late is told so.
const EXPIRED_CODE_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// What a command knows about its own place in the log.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The leader's time of the batch, milliseconds since 1970.
    pub time_ms: u64,
    /// Who writes.
    pub writer: Writer,
    /// Under which sequence number.
    pub seq: u64,
    /// The entry's rule level.
    pub rule_level: u16,
}

/// Applies one command.
///
/// # Errors
/// Storage failed.
pub fn apply<S: State>(state: &mut S, at: Context, command: &Command<'_>) -> Result<Outcome, S::Error> {
    let done = match *command {
        Command::Signup { username, nickname, password_hash } => signup(state, at, username, nickname, password_hash),
        Command::DeleteAccount { user } => delete_account(state, at, user),
        Command::SetViewLimit { user, limit } => set_view_limit(state, at, user, limit),
        Command::OpenConversation { user, other } => open_conversation(state, at, user, other),
        Command::Send { user, chat, text } => send(state, at, user, chat, text),
        Command::DeleteMessages { user, chat, ref numbers } => delete_messages(state, at, user, chat, numbers),
        Command::MarkRead { user, conversation, upto } => marks::mark_read(state, at, user, conversation, upto),
        Command::AddJoinCode { ref hash, expires_ms } => add_join_code(state, at, hash, expires_ms),
        Command::ConsumeJoinCode { ref hash, node } => consume_join_code(state, at, hash, node),
        Command::RemoveNode { node, name, by } => remove_node(state, at, node, name, by),
        Command::ByDevice { device, seq, command } => devices::write(state, at, device, seq, command),
        Command::Void => Err(No::Refused(Refusal::Malformed)),
        Command::SendTo { user, username, text } => send_to(state, at, user, username, text),
        Command::AddDevice { user, device, name, ref token_hash } => {
            devices::add(state, at, user, (device, name), token_hash.as_ref())
        }
        Command::LoginDevice { user, device, ref token_hash, name } => {
            devices::login(state, at, user, (device, name), token_hash.as_ref())
        }
        Command::ResumeDevice { device, ref old_hash, ref new_hash } => {
            devices::resume(state, at, device, (old_hash, new_hash), None)
        }
        Command::ResumeInLife { device, ref old_hash, ref new_hash, ref life_hash } => {
            devices::resume(state, at, device, (old_hash, new_hash), Some(life_hash))
        }
        Command::RevokeDevice { user, device } => devices::revoke(state, at, user, device),
        Command::SetPassword { user, password_hash, keep_device } => {
            set_password(state, at, user, password_hash, keep_device)
        }
        Command::SetNickname { user, nickname } => set_nickname(state, at, user, nickname),
        Command::Mark { user, ref marks } => marks::mark(state, at, user, marks),
        Command::ClearView { user, conversation, upto } => marks::clear_view(state, at, user, conversation, upto),
        Command::BindAddress { user, ref address, for_ms } => addresses::bind(state, at, user, address, for_ms),
        Command::Register { username, nickname, password_hash, keys, nickname_search } => {
            names::register(state, at, (username, nickname, password_hash), keys, nickname_search)
        }
        Command::SetNicknameKeyed { user, nickname, search } => names::set_nickname(state, at, user, nickname, search),
        Command::SendToAccount { user, to, text } => send_to_account(state, at, user, to, text),
    };
    match done {
        Ok(outcome) => Ok(outcome),
        Err(No::Refused(refusal)) => Ok(Outcome::Refused(refusal)),
        Err(No::Failed(error)) => Err(error),
    }
}

/// Why a rule stopped: a refusal to be told, or storage's failure. Lets rules use `?` for both.
enum No<E> {
    Refused(Refusal),
    Failed(E),
}

impl<E> From<E> for No<E> {
    fn from(error: E) -> No<E> {
        No::Failed(error)
    }
}

type Ruling<S> = Result<Outcome, No<<S as super::state::Lookup>::Error>>;

/// Names were validated in full before proposing. Only what cannot differ between two builds is checked again: which
/// characters exist and how they normalise depends on the Unicode tables a build carries.
fn name_is_bounded(name: &str) -> bool {
    !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX
}

fn signup<S: State>(state: &mut S, at: Context, name: &str, nickname: &str, password_hash: &str) -> Ruling<S> {
    if !name_is_bounded(name) || !name_is_bounded(nickname) || password_hash.len() > PASSWORD_HASH_BYTES_MAX {
        return Err(No::Refused(Refusal::Malformed));
    }
    if state.user_named(name)?.is_some() {
        return Err(No::Refused(Refusal::NameTaken));
    }
    let id = state.next_ids().user;
    let view_limit = VIEW_LIMIT_DEFAULT;
    state.write(&Change::UserAdded { id, name, nickname, password_hash, view_limit, time_ms: at.time_ms })?;
    Ok(Outcome::UserCreated { user: id })
}

fn delete_account<S: State>(state: &mut S, at: Context, user: u64) -> Ruling<S> {
    live(state, user)?;
    devices::revoke_all(state, at, user, None, Revocation::AccountDeleted)?;
    addresses::free_all(state, user)?;
    let changed = change_number(state, at);
    state.write(&Change::UserDeleted { id: user, time_ms: at.time_ms, changed })?;
    Ok(Outcome::Done)
}

fn set_password<S: State>(state: &mut S, at: Context, user: u64, password_hash: &str, keep: u64) -> Ruling<S> {
    if password_hash.len() > PASSWORD_HASH_BYTES_MAX {
        return Err(No::Refused(Refusal::Malformed));
    }
    live(state, user)?;
    state.write(&Change::PasswordSet { id: user, password_hash })?;
    devices::revoke_all(state, at, user, Some(keep), Revocation::PasswordChanged)?;
    addresses::free_all(state, user)?;
    Ok(Outcome::Done)
}

fn set_nickname<S: State>(state: &mut S, at: Context, user: u64, nickname: &str) -> Ruling<S> {
    if !name_is_bounded(nickname) {
        return Err(No::Refused(Refusal::Malformed));
    }
    live(state, user)?;
    let changed = change_number(state, at);
    state.write(&Change::NicknameSet { id: user, nickname, changed })?;
    Ok(Outcome::Done)
}

fn set_view_limit<S: State>(state: &mut S, at: Context, user: u64, limit: u32) -> Ruling<S> {
    if limit == 0 || limit > VIEW_LIMIT_MAX {
        return Err(No::Refused(Refusal::Malformed));
    }
    let account = live(state, user)?;
    if account.view_limit != limit {
        let changed = change_number(state, at);
        state.write(&Change::ViewLimitSet { id: user, limit, changed })?;
    }
    Ok(Outcome::Done)
}

fn open_conversation<S: State>(state: &mut S, at: Context, user: u64, other: &str) -> Ruling<S> {
    let account = live(state, user)?;
    let id = direct_with(state, at, (user, &account.name), other)?;
    let legacy_id = match state.conversation(id)? {
        Some(conversation) => conversation.legacy_id.clone(),
        None => return Err(No::Refused(Refusal::NoSuchConversation)),
    };
    Ok(Outcome::Conversation { id, legacy_id })
}

fn send<S: State>(state: &mut S, at: Context, user: u64, chat: Chat<'_>, text: &str) -> Ruling<S> {
    refuse_unless_text(text)?;
    let account = live(state, user)?;
    let conversation = match resolve(state, user, &account.name, chat)? {
        Target::Existing(id) => {
            refuse_if_peer_gone(state, id, user)?;
            id
        }
        Target::New { other } => {
            let other_name = live_name(state, other)?;
            create_direct(state, at, (user, &account.name), (other, &other_name))?
        }
        Target::PeerGone { name } => return Err(No::Refused(Refusal::PeerGone { name: bounded(&name)? })),
        Target::Unknown => return Err(No::Refused(Refusal::NoSuchConversation)),
    };
    store(state, at, user, conversation, text)
}

fn send_to<S: State>(state: &mut S, at: Context, user: u64, username: &str, text: &str) -> Ruling<S> {
    refuse_unless_text(text)?;
    let account = live(state, user)?;
    let conversation = direct_with(state, at, (user, &account.name), username)?;
    store(state, at, user, conversation, text)
}

fn send_to_account<S: State>(state: &mut S, at: Context, user: u64, to: Addressee<'_>, text: &str) -> Ruling<S> {
    refuse_unless_text(text)?;
    let account = live(state, user)?;
    let other = names::account_of(state, to)?;
    let conversation = direct_between(state, at, (user, &account.name), (other.0, &other.1.name))?;
    store(state, at, user, conversation, text)
}

fn refuse_unless_text<E>(text: &str) -> Result<(), No<E>> {
    let fits = !text.is_empty() && text.len() <= MESSAGE_TEXT_BYTES_MAX;
    if fits { Ok(()) } else { Err(No::Refused(Refusal::Malformed)) }
}

/// Stores a message in a conversation that it may go to.
fn store<S: State>(state: &mut S, at: Context, user: u64, conversation: u64, text: &str) -> Ruling<S> {
    let number = state.last_number(conversation)? + 1;
    let id = state.next_ids().message;
    state.write(&Change::MessageAdded {
        id,
        conversation,
        number,
        sender: user,
        time_ms: at.time_ms,
        text,
        writer: at.writer,
        seq: at.seq,
    })?;
    Ok(Outcome::Sent { conversation, number, id })
}

fn delete_messages<S: State>(state: &mut S, at: Context, user: u64, chat: Chat<'_>, numbers: &[u64]) -> Ruling<S> {
    if numbers.len() > DELETE_INDICES_MAX {
        return Err(No::Refused(Refusal::Malformed));
    }
    let account = live(state, user)?;
    let Target::Existing(conversation) = resolve(state, user, &account.name, chat)? else {
        return Err(No::Refused(Refusal::NoSuchConversation));
    };
    let mut wanted = numbers.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    // All are looked at before the first is touched. One that is gone already is not an error: the wish is fulfilled.
    let mut live_ones = Vec::with_capacity(wanted.len());
    for number in wanted {
        match state.sender(conversation, number)? {
            None => {}
            Some(sender) if sender == user => live_ones.push(number),
            Some(_) => return Err(No::Refused(Refusal::NotYours)),
        }
    }
    for &number in &live_ones {
        let changed = change_number(state, at);
        state.write(&Change::MessageDeleted { conversation, number, changed })?;
    }
    Ok(Outcome::Deleted { count: live_ones.len() as u32 })
}

fn add_join_code<S: State>(state: &mut S, at: Context, hash: &[u8; 32], expires_ms: u64) -> Ruling<S> {
    state.write(&Change::CodesForgotten { expired_before_ms: at.time_ms.saturating_sub(EXPIRED_CODE_KEPT_MS) })?;
    if state.join_code(hash)?.is_none() {
        state.write(&Change::CodeAdded { hash, expires_ms })?;
    }
    Ok(Outcome::Done)
}

fn consume_join_code<S: State>(state: &mut S, at: Context, hash: &[u8; 32], node: u64) -> Ruling<S> {
    if state.is_removed(node)? {
        return Err(No::Refused(Refusal::NodeRemoved));
    }
    match state.join_code(hash)? {
        None => Err(No::Refused(Refusal::CodeUnknown)),
        // Also for the node it has let in: whoever overhears an old code shall not be able to use it as that node.
        Some(code) if code.expires_ms <= at.time_ms => Err(No::Refused(Refusal::CodeExpired)),
        Some(code) => match code.used_by {
            None => {
                state.write(&Change::CodeUsed { hash, node })?;
                Ok(Outcome::Done)
            }
            Some(same) if same == node => Ok(Outcome::Done),
            Some(_) => Err(No::Refused(Refusal::CodeUsed)),
        },
    }
}

fn remove_node<S: State>(state: &mut S, at: Context, node: u64, name: &str, by: &str) -> Ruling<S> {
    if name.len() > SERVER_NAME_BYTES_MAX || by.len() > SERVER_NAME_BYTES_MAX {
        return Err(No::Refused(Refusal::Malformed));
    }
    if !state.is_removed(node)? {
        state.write(&Change::NodeRemoved { node, name, by, time_ms: at.time_ms })?;
    }
    Ok(Outcome::Done)
}

// ---- shared steps ------------------------------------------------------------------------------------------

/// The number of the next change; 0 in an entry from before changes were numbered.
fn change_number<S: State>(state: &S, at: Context) -> u64 {
    if at.rule_level < RULE_LEVEL_NUMBERED { 0 } else { state.next_ids().message }
}

fn live<S: State>(state: &S, user: u64) -> Result<std::rc::Rc<super::state::User>, No<S::Error>> {
    match state.user(user)? {
        Some(account) if account.live => Ok(account),
        _ => Err(No::Refused(Refusal::NoSuchUser)),
    }
}

fn live_name<S: State>(state: &S, user: u64) -> Result<String, No<S::Error>> {
    Ok(live(state, user)?.name.clone())
}

/// A name that is about to be told back: no longer than a name can be, whatever was asked for.
fn bounded<E>(name: &str) -> Result<String, No<E>> {
    if name_is_bounded(name) { Ok(name.to_owned()) } else { Err(No::Refused(Refusal::Malformed)) }
}

fn refuse_if_peer_gone<S: State>(state: &S, conversation: u64, user: u64) -> Result<(), No<S::Error>> {
    let Some(conversation) = state.conversation(conversation)? else {
        return Err(No::Refused(Refusal::NoSuchConversation));
    };
    // A group goes on when somebody leaves; a direct conversation needs its other side.
    if let [one, two] = conversation.members[..] {
        let other = if one == user { two } else { one };
        match state.user(other)? {
            Some(peer) if peer.live => {}
            Some(peer) => return Err(No::Refused(Refusal::PeerGone { name: peer.name.clone() })),
            None => return Err(No::Refused(Refusal::NoSuchConversation)),
        }
    }
    Ok(())
}

/// The direct conversation with who is called `other`, made if there is none.
fn direct_with<S: State>(state: &mut S, at: Context, one: (u64, &str), other: &str) -> Result<u64, No<S::Error>> {
    let Some(other_id) = state.user_named(other)? else {
        return Err(No::Refused(Refusal::PeerGone { name: bounded(other)? }));
    };
    direct_between(state, at, one, (other_id, other))
}

/// The direct conversation of two people, made if there is none.
fn direct_between<S: State>(
    state: &mut S,
    at: Context,
    one: (u64, &str),
    other: (u64, &str),
) -> Result<u64, No<S::Error>> {
    match state.direct(one.0, other.0)? {
        Some(id) => Ok(id),
        None => Ok(create_direct(state, at, one, other)?),
    }
}

/// Makes the direct conversation of two people, or of one with oneself, and returns its id.
fn create_direct<S: State>(state: &mut S, at: Context, one: (u64, &str), two: (u64, &str)) -> Result<u64, S::Error> {
    let legacy_id = free_id(state, one.1, two.1)?;
    let pair = [one.0.min(two.0), one.0.max(two.0)];
    let members = if pair[0] == pair[1] { &pair[..1] } else { &pair[..] };
    let id = state.next_ids().conversation;
    let changed = change_number(state, at);
    state.write(&Change::ConversationAdded { id, legacy_id: &legacy_id, members, time_ms: at.time_ms, changed })?;
    Ok(id)
}
