//! The settings page.

use accesskit::Role;
use fltk::enums::FrameType;
use fltk::group::{Group, Scroll, ScrollType};
use fltk::prelude::*;
use fltk::widget::Widget;

use super::button::{Button, Style};
use super::field::{Field, Kind};
use super::spoken::Words;
use super::{Ui, canvas, head_left, show};
use crate::app::{App, Msg, Question, Setting, Theme, words};
use crate::look::paint::{self, BOLD, Face, PLAIN, Rect, SMALL};
use crate::look::{Palette, sizes};

/// How wide the page is at most.
const WIDTH: i32 = 440;

/// One turn of the wheel, pixels.
const WHEEL: i32 = 60;

/// Devices that are listed; the node tells no more.
const DEVICES_MAX: usize = wire::limits::DEVICE_LIST_ITEMS_MAX;

/// A section: its name, what it explains, and how high its fields are.
const SECTION_HEAD: i32 = 52;
const FIELD: i32 = sizes::FIELD;
const UNDER: i32 = 24;
const SPACE: i32 = 20;

pub(super) struct Settings {
    pub(super) group: Group,
    back: Button,
    head: Widget,
    scroll: Scroll,
    page: Widget,
    nickname: Field,
    save_nickname: Button,
    limit: Field,
    save_limit: Button,
    old: Field,
    new: Field,
    again: Field,
    save_password: Button,
    revoke: Vec<Button>,
    dark: Button,
    light: Button,
    contrast: Button,
    log_out: Button,
    stay: Button,
    sure: Field,
    delete: Button,
    place: Rect,
    is_narrow: bool,
}

/// Where each section begins, from the top of the page.
struct Tops {
    nickname: i32,
    nickname_field: i32,
    limit: i32,
    password: i32,
    devices: i32,
    theme: i32,
    log_out: i32,
    log_out_button: i32,
    account: i32,
    sure: i32,
    delete: i32,
    end: i32,
}

impl Tops {
    /// `width`: of the page. Texts that are not always the same take as many lines as they need.
    fn of(app: &App, width: i32) -> Self {
        let lines = |text: &str| paint::height_of_lines(text, width, SMALL);
        let under = |setting| app.settings.under(setting).map_or(0, |(_, text)| lines(text) + 4).max(UNDER);
        let nickname = 24;
        let nickname_field = nickname + SECTION_HEAD - sizes::LINE + lines(&known_as(app));
        let limit = nickname_field + FIELD + under(Setting::Nickname) + SPACE;
        let password = limit + SECTION_HEAD + FIELD + under(Setting::ViewLimit) + SPACE;
        let devices = password + SECTION_HEAD + 4 * (FIELD + 8) + under(Setting::Password) + SPACE;
        let theme = devices + SECTION_HEAD + 48 * app.settings.devices.len().clamp(1, DEVICES_MAX) as i32 + SPACE;
        let log_out = theme + 32 + FIELD + SPACE + 8;
        let log_out_button = log_out + SECTION_HEAD - sizes::LINE + lines(&leaving(app));
        let account = log_out_button + FIELD + SPACE;
        let sure = account + SECTION_HEAD + lines(&loss(app));
        let delete = sure + FIELD + under(Setting::Account);
        let end = delete + FIELD + 46;
        Self {
            nickname,
            nickname_field,
            limit,
            password,
            devices,
            theme,
            log_out,
            log_out_button,
            account,
            sure,
            delete,
            end,
        }
    }
}

