//! What each message changes, and what is to be done then.

use client_fltk::command::{Answer, Command, Failure, Password};
use client_fltk::model::{Delta, LinkState, Write, is_aside};
use wire::chat::Code;
use wire::limits::{ITEMS_PER_REQUEST_MAX, VIEW_LIMIT_MAX};

use super::chat::PAGE;
use super::{
    App, Chat, Cmd, Drafts, For, Msg, PEOPLE_PAGE, Page, Question, Setting, TYPING_AGAIN_MS, Tab, Top, UNANSWERED_MS,
    sending, words,
};

/// Takes one message in. `now_ms`: milliseconds since 1970.
pub(crate) fn update(app: &mut App, msg: Msg, now_ms: u64) -> Vec<Cmd> {
    app.now_ms = now_ms;
    let (page, before) = (app.page(), app.chat.as_ref().map(|chat| chat.id));
    // Nothing else changes who there is, and what is unread; typing does neither.
    let is_told = matches!(msg, Msg::Started(_) | Msg::Changed(_));
    let unread = if is_told { app.model.unread_total() } else { 0 };
    let mut cmds = Vec::new();
    match msg {
        Msg::Started(model) => {
            app.drafts = Drafts::from_disk(model.drafts.clone());
            app.model = *model;
            app.is_started = true;
            app.server = None;
            app.entry.is_signup = app.model.account.is_none();
            app.wants_entry = app.model.link.state != LinkState::Online;
        }
        Msg::NotStarted(why) => {
            app.is_started = false;
            app.server = Some(words::sentence(&why));
            cmds.push(Cmd::FocusFirst);
        }
        Msg::Changed(deltas) => {
            let was_online = app.model.link.state == LinkState::Online;
            changed(app, &deltas);
            if !was_online && app.model.link.state == LinkState::Online {
                cmds.extend(ask_again(app));
            }
        }
        Msg::Answered(of, outcome) => cmds.extend(answered(app, of, outcome)),
        Msg::Broken(why) => app.broken = Some(words::sentence(&why)),
        Msg::Tick => {}
        Msg::Focus(has) => app.has_focus = has,
        Msg::Connect(link) => {
            app.server = Some(String::new());
            let host = link.trim().split_once("://").map_or(link.trim(), |(_, rest)| rest);
            host.split('#').next().unwrap_or_default().clone_into(&mut app.wanted);
            cmds.extend(app.drafts.save());
            cmds.push(Cmd::Connect(link));
        }
        Msg::ChangeServer => app.server = Some(String::new()),
        Msg::Enter { username, nickname, password } => cmds.extend(enter(app, &username, nickname, &password)),
        Msg::SwitchEntry => {
            app.entry.is_signup = !app.entry.is_signup;
            app.entry.error = None;
            cmds.push(Cmd::FocusFirst);
        }
        Msg::LogIn => {
            app.wants_entry = true;
            app.entry.is_signup = false;
        }
        Msg::ReadOn => app.wants_entry = false,
        Msg::Tab(tab) => {
            app.tab = tab;
            app.search.text.clear();
            if tab == Tab::Settings {
                app.settings.said = None;
                app.settings.loss = None;
                cmds.push(Cmd::Ask(Command::Devices, For::Devices));
                cmds.push(Cmd::ClearSettings);
            } else {
                cmds.extend(search(app));
            }
        }
        Msg::Search(text) => {
            app.search.text = text;
            cmds.extend(search(app));
        }
        Msg::MorePeople => {
            let skip = app.search.people.len() as u64;
            let serial = app.search.serial;
            cmds.push(ask_people(app, skip, serial));
        }
        Msg::Open(id) => cmds.extend(open(app, id)),
        Msg::Step(step) => {
            let ids = app.model.newest_first();
            let at = app.chat.as_ref().and_then(|chat| ids.iter().position(|&id| id == chat.id));
            let next = at.map_or(Some(0), |at| at.checked_add_signed(step as isize));
            if let Some(&id) = next.and_then(|next| ids.get(next)) {
                cmds.extend(open(app, id));
            }
        }
        Msg::OpenPerson(username) => match app.model.direct(&username).map(|found| found.id) {
            Some(id) => cmds.extend(open(app, id)),
            None => cmds.push(Cmd::Ask(Command::OpenConversation { username }, For::Opening)),
        },
        Msg::Back => cmds.extend(back(app)),
        Msg::Uncover => {
            app.question = None;
            app.chat = None;
        }
        Msg::Find => {
            if app.tab == Tab::Settings {
                app.tab = Tab::Chats;
            }
            cmds.push(Cmd::FocusSearch);
        }
        Msg::Reconnect => cmds.push(Cmd::Ask(Command::ConnectNow, For::Nothing)),
        Msg::Copy(text) => cmds.push(Cmd::Copy(text)),
        Msg::Follow(address) => cmds.push(Cmd::Follow(address)),
        Msg::Nickname(nickname) => {
            let nickname = nickname.trim().to_owned();
            if nickname.is_empty() {
                app.settings.say(Setting::Nickname, false, "A nickname is needed.");
            } else {
                cmds.push(setting(app, Setting::Nickname, Command::Nickname(nickname)));
            }
        }
        Msg::ViewLimit(text) => match text.trim().parse::<u32>() {
            Ok(limit) if (1..=VIEW_LIMIT_MAX).contains(&limit) => {
                cmds.push(setting(app, Setting::ViewLimit, Command::ViewLimit(u64::from(limit))));
            }
            _ => app.settings.say(Setting::ViewLimit, false, format!("A number from 1 to {VIEW_LIMIT_MAX} is needed.")),
        },
        Msg::Password { old, new, again } => match password_trouble(&old, &new, &again) {
            Some(trouble) => app.settings.say(Setting::Password, false, trouble),
            None => {
                let command = Command::ChangePassword { old: Password::of(&old), new: Password::of(&new) };
                cmds.push(setting(app, Setting::Password, command));
            }
        },
        Msg::Revoke(device) => cmds.push(Cmd::Ask(Command::Revoke { device }, For::Devices)),
        Msg::LogOut => {
            let waiting = app.model.outbox.values().filter(|one| one.write.is_send()).count();
            app.ask(Question::LogOut(waiting));
        }
        Msg::DeleteAccount { password } if password.is_empty() => {
            app.settings.say(Setting::Account, false, "The password is needed.");
        }
        Msg::DeleteAccount { .. } if app.settings.loss.is_some() && is_too_soon(app) => {}
        Msg::DeleteAccount { password } => {
            let confirm = app.settings.loss.is_some();
            app.settings.waiting = Some(Setting::Account);
            let command = Command::DeleteAccount { password: Password::of(&password), confirm };
            cmds.push(Cmd::Ask(command, if confirm { For::Leaving } else { For::Loss }));
        }
        Msg::Theme(theme) => {
            app.settings.theme = theme;
            cmds.push(Cmd::Keep(theme));
        }
        Msg::Confirm => cmds.extend(confirm(app)),
        Msg::Send { conversation, text } => cmds.extend(sending::send(app, conversation, &text)),
        Msg::SendLong(conversation) => sending::ask_for_parts(app, conversation),
        Msg::TooLong { bytes } => app.notice = Some(sending::too_long(bytes)),
        Msg::Left => cmds.extend(app.drafts.save()),
        Msg::Typed { conversation, text } => cmds.extend(typed(app, conversation, &text)),
        msg => cmds.extend(in_chat(app, msg)),
    }
    if app.page() != page {
        app.question = None;
        app.notice = None;
        app.entry.error = None;
        app.entry.waiting = false;
        cmds.push(Cmd::FocusFirst);
    }
    if app.chat.as_ref().map(|chat| chat.id) != before {
        cmds.extend(app.drafts.save());
    }
    cmds.extend(app.drafts.save_due(now_ms));
    if is_told || app.page() != page {
        watch(app, &mut cmds);
    }
    let arrived = is_told && page == Page::Main && app.model.unread_total() > unread;
    if app.has_focus == app.wants_attention && (app.has_focus || arrived) {
        app.wants_attention = !app.has_focus;
        cmds.push(Cmd::Attention(app.wants_attention));
    }
    cmds
}

