//! The page on which one logs in or signs up.

use fltk::enums::FrameType;
use fltk::group::Group;
use fltk::prelude::*;
use fltk::widget::Widget;

use super::button::{Button, Style};
use super::field::{Field, Kind};
use super::{Ui, canvas};
use crate::app::{EntryField, Msg, words};
use crate::look::paint::{self, Face, PLAIN, Rect, SMALL};
use crate::look::sizes;

/// The parts from top to bottom, and how high each is.
const HEAD: i32 = 84;
const LABEL: i32 = 20;
const FIELD: i32 = sizes::FIELD + 2;
const UNDER: i32 = 26;

pub(super) struct Entry {
    pub(super) group: Group,
    page: Widget,
    username: Field,
    nickname: Field,
    password: Field,
    send: Button,
    switch: Button,
    server: Button,
}

impl Entry {
    pub(super) fn new(ui: &Ui) -> Self {
        let mut group = Group::new(0, 0, 0, 0, None);
        group.set_frame(FrameType::NoBox);
        let page = canvas(ui, draw);
        let mut username = Field::new(ui, Kind::Line, "");
        let mut nickname = Field::new(ui, Kind::Line, "As others see you; empty: the user name");
        let mut password = Field::new(ui, Kind::Secret, "");
        let form = {
            let (username, nickname, password) = (username.clone(), nickname.clone(), password.clone());
            move || Msg::Enter { username: username.value(), nickname: nickname.value(), password: password.value() }
        };
        for field in [&mut username, &mut nickname, &mut password] {
            field.on_enter(ui, form.clone());
        }
        let send = Button::new(ui, Style::Primary, "Log in", form);
        let switch = Button::new(ui, Style::Link, "Sign up", || Msg::SwitchEntry);
        let server = Button::new(ui, Style::Link, "Change server", || Msg::ChangeServer);
        group.end();
        group.resizable(&Widget::default());
        Self { group, page, username, nickname, password, send, switch, server }
    }

    /// The fields from top to bottom, with their tops relative to the form.
    fn tops(is_signup: bool) -> (i32, i32, i32, i32) {
        let one = LABEL + FIELD + UNDER;
        let nickname = HEAD + one;
        let password = if is_signup { nickname + one } else { nickname };
        (HEAD, nickname, password, password + one)
    }

    fn form(x: i32, y: i32, w: i32, h: i32, is_signup: bool) -> Rect {
        let width = sizes::FORM.min(w - 2 * sizes::PAD);
        let height = Self::tops(is_signup).3 + 170;
        Rect::new(x + (w - width) / 2, y + ((h - height) / 2).max(sizes::PAD), width, height)
    }

    pub(super) fn place(&mut self, x: i32, y: i32, w: i32, h: i32, is_signup: bool) {
        self.group.widget_resize(x, y, w, h);
        self.page.resize(x, y, w, h);
        let form = Self::form(x, y, w, h, is_signup);
        let (username, nickname, password, send) = Self::tops(is_signup);
        self.username.place(form.x, form.y + username + LABEL, form.w, FIELD);
        self.nickname.place(form.x, form.y + nickname + LABEL, form.w, FIELD);
        self.password.place(form.x, form.y + password + LABEL, form.w, FIELD);
        self.send.resize(form.x, form.y + send + 4, form.w, FIELD);
        let switch = self.switch.wanted();
        self.switch.resize(form.x + (form.w + 110 - switch) / 2, form.y + send + 54, switch, 30);
        self.server.resize(form.x + form.w - 112, form.y + send + 116, 112, 28);
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
            (true, false) => "Sign up",
            (true, true) => "Signing up…",
            (false, false) => "Log in",
            (false, true) => "Logging in…",
        });
        self.send.enable(!entry.waiting);
        self.switch.say(if entry.is_signup { "Log in" } else { "Sign up" });
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
    let form = Entry::form(rect.x, rect.y, rect.w, rect.h, entry.is_signup);
    let title = Face { bold: true, size: sizes::TITLE };
    paint::line("Samira", Rect::new(form.x, form.y, form.w, 32), title, palette.text);
    let what = match (app.why_entry(), entry.is_signup) {
        (Some(why), _) => why,
        (None, true) => "Make an account".to_owned(),
        (None, false) => "Log in".to_owned(),
    };
    paint::line(&what, Rect::new(form.x, form.y + 38, form.w, 24), PLAIN, palette.text_dim);
    let (username, nickname, password, send) = Entry::tops(entry.is_signup);
    let label = |top: i32, text: &str| {
        paint::line(text, Rect::new(form.x, form.y + top, form.w, LABEL - 2), SMALL, palette.text_dim);
    };
    label(username, "Username");
    if entry.is_signup {
        label(nickname, "Nickname");
    }
    label(password, "Password");
    if let Some((field, error)) = &entry.error {
        let top = match field {
            EntryField::Username => username + LABEL + FIELD,
            EntryField::Password | EntryField::Form => password + LABEL + FIELD,
        };
        let under = Rect::new(form.x, form.y + top + 2, form.w, 20);
        paint::line(error, under, SMALL, palette.danger_text);
    }
    let question = if entry.is_signup { "Have an account?" } else { "No account yet?" };
    let row = form.y + send + 54;
    let width = PLAIN.width(question).ceil() as i32;
    paint::line(question, Rect::new(form.x + (form.w - 70 - width) / 2, row, width + 4, 30), PLAIN, palette.text_dim);
    paint::horizontal(form.x, form.y + send + 104, form.w, palette.line);
    let server = Rect::new(form.x, form.y + send + 116, form.w - 120, 28);
    paint::line(&words::server(&app.model.link, &app.wanted), server, SMALL, palette.text_dim);
}