impl Settings {
    pub(super) fn new(ui: &Ui) -> Self {
        let mut group = Group::new(0, 0, 0, 0, None);
        group.set_frame(FrameType::FlatBox);
        let head = canvas(ui, draw_head);
        let back = Button::new(ui, Style::Link, "‹ Back", || Msg::Back);
        let mut scroll = Scroll::new(0, 0, 0, 0, None);
        scroll.set_type(ScrollType::Vertical);
        scroll.set_frame(FrameType::FlatBox);
        scroll.set_scrollbar_size(10);
        scroll.scrollbar().set_linesize(WHEEL);
        let page = canvas(ui, draw);
        Words::join(ui, &page, Role::Heading, false, |app| Some(format!("Settings. {}", known_as(app))));
        Words::join(ui, &page, Role::Status, true, |app| app.settings.said.as_ref().map(|(.., said)| said.clone()));
        let mut nickname = Field::new(ui, Kind::Line, "").named("Nickname");
        let saved = {
            let nickname = nickname.clone();
            move || Msg::Nickname(nickname.value())
        };
        nickname.on_enter(ui, saved.clone());
        let save_nickname = Button::new(ui, Style::Plain, "Save", saved);
        let mut limit = Field::new(ui, Kind::Line, "").named("Unread messages at a time");
        let saved = {
            let limit = limit.clone();
            move || Msg::ViewLimit(limit.value())
        };
        limit.on_enter(ui, saved.clone());
        let save_limit = Button::new(ui, Style::Plain, "Save", saved);
        let mut old = Field::new(ui, Kind::Secret, "The password you have now");
        let mut new = Field::new(ui, Kind::Secret, "The new password");
        let mut again = Field::new(ui, Kind::Secret, "The new password again");
        let saved = {
            let (old, new, again) = (old.clone(), new.clone(), again.clone());
            move || Msg::Password { old: old.value(), new: new.value(), again: again.value() }
        };
        for field in [&mut old, &mut new, &mut again] {
            field.on_enter(ui, saved.clone());
        }
        let save_password = Button::new(ui, Style::Plain, "Change password", saved);
        let revoke = (0..DEVICES_MAX)
            .map(|at| {
                let state = ui.clone();
                Button::new(ui, Style::Link, "Log out", move || {
                    state.app().settings.devices.get(at).map_or(Msg::Tick, |device| Msg::Revoke(device.device))
                })
            })
            .collect();
        let dark = Button::new(ui, Style::Choice, "Dark", || Msg::Theme(Theme::Dark));
        let light = Button::new(ui, Style::Choice, "Light", || Msg::Theme(Theme::Light));
        let contrast = Button::new(ui, Style::Choice, "Contrast", || Msg::Theme(Theme::Contrast));
        let state = ui.clone();
        let log_out = Button::new(ui, Style::Plain, "Log out", move || match state.app().question {
            Some(Question::LogOut(_)) => Msg::Confirm,
            _ => Msg::LogOut,
        });
        let stay = Button::new(ui, Style::Link, "Stay", || Msg::Back);
        let mut sure = Field::new(ui, Kind::Secret, "Your password");
        let deleted = {
            let sure = sure.clone();
            move || Msg::DeleteAccount { password: sure.value() }
        };
        sure.on_enter(ui, deleted.clone());
        let delete = Button::new(ui, Style::Danger, "Delete account…", deleted);
        scroll.end();
        group.end();
        group.resizable(&Widget::default());
        Self {
            group,
            back,
            head,
            scroll,
            page,
            nickname,
            save_nickname,
            limit,
            save_limit,
            old,
            new,
            again,
            save_password,
            revoke,
            dark,
            light,
            contrast,
            log_out,
            stay,
            sure,
            delete,
            place: Rect::default(),
            is_narrow: false,
        }
    }

    pub(super) fn place(&mut self, x: i32, y: i32, w: i32, h: i32, is_narrow: bool) {
        self.place = Rect::new(x, y, w, h);
        self.is_narrow = is_narrow;
        self.group.widget_resize(x, y, w, h);
        self.head.resize(x, y, w, sizes::HEADER);
        self.back.resize(x + 8, y + 12, 64, 36);
        show(&mut *self.back, is_narrow);
    }