fn changed(app: &mut App, deltas: &[Delta]) {
    app.model.apply_all(deltas);
    if deltas.iter().any(|delta| matches!(delta, Delta::Wipe)) {
        app.chat = None;
        app.drafts = Drafts::default();
        app.tab = Tab::Chats;
        app.question = None;
        app.search = super::Search::default();
        app.settings = super::Settings { theme: app.settings.theme, ..super::Settings::default() };
    }
    let is_set_aside = deltas.iter().any(|delta| matches!(delta, Delta::SetAside));
    if is_set_aside {
        app.notice = Some(words::SET_ASIDE.to_owned());
    }
    let is_online = app.model.link.state == LinkState::Online;
    // Who is logged out later stays with what they read, and is told there.
    app.wants_entry &= !is_online;
    let Some(chat) = &mut app.chat else { return };
    if is_set_aside {
        *chat = Chat { id: chat.id, ..Chat::default() };
    }
    if is_online && deltas.iter().any(|delta| matches!(delta, Delta::Link(_))) {
        chat.out_of_reach = false;
    }
    chat.refresh(&app.model);
    // Who has said something here, on whatever device, has seen what was new.
    let me = app.model.me();
    for delta in deltas {
        if let Delta::Message { conversation, message, way: client_fltk::model::Way::Stream } = delta
            && *conversation == chat.id
            && message.sender == me
        {
            chat.new_from = None;
        }
    }
}

