//! Accounts and devices: signing up, logging in, coming back, passwords, deletion.

use sha2::{Digest, Sha256};
use wire::chat::item::Token;
use wire::chat::reply::{Count, Session};
use wire::chat::{Code, Reply};
use wire::codec::Codec;
use wire::limits::{DEVICE_NAME_BYTES_MAX, TOKEN_BYTES};
use wire::names;
use wire::replication::command::{Command, Outcome, RULE_LEVEL_KEYED, Refusal};
use wire::session::server::Identity;

use super::answer::{self, No};
use super::job::{Done, Update};
use super::render;
use crate::chat::state::Lookup;
use crate::raft::read::Freshness;
use crate::service::backend::{Backend, Cluster, Read};
use crate::service::bearer::Shown;
use crate::service::passwords;

/// Device ids stay below this: every program that reads JSON can hold them without rounding.
const DEVICE_ID_BITS: u32 = 53;

/// A way in. Secrets in it are never shown.
pub(super) enum Enter {
    SignUp { username: String, nickname: String, password: String, device_name: String, open: bool },
    LogIn { username: String, password: String, device: u64, device_name: String },
    Resume { device: u64, token: Option<Token>, life: u64 },
}

impl std::fmt::Debug for Enter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Enter::SignUp { .. } => "SignUp",
            Enter::LogIn { .. } => "LogIn",
            Enter::Resume { .. } => "Resume",
        })
    }
}

/// What somebody who is logged in does about the account.
pub(super) enum Job {
    LogOut,
    Show,
    Devices,
    Revoke { device: u64 },
    Password { old: String, new: String },
    Delete { password: String, confirm: bool },
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Job::LogOut => "LogOut",
            Job::Show => "Show",
            Job::Devices => "Devices",
            Job::Revoke { .. } => "Revoke",
            Job::Password { .. } => "Password",
            Job::Delete { .. } => "Delete",
        })
    }
}

/// Lets somebody in. Where the connection is not `secure` no token is given out: it would travel in the clear.
pub(super) async fn enter<C: Cluster>(
    backend: &Backend<C>,
    enter: Enter,
    secure: bool,
    (codec, id): (Codec, u64),
) -> Result<Done, No> {
    let entered = match enter {
        Enter::SignUp { username, nickname, password, device_name, open } => {
            if !open {
                return Err(No::new(Code::SignupClosed, "accounts are not made here: ask who runs this server"));
            }
            // Before the account is made: who is refused is to find the name free.
            device_name_of(&device_name)?;
            let user = sign_up(backend, &username, &nickname, password).await?;
            add_device(backend, user, &device_name, secure).await?
        }
        Enter::LogIn { username, password, device, device_name } => {
            log_in(backend, (username, password), device, &device_name, secure).await?
        }
        Enter::Resume { device, token, life } => resume(backend, device, token, life).await?,
    };
    let Entered { user, device, token, stale } = entered;
    // A write's outcome comes from the leader, maybe before this node has applied it; what is read here has to hold it.
    let stale = stale || backend.cluster.barrier().await == Freshness::Stale;
    let read = backend.queries.run(move |reader| Ok((reader.profile(user)?, reader.last_seq(device)?))).await;
    let (account, last_seq) = read?;
    let account = account.ok_or_else(|| if stale { No::not_heard() } else { No::from(&Refusal::NoSuchUser) })?;
    let session = Session {
        user,
        username: &account.username,
        nickname: &account.nickname,
        view_limit: u64::from(account.view_limit),
        device,
        token,
        last_seq,
        stale,
    };
    Ok(Done {
        frame: Some(answer::reply(codec, id, Reply::Session(session))),
        update: Update::LoggedIn(Identity { user, device, read_only: stale }),
    })
}

/// Who was let in, as what.
struct Entered {
    user: u64,
    /// 0 where none could be made: without a majority.
    device: u64,
    token: Option<Token>,
    stale: bool,
}

async fn sign_up<C: Cluster>(
    backend: &Backend<C>,
    username: &str,
    nickname: &str,
    password: String,
) -> Result<u64, No> {
    let nickname = if nickname.is_empty() { username } else { nickname };
    for (which, value) in [("user name", username), ("nickname", nickname)] {
        check_name(which, value)?;
    }
    check_password(&password)?;
    let hash = backend.passwords.hash(password).await?;
    match backend.register(username, nickname, &hash).await? {
        Outcome::UserCreated { user } => Ok(user),
        Outcome::Refused(refusal) => Err(No::from(&refusal)),
        _ => Err(No::new(Code::Malformed, "that is no account")),
    }
}