    pub(super) fn sync(&mut self, ui: &Ui) {
        let app = ui.app();
        let palette = ui.palette();
        self.group.set_color(palette.surface.into());
        self.scroll.set_color(palette.surface.into());
        let mut bar = self.scroll.scrollbar();
        bar.set_frame(FrameType::FlatBox);
        bar.set_color(palette.surface.into());
        bar.set_slider_frame(FrameType::RFlatBox);
        bar.set_selection_color(palette.line.into());
        self.arrange(&app);
        let wrong = |setting| app.settings.under(setting).is_some_and(|(done, _)| !done);
        self.nickname.sync(ui, wrong(Setting::Nickname));
        self.limit.sync(ui, wrong(Setting::ViewLimit));
        for field in [&mut self.old, &mut self.new, &mut self.again] {
            field.sync(ui, wrong(Setting::Password));
        }
        self.sure.sync(ui, wrong(Setting::Account));
        for (at, button) in self.revoke.iter_mut().enumerate() {
            let shown = app.settings.devices.get(at).is_some_and(|device| !device.own);
            show(&mut **button, shown);
        }
        for (button, theme) in
            [(&mut self.dark, Theme::Dark), (&mut self.light, Theme::Light), (&mut self.contrast, Theme::Contrast)]
        {
            button.set_value(app.settings.theme == theme);
        }
        let is_leaving = matches!(app.question, Some(Question::LogOut(_)));
        self.log_out.say(if is_leaving { "Yes, log out" } else { "Log out" });
        show(&mut *self.stay, is_leaving);
        self.delete.say(if app.settings.loss.is_some() { "Delete for good" } else { "Delete account…" });
        self.delete.enable(app.settings.waiting != Some(Setting::Account));
        self.save_nickname.enable(app.settings.waiting != Some(Setting::Nickname));
        self.save_limit.enable(app.settings.waiting != Some(Setting::ViewLimit));
        self.save_password.enable(app.settings.waiting != Some(Setting::Password));
        self.page.redraw();
        self.head.redraw();
    }

    fn arrange(&mut self, app: &App) {
        let Rect { x, y, w, h } = self.place;
        let top = y + sizes::HEADER;
        if self.scroll.x() != x
            || self.scroll.y() != top
            || self.scroll.w() != w
            || self.scroll.h() != h - sizes::HEADER
        {
            self.scroll.widget_resize(x, top, w, h - sizes::HEADER);
        }
        let origin = top - self.scroll.yposition();
        let width = WIDTH.min(w - 40);
        let tops = Tops::of(app, width);
        let left = x + 20;
        self.page.resize(x, origin, w - 12, tops.end);
        let field = |top: i32| origin + top + SECTION_HEAD;
        // Half of what there is in windows that are far too narrow.
        let half = (width - 10) / 2;
        let button = 90.min(half);
        let short = width - button - 10;
        let log_out = 150.min(width - 80);
        self.nickname.place(left, origin + tops.nickname_field, short, FIELD);
        self.save_nickname.resize(left + short + 10, origin + tops.nickname_field, button, FIELD);
        self.limit.place(left, field(tops.limit), short, FIELD);
        self.save_limit.resize(left + short + 10, field(tops.limit), button, FIELD);
        for (at, one) in [&mut self.old, &mut self.new, &mut self.again].into_iter().enumerate() {
            one.place(left, field(tops.password) + at as i32 * (FIELD + 8), width, FIELD);
        }
        self.save_password.resize(left, field(tops.password) + 3 * (FIELD + 8), 170.min(width), FIELD);
        for (at, one) in self.revoke.iter_mut().enumerate() {
            one.resize(left + width - 80, field(tops.devices) + 48 * at as i32 + 4, 80, 32);
        }
        let third = 90.min((width - 20) / 3);
        for (at, theme) in [&mut self.dark, &mut self.light, &mut self.contrast].into_iter().enumerate() {
            theme.resize(left + at as i32 * (third + 10), origin + tops.theme + 32, third, FIELD);
        }
        self.log_out.resize(left, origin + tops.log_out_button, log_out, FIELD);
        self.stay.resize(left + log_out + 10, origin + tops.log_out_button, 70, FIELD);
        self.sure.place(left, origin + tops.sure, width, FIELD);
        self.delete.resize(left, origin + tops.delete, 170.min(width), FIELD);
    }

    /// Fills the fields in with what holds.
    pub(super) fn clear(&mut self, ui: &Ui) {
        let app = ui.app();
        let Some(account) = &app.model.account else { return };
        self.nickname.set_value(&account.nickname);
        self.limit.set_value(&account.view_limit.to_string());
        for field in [&mut self.old, &mut self.new, &mut self.again, &mut self.sure] {
            field.set_value("");
        }
    }
}

