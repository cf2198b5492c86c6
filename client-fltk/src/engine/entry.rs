//! Who this device is: the welcome, logging in with a password or a token, and being logged out.

use wire::chat::code::Remedy;
use wire::chat::reply::{Error, Session, Welcome};
use wire::chat::{Code, request};
use wire::names::found_by;
use wire::session::Writes;
use wire::session::client::{Entry, State};

use super::Engine;
use crate::command::{Answer, Command, Failure, Password, Ticket};
use crate::model::{Account, Delta, Link, LinkState, Node, Refusal};
use crate::store::Identity;

/// Said while nobody was ever logged in.
const NOBODY: &str = "nobody is logged in: log in or sign up";

/// Somebody wants to log in.
#[derive(Debug)]
pub(super) struct Wanted {
    ticket: Ticket,
    username: String,
    password: Password,
    /// Make the account first, with this nickname.
    signup: Option<String>,
    /// It was asked once and the answer was lost, so that the account may be there.
    asked_before: bool,
    asked: bool,
}

/// How to log in, with everything it takes.
enum Attempt {
    Signup { username: String, nickname: String, password: Password },
    Login { username: String, password: Password, device: u64 },
    Resume(request::Resume),
}

impl Engine {
    /// A command to log in or sign up.
    pub(super) fn want_entry(&mut self, ticket: Ticket, command: Command) {
        let (username, password, signup) = match command {
            Command::SignUp { username, nickname, password } => (username, password, Some(nickname)),
            Command::LogIn { username, password } => (username, password, None),
            _ => return,
        };
        if self.client.state() == State::Ready {
            let who = self.model.account.as_ref().map_or("somebody", |account| &account.username).to_owned();
            return self.answer(ticket, Err(Failure::NotNow(format!("{who} is logged in: log out first"))));
        }
        if !self.may_be_own(&username)
            && let Some(why) = self.held()
        {
            return self.answer(ticket, Err(Failure::NotNow(why)));
        }
        self.fail_entry(Failure::NotNow("another attempt to log in came after this one".to_owned()));
        self.entry = Some(Wanted { ticket, username, password, signup, asked_before: false, asked: false });
        self.enter();
    }

    /// The node has said who it is.
    pub(super) fn welcome(&mut self, welcome: &Welcome<'_>) {
        let told = welcome.cluster;
        if told.is_empty() || self.certified.as_ref().is_some_and(|certified| certified != told) {
            return self.client.handle_malformed();
        }
        let known = self.store.identity().clone();
        if known.cluster != told {
            if known.device != 0 {
                let address = self.candidates.current().unwrap_or("this node");
                self.hangup = Some(format!("{address} is of another cluster than this profile: use another profile"));
                return;
            }
            let identity = Identity { cluster: told.to_owned(), ..known };
            if let Err(error) = self.store.set_identity(identity) {
                return self.break_down(error);
            }
        }
        let now = self.now();
        self.candidates.succeeded(now);
        let link = Link {
            node: welcome.node.to_owned(),
            address: self.candidates.current().unwrap_or_default().to_owned(),
            ..self.model.link.clone()
        };
        self.change(Delta::Link(link));
        self.change(Delta::Nodes(welcome.nodes.iter().map(Node::from).collect()));
        self.learn(&welcome.nodes);
        self.enter();
    }