async fn log_in<C: Cluster>(
    backend: &Backend<C>,
    (username, password): (String, String),
    device: u64,
    device_name: &str,
    secure: bool,
) -> Result<Entered, No> {
    check_password(&password)?;
    let stale = backend.cluster.barrier().await == Freshness::Stale;
    let account = backend.queries.run(move |reader| reader.account_found(&username)).await?;
    let hash = account.as_ref().map(|account| account.password_hash.clone());
    let right = backend.passwords.verify(password, hash).await?;
    let Some(account) = account.filter(|_| right) else {
        if stale {
            return Err(No::unconfirmed("user name and password are right"));
        }
        return Err(No::new(Code::BadCredentials, "unknown user name or wrong password"));
    };
    let user = account.id;
    if stale {
        let known = backend.queries.run(move |reader| reader.device(device)).await?;
        let known = known.is_some_and(|known| known.user == user && !known.revoked);
        return Ok(Entered { user, device: if known { device } else { 0 }, token: None, stale });
    }
    if device != 0 {
        let (token, token_hash) = token_where(secure)?;
        let name = device_name_of(device_name)?;
        let command = Command::LoginDevice { user, device, token_hash, name };
        match backend.write(&command).await? {
            // Not this user's, or logged out: it goes on as a new one.
            Outcome::Refused(Refusal::DeviceGone) => {}
            Outcome::Refused(refusal) => return Err(No::from(&refusal)),
            _ => return Ok(Entered { user, device, token, stale }),
        }
    }
    add_device(backend, user, device_name, secure).await
}

async fn add_device<C: Cluster>(
    backend: &Backend<C>,
    user: u64,
    device_name: &str,
    secure: bool,
) -> Result<Entered, No> {
    let name = device_name_of(device_name)?;
    let (token, token_hash) = token_where(secure)?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(no_randomness)?;
    let device = (u64::from_le_bytes(random) >> (64 - DEVICE_ID_BITS)).max(1);
    match backend.write(&Command::AddDevice { user, device, name, token_hash }).await? {
        Outcome::Refused(refusal) => Err(No::from(&refusal)),
        _ => Ok(Entered { user, device, token, stale: false }),
    }
}

async fn resume<C: Cluster>(backend: &Backend<C>, device: u64, token: Option<Token>, life: u64) -> Result<Entered, No> {
    let old_hash = hash(&token.ok_or(No::from(&Refusal::TokenUnknown))?);
    if backend.cluster.barrier().await == Freshness::Stale {
        // The client's token stays good: none is given out, and what this node does not know is not refused for good.
        return match backend.queries.run(move |reader| Shown::look(reader, device, &old_hash)).await? {
            Shown::By(known) => Ok(Entered { user: known.user, device, token: None, stale: true }),
            Shown::Void => Err(No::from(&Refusal::TokenUnknown)),
            Shown::Unheard => Err(No::unconfirmed("this token is valid")),
        };
    }
    let (token, new_hash) = new_token()?;
    let command = if life == 0 || backend.cluster.rules() < RULE_LEVEL_KEYED {
        Command::ResumeDevice { device, old_hash, new_hash }
    } else {
        Command::ResumeInLife { device, old_hash, new_hash, life_hash: life_hash(device, life) }
    };
    match backend.write(&command).await? {
        Outcome::Resumed { user } => Ok(Entered { user, device, token: Some(token), stale: false }),
        // Whoever shows a token of a device that is gone learns no more than with a wrong one.
        Outcome::Refused(Refusal::DeviceGone) => Err(No::from(&Refusal::TokenUnknown)),
        Outcome::Refused(refusal) => Err(No::from(&refusal)),
        _ => Err(No::from(&Refusal::TokenUnknown)),
    }
}

/// What the state keeps of a client's life. Longer than a token before it is hashed, so that it is none's.
fn life_hash(device: u64, life: u64) -> [u8; 32] {
    let digest = Sha256::new().chain_update(b"the life of a device").chain_update(device.to_be_bytes());
    digest.chain_update(life.to_be_bytes()).finalize().into()
}