fn draw_head(head: &Widget, ui: &Ui) {
    let palette = ui.palette();
    let rect = Rect::of(head);
    paint::fill(rect, palette.surface);
    paint::horizontal(rect.x, rect.y + rect.h - 1, rect.w, palette.line);
    let left = head_left(head);
    let title = Face { bold: true, size: 18 };
    paint::line("Settings", Rect::new(left, rect.y, rect.x + rect.w - left, rect.h), title, palette.text);
}

fn draw(page: &Widget, ui: &Ui) {
    let (app, palette) = (ui.app(), ui.palette());
    let rect = Rect::of(page);
    paint::fill(rect, palette.surface);
    let (left, width) = (rect.x + 20, WIDTH.min(rect.w - 28));
    let tops = Tops::of(&app, width);
    let section = |top: i32, name: &str, about: &str| {
        paint::line(name, Rect::new(left, rect.y + top, width, 22), BOLD, palette.text);
        paint::lines(about, (left, rect.y + top + 22), width, SMALL, palette.text_dim);
    };
    let under = |top: i32, setting: Setting| {
        if let Some((done, text)) = app.settings.under(setting) {
            let rgb = if done { palette.good_text } else { palette.danger_text };
            paint::lines(text, (left, rect.y + top + 2), width, SMALL, rgb);
        }
    };
    section(tops.nickname, "Nickname", &known_as(&app));
    under(tops.nickname_field + FIELD, Setting::Nickname);
    section(tops.limit, "Unread messages at a time", "How many come at once after you were away.");
    under(tops.limit + SECTION_HEAD + FIELD, Setting::ViewLimit);
    section(tops.password, "Password", "Other devices have to log in again.");
    under(tops.password + SECTION_HEAD + 4 * (FIELD + 8) - 2, Setting::Password);
    section(tops.devices, "Devices", "Where this account is logged in.");
    devices(&app, Rect::new(left, rect.y + tops.devices + SECTION_HEAD, width, 0), palette);
    paint::line("Colours", Rect::new(left, rect.y + tops.theme, width, 22), BOLD, palette.text);
    section(tops.log_out, "Log out", &leaving(&app));
    section(tops.account, "Delete account", "Type your password first.");
    let rgb = if app.settings.loss.is_some() { palette.danger_text } else { palette.text_dim };
    paint::lines(&loss(&app), (left, rect.y + tops.account + 44), width, SMALL, rgb);
    under(tops.sure + FIELD, Setting::Account);
}

/// The name that stays.
fn known_as(app: &App) -> String {
    let username = app.model.account.as_ref().map_or("", |account| account.username.as_str());
    format!("What others see. Your user name is @{username}.")
}

/// What logging out means here.
fn leaving(app: &App) -> String {
    match &app.question {
        Some(question @ Question::LogOut(_)) => question.words().0,
        _ => "This device forgets everything; the servers keep it.".to_owned(),
    }
}

/// What deleting the account means.
fn loss(app: &App) -> String {
    match app.settings.loss {
        None => "Messages that you have sent stay with those who got them.".to_owned(),
        Some(0) => "No unread messages would be lost. This cannot be undone.".to_owned(),
        Some(loss) => format!("{} would be lost with it. This cannot be undone.", words::count(loss, "unread message")),
    }
}

fn devices(app: &App, at: Rect, palette: &Palette) {
    if app.settings.devices.is_empty() {
        paint::line("Not known without a connection.", Rect { h: 40, ..at }, PLAIN, palette.text_dim);
    }
    for (row, device) in app.settings.devices.iter().take(DEVICES_MAX).enumerate() {
        let y = at.y + 48 * row as i32;
        let name = if device.name.is_empty() { "A device" } else { &device.name };
        let name = if device.own { format!("{name} (this one)") } else { name.to_owned() };
        paint::line(&name, Rect::new(at.x, y, at.w - 90, 20), PLAIN, palette.text);
        let seen = format!("last seen {}", words::short(device.seen_ms, app.now_ms));
        paint::line(&seen, Rect::new(at.x, y + 20, at.w - 90, 18), SMALL, palette.text_dim);
    }
}