fn enter(app: &mut App, username: &str, nickname: String, password: &str) -> Option<Cmd> {
    if app.entry.waiting {
        return None;
    }
    let username = username.trim();
    app.entry.error = app.entry.check(username, password);
    if app.entry.error.is_some() {
        return None;
    }
    app.entry.waiting = true;
    let (username, password) = (username.to_owned(), Password::of(password));
    let command = match app.entry.is_signup {
        true => Command::SignUp { username, nickname: nickname.trim().to_owned(), password },
        false => Command::LogIn { username, password },
    };
    Some(Cmd::Ask(command, For::Entry))
}

fn open(app: &mut App, id: u64) -> Vec<Cmd> {
    if app.tab == Tab::Settings {
        app.tab = Tab::Chats;
    }
    let mut cmds = Vec::new();
    if !app.search.text.is_empty() {
        cmds.extend(end_search(app));
    }
    app.question = None;
    app.notice = None;
    if app.chat.as_ref().is_some_and(|chat| chat.id == id) {
        cmds.push(Cmd::FocusFirst);
        return cmds;
    }
    cmds.extend(stop_typing(app));
    app.model.trim(Some(id));
    app.chat = Some(Chat::open(&app.model, id));
    let text = app.drafts.of(id).to_owned();
    cmds.extend([Cmd::ShowChat, Cmd::Write { conversation: id, text }]);
    cmds
}

/// Out of what is on top.
fn back(app: &mut App) -> Option<Cmd> {
    match app.on_top() {
        Some(Top::Question) => app.question = None,
        Some(Top::Notice) => app.notice = None,
        Some(Top::Server) => app.server = None,
        Some(Top::Choosing) => app.chat.iter_mut().for_each(Chat::choose_no_more),
        Some(Top::Search) => return end_search(app),
        Some(Top::Settings) => app.tab = Tab::Chats,
        Some(Top::Chat) => app.chat = None,
        None => {}
    }
    None
}

/// Shows everybody again, where that is what is shown.
fn end_search(app: &mut App) -> Option<Cmd> {
    app.search.text.clear();
    search(app)
}

/// What is on the screen and could not be answered without a connection.
fn ask_again(app: &mut App) -> Vec<Cmd> {
    let mut cmds = Vec::new();
    if app.search.failure.is_some() {
        cmds.extend(search(app));
    }
    if app.tab == Tab::Settings && app.settings.devices.is_empty() {
        cmds.push(Cmd::Ask(Command::Devices, For::Devices));
    }
    cmds
}