/// Does what somebody who is logged in wants done about the account.
pub(super) async fn run<C: Cluster>(
    backend: &Backend<C>,
    job: Job,
    who: Identity,
    (codec, id): (Codec, u64),
) -> Result<Done, No> {
    let reply = |reply: Reply<'_>| Done::reply(answer::reply(codec, id, reply));
    let Identity { user, device, .. } = who;
    match job {
        Job::LogOut => {
            written(&backend.write(&Command::RevokeDevice { user, device }).await?)?;
            Ok(Done { update: Update::LoggedOut, ..reply(answer::done()) })
        }
        Job::Revoke { device } => match backend.write(&Command::RevokeDevice { user, device }).await? {
            Outcome::Refused(Refusal::DeviceGone) => Err(No::new(Code::NoSuchDevice, "you have no such device")),
            outcome => written(&outcome).map(|()| reply(answer::done())),
        },
        Job::Show => {
            let Read { value, stale } = backend.read(user, move |reader, _| reader.profile(user)).await?;
            let account = value.ok_or(No::from(&Refusal::NoSuchUser))?;
            Ok(reply(Reply::Profile(render::account(&account, stale))))
        }
        Job::Devices => {
            let Read { value: devices, stale } = backend.read(user, move |reader, _| reader.devices(user)).await?;
            Ok(reply(Reply::Devices(render::devices(&devices, device, stale))))
        }
        Job::Password { old, new } => {
            check_password(&new)?;
            prove(backend, user, old).await?;
            let hash = backend.passwords.hash(new).await?;
            let command = Command::SetPassword { user, password_hash: &hash, keep_device: device };
            written(&backend.write(&command).await?)?;
            Ok(reply(answer::done()))
        }
        Job::Delete { password, confirm } => {
            prove(backend, user, password).await?;
            let count = backend.read(user, move |reader, _| reader.unread_total(user)).await?.value;
            if confirm {
                written(&backend.write(&Command::DeleteAccount { user }).await?)?;
            }
            let update = if confirm { Update::AccountDeleted } else { Update::Nothing };
            Ok(Done { update, ..reply(Reply::Lost(Count { count })) })
        }
    }
}

/// Checks the password of who is logged in.
async fn prove<C: Cluster>(backend: &Backend<C>, user: u64, password: String) -> Result<(), No> {
    check_password(&password)?;
    let account = backend.read(user, move |reader, _| {
        // The name was read with the user, in the same state.
        let Some(user) = reader.user(user)? else { return Ok(None) };
        reader.account(&user.name)
    });
    let account = account.await?.value;
    if backend.passwords.verify(password, account.map(|account| account.password_hash)).await? {
        Ok(())
    } else {
        Err(No::new(Code::WrongPassword, "this is not your password"))
    }
}

fn written(outcome: &Outcome) -> Result<(), No> {
    answer::of_outcome(outcome).map(|_| ())
}

/// A fresh token and what is stored of it, where it may travel.
fn token_where(secure: bool) -> Result<(Option<Token>, Option<[u8; 32]>), No> {
    Ok(if secure { new_token().map(|(token, hash)| (Some(token), Some(hash)))? } else { (None, None) })
}

/// A fresh token and what is stored of it.
fn new_token() -> Result<(Token, [u8; 32]), No> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(no_randomness)?;
    let token = Token(bytes);
    let hash = hash(&token);
    Ok((token, hash))
}

fn hash(token: &Token) -> [u8; 32] {
    Sha256::digest(token.0).into()
}

fn no_randomness(error: getrandom::Error) -> No {
    tracing::error!(%error, "the system has no random numbers");
    No::new(Code::ReadFailed, "this server cannot make secrets now")
}

/// Checks a user name or a nickname.
pub(super) fn check_name(which: &str, name: &str) -> Result<(), No> {
    names::check(name).map_err(|reason| No::new(Code::NameRefused, format!("this {which} {reason}")))
}

/// A password in clear, were it taken, would be another one than that of a client which hashes it: the next one could not log
/// in.
fn check_password(password: &str) -> Result<(), No> {
    if passwords::is_digest(password) { Ok(()) } else { Err(No::new(Code::Malformed, passwords::NO_DIGEST)) }
}

fn device_name_of(name: &str) -> Result<&str, No> {
    if name.len() > DEVICE_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let text = format!("a device's name has at most {DEVICE_NAME_BYTES_MAX} bytes and no control characters");
        return Err(No::new(Code::NameRefused, text));
    }
    Ok(name)
}
