//! The page on which one logs in or signs up.

use accesskit::Role;
use fltk::enums::FrameType;
use fltk::group::Group;
use fltk::prelude::*;
use fltk::widget::Widget;

use super::button::{Button, Style};
use super::field::{Field, Kind};
use super::spoken::Words;
use super::{Ui, canvas, show};
use crate::app::{App, EntryField, Msg, words};
use crate::look::paint::{self, Face, PLAIN, Rect, SMALL};
use crate::look::sizes;

/// From the top of the form to what is said under its title.
const HEAD: i32 = 36;
/// Under that.
const UNDER_HEAD: i32 = 24;
/// The same where the window is as low as it may be.
const UNDER_HEAD_MIN: i32 = 4;
/// Windows of less than this are low.
const LOW: i32 = 480;
const LABEL: i32 = 18;
const FIELD: i32 = sizes::FIELD + 2;
/// Under a field: one line that says what is wrong with it.
const UNDER: i32 = 26;
/// Under a field that nothing is wrong with, where the window is low.
const UNDER_MIN: i32 = 0;
/// The button, and all that is under it.
const FOOT: i32 = 144;

pub(super) struct Entry {
    pub(super) group: Group,
    page: Widget,
    username: Field,
    nickname: Field,
    password: Field,
    send: Button,
    switch: Button,
    read: Button,
    forget: Button,
    server: Button,
}

/// Where the parts of the form are, however many lines it takes to say what is wrong.
struct Form {
    x: i32,
    w: i32,
    /// Tops, from top to bottom.
    title: i32,
    username: i32,
    nickname: i32,
    password: i32,
    send: i32,
}

impl Form {
    fn of(app: &App, page: Rect) -> Self {
        let w = sizes::FORM.min(page.w - 2 * sizes::PAD);
        let error = |at: EntryField| {
            let error = app.entry.error.as_ref().filter(|(field, _)| under(*field) == at);
            error.map_or(0, |(_, error)| paint::height_of_lines(error, w, SMALL) + 10)
        };
        let (wrong_name, wrong_password) = (error(EntryField::Username), error(EntryField::Password));
        let username = HEAD + paint::height_of_lines(&head(app).0, w, PLAIN);
        let username = username + if page.h < LOW { UNDER_HEAD_MIN } else { UNDER_HEAD };
        let tops = |under: i32| {
            let nickname = username + LABEL + FIELD + wrong_name.max(under);
            let password = if app.entry.is_signup { nickname + LABEL + FIELD + under } else { nickname };
            (nickname, password, password + LABEL + FIELD + wrong_password.max(under))
        };
        let room = page.h - 2 * sizes::PAD - FOOT;
        let under = (UNDER_MIN..=UNDER).rev().find(|&under| tops(under).2 <= room).unwrap_or(UNDER_MIN);
        let (nickname, password, send) = tops(under);
        // Half a line higher than the middle, where it looks like the middle.
        let title = page.y + ((page.h - send - FOOT) / 2 - UNDER / 2).max(sizes::PAD);
        let [username, nickname, password, send] = [username, nickname, password, send].map(|top| title + top);
        Self { x: page.x + (page.w - w) / 2, w, title, username, nickname, password, send }
    }
}

/// Under which field it is said what is wrong: that of the whole form is above its button.
fn under(field: EntryField) -> EntryField {
    match field {
        EntryField::Username => EntryField::Username,
        EntryField::Password | EntryField::Form => EntryField::Password,
    }
}

/// Whether somebody's messages are here. Nobody can sign up over them, so that what can be done with them takes that place.
fn is_held(app: &App) -> bool {
    app.model.account.is_some()
}

/// What is said under the title, and whether it is bad news.
fn head(app: &App) -> (String, bool) {
    if let Some(question) = &app.question {
        return (question.words().0, true);
    }
    let what = || if app.entry.is_signup { "Make an account" } else { "Log in" }.to_owned();
    match app.why_no_entry() {
        Some(why) => (why, true),
        None => (app.why_entry().unwrap_or_else(what), false),
    }
}

impl Entry {
    pub(super) fn new(ui: &Ui) -> Self {
        let mut group = Group::new(0, 0, 0, 0, None);
        group.set_frame(FrameType::NoBox);
        let page = canvas(ui, draw);
        Words::join(ui, &page, Role::Heading, false, |app| Some(format!("Samira. {}", head(app).0)));
        Words::join(ui, &page, Role::Status, true, |app| app.entry.error.as_ref().map(|(_, error)| error.clone()));
        let mut username = Field::new(ui, Kind::Line, "").named("Username");
        let mut nickname = Field::new(ui, Kind::Line, "As others see you; empty: the user name").named("Nickname");
        let mut password = Field::new(ui, Kind::Secret, "").named("Password");
        let form = {
            let (username, nickname, password) = (username.clone(), nickname.clone(), password.clone());
            move || Msg::Enter { username: username.value(), nickname: nickname.value(), password: password.value() }
        };
        for field in [&mut username, &mut nickname, &mut password] {
            field.on_enter(ui, form.clone());
        }
        let send = Button::new(ui, Style::Primary, "Log in", form);
        let switch = Button::new(ui, Style::Link, "Sign up", || Msg::SwitchEntry);
        let read = Button::new(ui, Style::Link, "Read what is here", || Msg::ReadOn);
        let forget = {
            let state = ui.clone();
            Button::new(ui, Style::Link, "Forget it…", move || match state.app().question {
                Some(_) => Msg::Confirm,
                None => Msg::LogOut,
            })
        };
        let server = Button::new(ui, Style::Link, "Change server", || Msg::ChangeServer);
        group.end();
        group.resizable(&Widget::default());
        Self { group, page, username, nickname, password, send, switch, read, forget, server }
    }