    /// Logs in, if the connection is ready for that and there is somebody to log in.
    fn enter(&mut self) {
        if self.client.state() != State::Greeted || self.hangup.is_some() {
            return;
        }
        let identity = self.store.identity();
        // Going on as the same device keeps its writes' numbers.
        let device_for = |username: &str| if self.may_be_own(username) { identity.device } else { 0 };
        let login = |username: &str, password: &Password| Attempt::Login {
            username: username.to_owned(),
            password: password.clone(),
            device: device_for(username),
        };
        let attempt = match (&self.entry, identity.token, &self.login) {
            (Some(Wanted { username, password, signup: Some(nickname), .. }), _, _) => {
                Attempt::Signup { username: username.clone(), nickname: nickname.clone(), password: password.clone() }
            }
            (Some(wanted), _, _) => login(&wanted.username, &wanted.password),
            (None, Some(token), _) => {
                Attempt::Resume(request::Resume { device: identity.device, token: Some(token), life: self.life })
            }
            (None, None, Some((username, password))) => login(username, password),
            (None, None, None) => {
                let why = self.nobody();
                return self.need_login(&why);
            }
        };
        if let Some(wanted) = &mut self.entry {
            wanted.asked = true;
        }
        let device_name = self.device_name.clone();
        let entry = match &attempt {
            Attempt::Signup { username, nickname, password } => Entry::Signup(request::Signup {
                username,
                nickname,
                password: password.wire(),
                device_name: &device_name,
            }),
            Attempt::Login { username, password, device } => Entry::Login(request::Login {
                username,
                password: password.wire(),
                device: *device,
                device_name: &device_name,
            }),
            Attempt::Resume(resume) => Entry::Resume(resume.clone()),
        };
        if let Ok(frame) = self.client.enter(entry, self.now()) {
            self.encode(&frame);
        }
    }

    /// Logged in. The token goes to disk before anything else happens.
    pub(super) fn entered(&mut self, session: &Session<'_>) {
        let before = self.store.identity().clone();
        let is_another = !matches!(self.model.me(), 0) && self.model.me() != session.user;
        if is_another && let Some(why) = self.held() {
            return self.not_over(why);
        }
        // Without a majority nobody gives out a token or makes a device, and those held here stay good.
        let identity = match session.stale && before.device != 0 {
            true => before.clone(),
            false => Identity { device: session.device, token: session.token, ..before.clone() },
        };
        let same_device = identity.device == before.device;
        if let Err(error) = self.store.set_identity(identity) {
            return self.break_down(error);
        }
        let wanted = self.entry.take();
        self.login = match (&wanted, session.token) {
            (_, Some(_)) => None,
            (Some(wanted), None) => Some((wanted.username.clone(), wanted.password.clone())),
            (None, None) => self.login.take(),
        };
        if is_another {
            self.change(Delta::Wipe);
            self.forget_outbox();
        }
        if !same_device {
            self.give_up_unanswered();
        }
        self.change(Delta::Account(Account::from(session)));
        if self.writes.handle_session(session).is_err() {
            self.give_up_unanswered();
            if self.writes.handle_session(session).is_err() {
                self.writes = Writes::new();
            }
        }
        self.read_only = session.stale;
        self.set_link(LinkState::Online);
        self.note_stale(session.stale);
        self.watch_due = !self.watched.is_empty();
        self.keep_addresses();
        if let Some(wanted) = wanted {
            self.answer(wanted.ticket, Ok(Answer::Done));
        }
        self.sync();
    }

    /// Whether somebody who logs in under that name may be the one whose messages are held here: the node knows who is found by it.
    fn may_be_own(&self, username: &str) -> bool {
        self.model.account.as_ref().is_some_and(|account| found_by(&account.username) == found_by(username))
    }

    /// Why nobody else can log in here: what somebody's device has shown goes when they say so, and not before.
    fn held(&self) -> Option<String> {
        let account = self.model.account.as_ref()?;
        let is_empty =
            self.model.conversations.is_empty() && self.model.outbox.is_empty() && self.model.drafts.is_empty();
        let name = &account.username;
        (!is_empty).then(|| {
            format!(
                "this profile holds the messages of {name}: use another profile, or log {name} out, which forgets them"
            )
        })
    }

    /// Somebody else was let in than whose messages are held here.
    fn not_over(&mut self, why: String) {
        self.fail_entry(Failure::NotNow(why.clone()));
        self.login = None;
        self.hangup = Some(why.clone());
        self.need_login(&why);
    }