fn search(app: &mut App) -> Option<Cmd> {
    app.search.serial += 1;
    app.search.failure = None;
    app.search.people.clear();
    app.search.total = 0;
    app.search.waiting = app.tab == Tab::People || !app.search.text.trim().is_empty();
    let serial = app.search.serial;
    app.search.waiting.then(|| ask_people(app, 0, serial))
}

fn ask_people(app: &App, skip: u64, serial: u64) -> Cmd {
    let text = app.search.text.trim();
    let pattern = match text {
        "" => String::new(),
        text if text.contains(['*', '?']) => text.to_owned(),
        text => format!("*{text}*"),
    };
    Cmd::Ask(Command::Users { pattern, skip, limit: PEOPLE_PAGE }, For::People { serial })
}

fn setting(app: &mut App, which: Setting, command: Command) -> Cmd {
    app.settings.waiting = Some(which);
    app.settings.said = None;
    Cmd::Ask(command, For::Setting(which))
}

fn password_trouble(old: &str, new: &str, again: &str) -> Option<&'static str> {
    match () {
        () if old.is_empty() => Some("The password you have now is needed."),
        () if new.is_empty() => Some("A new password is needed."),
        () if new != again => Some("The two new passwords are not the same."),
        () => None,
    }
}

/// What happens in the open conversation.
fn in_chat(app: &mut App, msg: Msg) -> Vec<Cmd> {
    let Some(chat) = &mut app.chat else { return Vec::new() };
    let conversation = chat.id;
    match msg {
        Msg::Seen(upto) => {
            let Some(found) = app.model.conversations.get(&conversation) else { return Vec::new() };
            let upto = upto.min(found.readable());
            if app.has_focus && upto > found.read(app.model.me()) {
                return vec![Cmd::Ask(Command::MarkRead { conversation, upto }, For::Nothing)];
            }
        }
        Msg::Viewing { first, last } => chat.let_go(&mut app.model, first, last),
        Msg::Need { before } if chat.asked.is_none() && !chat.out_of_reach => {
            chat.asked = Some(before);
            let command = Command::History { conversation, before, limit: PAGE };
            return vec![Cmd::Ask(command, For::History { conversation, before })];
        }
        Msg::Next if !chat.next_asked => {
            chat.next_asked = true;
            return vec![Cmd::Ask(Command::Next { conversation }, For::Next(conversation))];
        }
        Msg::Newest => {
            let last = app.model.conversations.get(&conversation).map_or(0, |found| found.last_number);
            if !chat.loaded.covers(last, last) && chat.asked.is_none() {
                chat.asked = Some(0);
                let command = Command::History { conversation, before: 0, limit: PAGE };
                return vec![Cmd::Ask(command, For::History { conversation, before: 0 }), Cmd::ShowNewest];
            }
            return vec![Cmd::ShowNewest];
        }
        Msg::FirstNew => return vec![Cmd::ShowNew],
        Msg::Choose(first) => {
            chat.choosing = true;
            chat.chosen.extend(first);
        }
        Msg::Toggle(number) => {
            chat.choosing = true;
            if !chat.chosen.remove(&number) {
                chat.chosen.insert(number);
            }
        }
        Msg::CopyChosen => {
            let messages = app.model.conversations.get(&conversation).map(|found| &found.messages);
            let texts: Vec<_> = chat.chosen.iter().filter_map(|number| Some(&*messages?.get(number)?.text)).collect();
            let text = texts.join("\n");
            chat.choose_no_more();
            return vec![Cmd::Copy(text)];
        }
        Msg::DeleteChosen | Msg::DeleteOne(_) => {
            let me = app.model.me();
            let messages = app.model.conversations.get(&conversation).map(|found| &found.messages);
            let is_own = |number: &u64| messages.and_then(|all| all.get(number)).is_some_and(|one| one.sender == me);
            let wanted = match msg {
                Msg::DeleteOne(number) => vec![number],
                _ => chat.chosen.iter().copied().collect(),
            };
            let own: Vec<_> = wanted.into_iter().filter(is_own).collect();
            match own.len() {
                0 => app.notice = Some("Only messages of your own can be deleted.".to_owned()),
                1..=ITEMS_PER_REQUEST_MAX => app.ask(Question::Delete(own)),
                _ => app.notice = Some(format!("At most {ITEMS_PER_REQUEST_MAX} messages can be deleted at once.")),
            }
        }
        Msg::Clear => {
            let last = app.model.conversations.get(&conversation).map_or(0, |found| found.last_number);
            app.ask(Question::Clear(last));
        }
        Msg::Discard(key) => return vec![Cmd::Ask(Command::Discard { key }, For::Telling)],
        Msg::Rewrite(key) => {
            if let Some(Write::Send { text, .. }) = app.model.outbox.get(&key).map(|outgoing| &outgoing.write) {
                // Behind what was begun meanwhile.
                let text = [app.drafts.of(conversation), text].map(str::trim_end).join("\n").trim_start().to_owned();
                app.drafts.write(conversation, &text, app.now_ms);
                let mut cmds = app.drafts.save();
                cmds.push(Cmd::Ask(Command::Discard { key }, For::Telling));
                cmds.push(Cmd::Write { conversation, text });
                return cmds;
            }
        }
        _ => {}
    }
    Vec::new()
}