    pub(super) fn place(&mut self, ui: &Ui, page: Rect) {
        self.group.widget_resize(page.x, page.y, page.w, page.h);
        self.page.resize(page.x, page.y, page.w, page.h);
        let Form { x, w, username, nickname, password, send, .. } = Form::of(&ui.app(), page);
        self.username.place(x, username + LABEL, w, FIELD);
        self.nickname.place(x, nickname + LABEL, w, FIELD);
        self.password.place(x, password + LABEL, w, FIELD);
        self.send.resize(x, send + 4, w, FIELD);
        let switch = self.switch.wanted();
        self.switch.resize(x + (w + 110 - switch) / 2, send + 54, switch, 30);
        let (read, forget) = (self.read.wanted(), self.forget.wanted());
        self.read.resize(x, send + 54, read, 30);
        self.forget.resize(x + w - forget, send + 54, forget, 30);
        self.server.resize(x + w - 112, send + 116, 112, 28);
    }

    pub(super) fn sync(&mut self, ui: &Ui) {
        let app = ui.app();
        let entry = &app.entry;
        let wrong = |field| entry.error.as_ref().is_some_and(|(at, _)| *at == field);
        self.username.sync(ui, wrong(EntryField::Username));
        self.nickname.sync(ui, false);
        self.password.sync(ui, wrong(EntryField::Password));
        self.nickname.shown(entry.is_signup);
        self.send.say(match (entry.is_signup, entry.waiting) {
            (_, true) if app.why_no_entry().is_some() => "Waiting for a server…",
            (true, false) => "Sign up",
            (true, true) => "Signing up…",
            (false, false) => "Log in",
            (false, true) => "Logging in…",
        });
        self.send.enable(!entry.waiting);
        self.switch.say(if entry.is_signup { "Log in" } else { "Sign up" });
        let is_held = is_held(&app);
        show(&mut *self.switch, !is_held);
        show(&mut *self.read, is_held);
        show(&mut *self.forget, is_held);
        self.forget.say(if app.question.is_some() { "Forget it now" } else { "Forget it…" });
        self.page.redraw();
    }

    /// Puts the keyboard where one begins.
    pub(super) fn focus(&mut self, ui: &Ui) {
        let known = ui.app().model.account.as_ref().map(|account| account.username.clone());
        if self.username.value().is_empty()
            && let Some(known) = known
        {
            self.username.set_value(&known);
        }
        if self.username.value().is_empty() { self.username.focus() } else { self.password.focus() }
    }

    /// Nobody who comes after is to find a password here.
    pub(super) fn forget(&mut self) {
        self.password.set_value("");
    }
}

fn draw(page: &Widget, ui: &Ui) {
    let (app, palette) = (ui.app(), ui.palette());
    let rect = Rect::of(page);
    paint::fill(rect, palette.surface);
    let entry = &app.entry;
    let Form { x, w, title, username, nickname, password, send } = Form::of(&app, rect);
    let bold = Face { bold: true, size: sizes::TITLE };
    paint::line("Samira", Rect::new(x, title, w, 32), bold, palette.text);
    let (what, is_bad) = head(&app);
    paint::lines(&what, (x, title + HEAD), w, PLAIN, if is_bad { palette.danger_text } else { palette.text_dim });
    let label = |top: i32, text: &str| {
        paint::line(text, Rect::new(x, top, w, LABEL - 2), SMALL, palette.text_dim);
    };
    label(username, "Username");
    if entry.is_signup {
        label(nickname, "Nickname");
    }
    label(password, "Password");
    if let Some((field, error)) = &entry.error {
        let top = if under(*field) == EntryField::Username { username } else { password };
        paint::lines(error, (x, top + LABEL + FIELD + 2), w, SMALL, palette.danger_text);
    }
    if !is_held(&app) {
        let question = if entry.is_signup { "Have an account?" } else { "No account yet?" };
        let width = PLAIN.width(question).ceil() as i32;
        paint::line(question, Rect::new(x + (w - 70 - width) / 2, send + 54, width + 4, 30), PLAIN, palette.text_dim);
    }
    paint::horizontal(x, send + 104, w, palette.line);
    let server = Rect::new(x, send + 116, w - 120, 28);
    paint::line(&words::server(&app.model.link, &app.wanted), server, SMALL, palette.text_dim);
}