    /// Not let in, or not even welcome.
    pub(super) fn entry_refused(&mut self, error: &Error<'_>) {
        let refusal = Refusal { code: error.code, text: error.text.to_owned() };
        if matches!(self.client.state(), State::Lost(_)) || error.code.remedy() == Remedy::Retry {
            // Another node, or this one later.
            self.hangup = Some(error.text.to_owned());
            self.entry_unanswered();
            return;
        }
        match self.entry.take() {
            Some(mut wanted) if error.code == Code::NameTaken && wanted.asked_before && wanted.signup.is_some() => {
                // Taken by the attempt whose answer was lost, if the password is the same.
                wanted.signup = None;
                self.entry = Some(wanted);
                self.enter();
            }
            Some(wanted) => {
                self.answer(wanted.ticket, Err(Failure::Refused(refusal)));
                self.need_login(error.text);
            }
            None => self.logged_out(error.code, error.text),
        }
    }

    /// The connection was lost while somebody was logging in.
    pub(super) fn entry_unanswered(&mut self) {
        if let Some(wanted) = &mut self.entry {
            wanted.asked_before |= wanted.asked;
        }
    }

    /// The node says that this device is not logged in.
    /// `text`: what it says about that, for people.
    pub(super) fn logged_out(&mut self, code: Code, text: &str) {
        self.writes.handle_lost();
        self.syncing = false;
        self.marks_asked = false;
        let why = match code {
            Code::NotLoggedIn => return self.enter(),
            Code::TokenReused => {
                "an old token of this device was used elsewhere, so it was logged out everywhere: log in again, and change the password if that was not you"
            }
            Code::Revoked if !text.is_empty() => text,
            Code::Revoked => "this device was logged out from elsewhere: log in again",
            Code::BadToken => "the node does not know this device any more: log in again",
            Code::BadCredentials => "user name or password are not right any more: log in again",
            _ => "log in again",
        };
        self.login = None;
        let identity = Identity { token: None, ..self.store.identity().clone() };
        if let Err(error) = self.store.set_identity(identity) {
            return self.break_down(error);
        }
        self.need_login(why);
    }

    /// Nothing of the account stays here.
    pub(super) fn leave(&mut self, why: &str) {
        self.login = None;
        let identity = Identity { device: 0, token: None, ..self.store.identity().clone() };
        if let Err(error) = self.store.set_identity(identity) {
            return self.break_down(error);
        }
        self.change(Delta::Wipe);
        self.forget_outbox();
        self.hangup = Some(why.to_owned());
        self.need_login(NOBODY);
    }

    /// Why there is nobody to connect for.
    pub(super) fn nobody(&self) -> String {
        match &self.model.account {
            None => NOBODY.to_owned(),
            Some(account) => format!("this device is not logged in any more: log in again as {}", account.username),
        }
    }

    pub(super) fn need_login(&mut self, why: &str) {
        self.set_link(LinkState::LogInNeeded { why: why.to_owned() });
        self.fail_waiting(&Failure::LogInNeeded(why.to_owned()));
    }

    pub(super) fn fail_entry(&mut self, failure: Failure) {
        if let Some(wanted) = self.entry.take() {
            self.answer(wanted.ticket, Err(failure));
        }
    }

    /// Keeps where the cluster is, the node that was good last in front.
    pub(super) fn keep_addresses(&mut self) {
        if self.store.identity().cluster.is_empty() {
            return;
        }
        let good = self.candidates.last_good();
        let others = self.candidates.addresses().filter(|&address| Some(address) != good);
        let addresses: Vec<_> = good.into_iter().chain(others).map(str::to_owned).collect();
        if addresses != self.kept_addresses {
            if let Err(error) = self.store.set_addresses(addresses.iter().map(|address| &**address)) {
                return self.break_down(error);
            }
            self.kept_addresses = addresses;
        }
    }
}