/// Whether nobody can have read yet what is to be confirmed.
fn is_too_soon(app: &App) -> bool {
    app.now_ms < app.asked_ms.saturating_add(UNANSWERED_MS)
}

fn confirm(app: &mut App) -> Vec<Cmd> {
    // What can be written again may be sent as fast as somebody types.
    let destroys = !matches!(app.question, Some(Question::Parts(_)));
    if destroys && is_too_soon(app) {
        return Vec::new();
    }
    let Some(question) = app.question.take() else { return Vec::new() };
    let conversation = app.chat.as_ref().map_or(0, |chat| chat.id);
    let command = match question {
        Question::Delete(numbers) => {
            app.chat.iter_mut().for_each(Chat::choose_no_more);
            Command::Delete { conversation, numbers }
        }
        Question::Clear(upto) => Command::Clear { conversation, upto },
        Question::LogOut(_) => return vec![Cmd::Ask(Command::LogOut, For::Telling)],
        Question::Parts(_) => return sending::send_parts(app, conversation),
    };
    vec![Cmd::Ask(command, For::Telling)]
}

fn typed(app: &mut App, conversation: u64, text: &str) -> Vec<Cmd> {
    let has_changed = app.drafts.write(conversation, text, app.now_ms);
    if !has_changed || app.chat.as_ref().is_none_or(|chat| chat.id != conversation) {
        return Vec::new();
    }
    if text.is_empty() {
        return stop_typing(app);
    }
    if app.now_ms < app.typing_until_ms {
        return Vec::new();
    }
    app.typing_until_ms = app.now_ms + TYPING_AGAIN_MS;
    vec![Cmd::Ask(Command::Typing { conversation, on: true }, For::Nothing)]
}

pub(super) fn stop_typing(app: &mut App) -> Vec<Cmd> {
    match &app.chat {
        Some(chat) if app.typing_until_ms > 0 => {
            app.typing_until_ms = 0;
            vec![Cmd::Ask(Command::Typing { conversation: chat.id, on: false }, For::Nothing)]
        }
        _ => Vec::new(),
    }
}

/// Whose presence is told: everybody one has a conversation with.
fn watch(app: &mut App, cmds: &mut Vec<Cmd>) {
    if app.page() != Page::Main {
        return;
    }
    let me = app.model.me();
    let newest = app.model.newest_first();
    let members = newest.iter().filter_map(|id| app.model.conversations.get(id)).flat_map(|one| one.members.keys());
    let mut wanted: Vec<_> =
        members.copied().filter(|&user| user != me && !is_aside(user)).take(ITEMS_PER_REQUEST_MAX).collect();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted != app.watched {
        app.watched.clone_from(&wanted);
        cmds.push(Cmd::Ask(Command::Watch(wanted), For::Nothing));
    }
}

fn answered(app: &mut App, of: For, outcome: Result<Answer, Failure>) -> Vec<Cmd> {
    match (of, outcome) {
        (For::Draft(conversation), Err(_)) => app.drafts.not_saved(conversation, app.now_ms),
        (For::Sending { conversation, text }, Err(Failure::Busy(why))) => {
            return sending::put_back(app, conversation, &text, &why);
        }
        (For::Sending { .. }, Ok(_))
        | (For::Draft(_), Ok(_))
        | (For::Nothing, _)
        | (For::Telling, Ok(_))
        | (For::Entry, Ok(_)) => {}
        (For::Entry, Err(failure)) => app.entry.refused(&failure),
        (For::Opening, Ok(Answer::Opened(id))) => return open(app, id),
        (For::History { conversation, before }, outcome) => history(app, conversation, before, outcome),
        (For::Next(conversation), outcome) => {
            if let Some(chat) = app.chat.as_mut().filter(|chat| chat.id == conversation) {
                chat.next_asked = false;
                chat.refresh(&app.model);
            }
            if let Err(failure) = outcome {
                app.notice = Some(words::failure(&failure));
            }
        }
        (For::People { serial }, outcome) if serial == app.search.serial => {
            app.search.waiting = false;
            match outcome {
                Ok(Answer::People { people, total, .. }) => {
                    app.search.people.extend(people);
                    app.search.total = total;
                }
                Ok(_) => {}
                Err(failure) => app.search.failure = Some(words::failure(&failure)),
            }
        }
        (For::People { .. }, _) => {}
        (For::Setting(setting), Ok(_)) => {
            app.settings.say(
                setting,
                true,
                match setting {
                    Setting::Password => "Changed. Other devices have to log in again.",
                    _ => "Saved.",
                },
            );
            if setting == Setting::Password {
                return vec![Cmd::ClearSettings, Cmd::Ask(Command::Devices, For::Devices)];
            }
        }
        (For::Setting(setting), Err(failure)) => app.settings.say(setting, false, refusal(&failure)),
        (For::Devices, Ok(Answer::Devices(devices))) => app.settings.devices = devices,
        (For::Devices, Ok(_)) => return vec![Cmd::Ask(Command::Devices, For::Devices)],
        // The page shows that nothing is known.
        (For::Devices, Err(_)) => {}
        (For::Loss, Ok(Answer::Count(loss))) => {
            app.settings.waiting = None;
            app.settings.said = None;
            app.settings.loss = Some(loss);
            app.asked_ms = app.now_ms;
        }
        (For::Loss | For::Leaving, Err(failure)) => app.settings.say(Setting::Account, false, refusal(&failure)),
        (For::Loss | For::Leaving, Ok(_)) => app.settings.waiting = None,
        (For::Telling | For::Opening | For::Sending { .. }, Err(failure)) => app.notice = notice(&failure),
        (For::Opening, Ok(_)) => {}
    }
    Vec::new()
}

/// A refusal under a field.
fn refusal(failure: &Failure) -> String {
    match failure {
        Failure::Refused(refusal) if refusal.code == Code::WrongPassword => "The password is wrong.".to_owned(),
        failure => words::failure(failure),
    }
}

/// A failure that belongs to no field. A message that is refused is seen where it stands.
fn notice(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Refused(refusal) if refusal.code == Code::PeerGone => {
            Some("They have deleted their account and get no more messages.".to_owned())
        }
        failure => Some(words::failure(failure)),
    }
}

fn history(app: &mut App, conversation: u64, before: u64, outcome: Result<Answer, Failure>) {
    let Some(chat) = app.chat.as_mut().filter(|chat| chat.id == conversation) else { return };
    chat.asked = None;
    let Some(found) = app.model.conversations.get(&conversation) else { return };
    match outcome {
        Ok(Answer::Messages { messages, more, stale, .. }) => {
            let numbers: Vec<_> = messages.iter().map(|message| message.number).collect();
            if stale && !found.spans.covers(numbers.iter().copied().min().unwrap_or(before), before.saturating_sub(1)) {
                // What is here, with holes; a server would know more.
                chat.out_of_reach = true;
                numbers.iter().for_each(|&number| chat.loaded.add(number, number));
            } else {
                chat.arrived(found, before, &numbers, more);
            }
        }
        Ok(_) => {}
        Err(_) => chat.out_of_reach = true,
    }
}
