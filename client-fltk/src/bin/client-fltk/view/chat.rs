//! The open conversation: its head, the banner, the messages, and the writing field, in whose place stands whatever has
//! to be confirmed.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use accesskit::Role;
use fltk::app;
use fltk::enums::{Event, FrameType, Key};
use fltk::group::Group;
use fltk::menu::MenuButton;
use fltk::prelude::*;
use fltk::widget::Widget;

use client_fltk::model::is_aside;

use super::button::{Button, Style};
use super::spoken::Words;
use super::timeline::Timeline;
use super::writing::Writing;
use super::{Ui, canvas, head_left, show};
use crate::app::sending::long_draft;
use crate::app::{App, Msg, words};
use crate::frames::Frames;
use crate::look::paint::{self, BOLD, PLAIN, Rect, SMALL};
use crate::look::sizes;

/// The bar at the bottom, with a writing field of one line.
const FOOT: i32 = 72;

/// The writing field grows up to so many lines.
const LINES_MAX: i32 = 7;

/// Above the buttons when what they ask does not fit beside them.
const QUESTION: i32 = 28;

/// Room for a name beside the buttons of the head, and in windows that are far too small.
const NAME: i32 = 96;
const NAME_MIN: i32 = 48;

/// From the beginning of somebody's circle to that of their name.
const BESIDE_AVATAR: i32 = sizes::AVATAR + 12;

/// A writing field narrower than this has its button's place too: Enter sends.
const FIELD_MIN: i32 = 120;

/// The line above the writing field on which somebody types.
const TYPING: i32 = 24;

pub(super) struct Chat {
    pub(super) group: Group,
    head: Widget,
    /// Where its buttons begin.
    head_right: Rc<Cell<i32>>,
    back: Button,
    select: Button,
    copy: Button,
    delete: Button,
    cancel_choosing: Button,
    more: Button,
    menu: MenuButton,
    banner: Widget,
    reconnect: Button,
    pub(super) timeline: Timeline,
    to_new: Button,
    to_newest: Button,
    typing: Widget,
    foot: Widget,
    pub(super) writing: Writing,
    /// The conversation that what is in the field is for.
    of: Rc<Cell<u64>>,
    send: Button,
    confirm: Button,
    cancel: Button,
    place: Rect,
    is_narrow: bool,
}

impl Chat {
    pub(super) fn new(ui: &Ui, frames: Frames) -> Self {
        let mut group = Group::new(0, 0, 0, 0, None);
        group.set_frame(FrameType::NoBox);
        let head_right = Rc::new(Cell::new(0));
        let head = {
            let right = Rc::clone(&head_right);
            canvas(ui, move |head, ui| draw_head(head, right.get(), ui))
        };
        let heading = |app: &App| {
            let id = app.chat.as_ref()?.id;
            Some(format!("{}, {}", app.model.title(id), app.presence(id)))
        };
        Words::join(ui, &head, Role::Heading, false, heading);
        Words::join(ui, &head, Role::Status, true, App::newest_said);
        let back = Button::new(ui, Style::Link, "‹ Back", || Msg::Back);
        let select = Button::new(ui, Style::Quiet, "Select", || Msg::Choose(None));
        let copy = Button::new(ui, Style::Quiet, "Copy", || Msg::CopyChosen);
        let delete = Button::new(ui, Style::Quiet, "Delete…", || Msg::DeleteChosen);
        let cancel_choosing = Button::new(ui, Style::Link, "Cancel", || Msg::Back);
        let menu = super::menu();
        let mut more = Button::new(ui, Style::Quiet, "···", || Msg::Tick);
        {
            let (ui, menu) = (ui.clone(), menu.clone());
            more.set_callback(move |_| show_menu(&ui, &menu));
        }
        let banner = canvas(ui, draw_banner);
        Words::join(ui, &banner, Role::Status, true, |app| words::banner(&app.model.link, app.now_ms));
        let reconnect = {
            let state = ui.clone();
            Button::new(ui, Style::Link, "Try now", move || match state.app().is_logged_out() {
                true => Msg::LogIn,
                false => Msg::Reconnect,
            })
        };
        let timeline = Timeline::new(ui, frames);
        let to_new = Button::new(ui, Style::Plain, "↑ First new", || Msg::FirstNew);
        let to_newest = Button::new(ui, Style::Plain, "↓ Newest", || Msg::Newest);
        let typing = canvas(ui, draw_typing);
        Words::join(ui, &typing, Role::Status, true, |app| notice(app).map(Cow::into_owned));
        let foot = canvas(ui, draw_foot);
        Words::join(ui, &foot, Role::Alert, true, |app| app.question.as_ref().map(|question| question.words().0));
        let mut writing = Writing::new(ui);
        let of = Rc::new(Cell::new(0));
        {
            let (ui, of) = (ui.clone(), Rc::clone(&of));
            writing.on_change(move |text| ui.post(Msg::Typed { conversation: of.get(), text }));
        }
        let sent = {
            let (writing, of) = (RefCell::new(writing.clone()), Rc::clone(&of));
            move || match writing.borrow_mut().take() {
                Some(text) => Msg::Send { conversation: of.get(), text },
                None => Msg::SendLong(of.get()),
            }
        };
        {
            let (posted, sent, timeline) = (ui.clone(), sent.clone(), timeline.clone());
            writing.on_event(ui, move |is_empty, event| {
                let ui = &posted;
                if event == Event::Unfocus {
                    ui.post(Msg::Left);
                }
                if event != Event::KeyDown {
                    return false;
                }
                match app::event_key() {
                    Key::Enter | Key::KPEnter if !app::is_event_shift() => ui.post(sent()),
                    Key::Up if is_empty && !app::is_event_alt() => timeline.clone().focus(),
                    Key::PageUp => timeline.clone().turn_page(-1),
                    Key::PageDown => timeline.clone().turn_page(1),
                    _ => return false,
                }
                ui.post(Msg::Tick);
                true
            });
        }
        let send = {
            let writing = RefCell::new(writing.clone());
            Button::new(ui, Style::Primary, "Send", move || {
                writing.borrow_mut().focus();
                sent()
            })
        };
        let confirm = Button::new(ui, Style::Danger, "", || Msg::Confirm);
        let cancel = Button::new(ui, Style::Plain, "Cancel", || Msg::Back);
        group.end();
        group.resizable(&Widget::default());
        Self {
            group,
            head,
            head_right,
            back,
            select,
            copy,
            delete,
            cancel_choosing,
            more,
            menu,
            banner,
            reconnect,
            timeline,
            to_new,
            to_newest,
            typing,
            foot,
            writing,
            of,
            send,
            confirm,
            cancel,
            place: Rect::default(),
            is_narrow: false,
        }
    }

    pub(super) fn place(&mut self, x: i32, y: i32, w: i32, h: i32, is_narrow: bool) {
        self.place = Rect::new(x, y, w, h);
        self.is_narrow = is_narrow;
        self.group.widget_resize(x, y, w, h);
    }

    pub(super) fn sync(&mut self, ui: &Ui) -> Vec<Msg> {
        self.writing.sync(ui);
        super::paint_menu(&mut self.menu, ui.palette());
        {
            let app = ui.app();
            self.arrange(&app);
        }
        for canvas in [&mut self.head, &mut self.banner, &mut self.typing, &mut self.foot] {
            canvas.redraw();
        }
        let msgs = self.timeline.sync(ui);
        let app = ui.app();
        let newest = !self.timeline.is_at_newest() && app.chat.is_some();
        let unread = app.chat.as_ref().map_or(0, |chat| app.model.unread(chat.id));
        self.to_newest.say(&match unread {
            0 => "↓ Newest".to_owned(),
            unread => format!("↓ {unread} new"),
        });
        show(&mut *self.to_newest, newest);
        let above = self.timeline.new_is_above(&app);
        // One of the two, where both would lie on each other.
        let overlap = self.to_newest.y() < self.to_new.y() + self.to_new.h();
        show(&mut *self.to_new, above && !(newest && overlap));
        msgs
    }

    /// Everything in its place, as the state wants it.
    fn arrange(&mut self, app: &App) {
        let Rect { x, y, w, h } = self.place;
        let is_open = app.chat.is_some();
        let is_choosing = app.chat.as_ref().is_some_and(|chat| chat.choosing);
        self.head.resize(x, y, w, sizes::HEADER);
        // What does not fit beside the name is in the menu, or on a key.
        let name = head_left(&self.head);
        let least = name + if is_choosing { 0 } else { NAME };
        show(&mut *self.back, self.is_narrow);
        self.back.resize(x + 8, y + 12, 64, 36);
        let mut right = x + w - 16;
        let mut bar = |button: &mut Button, shown: bool, width: i32, least: i32| {
            let fits = shown && right - width >= least;
            if fits {
                right -= width;
                button.resize(right, y + 14, width, 32);
            }
            show(&mut **button, fits);
        };
        bar(&mut self.more, is_open && !is_choosing, 40, name + NAME_MIN);
        bar(&mut self.select, is_open && !is_choosing, 64, least + BESIDE_AVATAR);
        bar(&mut self.cancel_choosing, is_choosing, 70, least);
        bar(&mut self.delete, is_choosing, 76, least);
        bar(&mut self.copy, is_choosing, 60, least);
        self.head_right.set(right);
        let mut top = y + sizes::HEADER;
        let banner = words::banner(&app.model.link, app.now_ms);
        let offers = app.model.link.outage.is_some() || app.is_logged_out();
        self.reconnect.say(if app.is_logged_out() { "Log in" } else { "Try now" });
        if let Some(words) = &banner {
            let height = paint::height_of_lines(words, banner_width(w), SMALL) + 2 * sizes::BANNER_EDGE;
            self.banner.resize(x, top, w, height);
            self.reconnect.resize(x + w - 96, top, 80, height);
            top += height;
        }
        show(&mut self.banner, banner.is_some());
        show(&mut *self.reconnect, banner.is_some() && offers);
        let question = app.question.as_ref().filter(|question| question.is_of_chat());
        let is_asking = question.is_some() && is_open;
        if let Some(question) = question {
            self.confirm.say(question.words().1);
        }
        // Both as wide as they want to be, or half of what there is.
        let half = (w - 50) / 2;
        let (confirm, cancel) = (self.confirm.wanted().max(90).min(half), 90.min(half));
        let send = self.send.wanted().max(70);
        let beside = w - 50 - send;
        let has_send = beside >= FIELD_MIN;
        let field = if has_send { beside } else { w - 40 };
        let lines = self.writing_lines(field);
        let above = match question {
            Some(question) if PLAIN.width(&question.words().0) > f64::from(w - 60 - confirm - cancel) => QUESTION,
            _ => 0,
        };
        let foot = if is_open { FOOT + (lines - 1) * Writing::line() + above } else { 0 };
        self.foot.resize(x, y + h - foot, w, foot);
        // What went wrong takes the lines that it needs.
        let notice = notice(app).map_or(0, |notice| paint::height_of_lines(&notice, w - 40, SMALL) + 4);
        let typing = if is_open { notice.max(TYPING) } else { 0 };
        self.typing.resize(x, y + h - foot - typing, w, typing);
        self.timeline.place(x, top, w, (y + h - foot - typing - top).max(0));
        let pill = 110;
        self.to_newest.resize(x + w - pill - 24, y + h - foot - typing.max(TYPING) - 40, pill, 32);
        self.to_new.resize(x + (w - pill) / 2, top + 10, pill, 32);
        self.writing.place(x + 20, y + h - foot + 13, field, foot - 26);
        self.send.resize(x + w - 20 - send, y + h - 13 - 46, send, 46);
        let peer = app.chat.as_ref().and_then(|chat| app.peer(chat.id));
        let gone = peer.is_some_and(|person| person.gone);
        let title = app.chat.as_ref().map_or_else(String::new, |chat| app.model.title(chat.id));
        let kept = app.chat.as_ref().is_some_and(|chat| is_aside(chat.id));
        let gone = gone || kept;
        self.writing.hint(&match (gone, title.as_str()) {
            (true, _) if kept => "Kept on this device, to be read".to_owned(),
            (true, _) => "This account was deleted; nobody would get a message".to_owned(),
            (false, "Notes") => "Write a note".to_owned(),
            (false, title) => format!("Write to {title}"),
        });
        self.writing.shown(is_open && !is_asking);
        self.writing.enable(!gone);
        self.send.enable(!gone);
        show(&mut *self.send, is_open && !is_asking && has_send);
        self.confirm.resize(x + w - 20 - confirm, y + h - 13 - 46, confirm, 46);
        self.cancel.resize(x + w - 30 - confirm - cancel, y + h - 13 - 46, cancel, 46);
        let was_asking = self.confirm.visible();
        show(&mut *self.confirm, is_asking);
        show(&mut *self.cancel, is_asking);
        if is_asking && !was_asking {
            let _ = self.confirm.take_focus();
        } else if was_asking && !is_asking && is_open {
            self.writing.focus();
        }
        show(&mut self.foot, is_open);
    }

    fn writing_lines(&self, field: i32) -> i32 {
        /// More than seven lines of any window.
        const BYTES: usize = 16 << 10;
        let text = self.writing.value();
        if text.is_empty() {
            return 1;
        }
        let width = f64::from((field - 30).max(50));
        let text = &text[..text.floor_char_boundary(BYTES)];
        let block = crate::look::text::lay_out(text, width, |text| PLAIN.width(text));
        i32::try_from(block.lines.len()).unwrap_or(LINES_MAX).clamp(1, LINES_MAX)
    }

    /// Puts text into the writing field, and the keyboard there.
    pub(super) fn write(&mut self, conversation: u64, text: &str) {
        self.of.set(conversation);
        self.writing.set_value(text);
        self.writing.focus();
    }
}

/// What went wrong, or is to be known of what is in the field.
fn notice(app: &App) -> Option<Cow<'_, str>> {
    let draft = || long_draft(app.drafts.of(app.chat.as_ref()?.id)).map(Cow::Owned);
    app.notice.as_deref().map(Cow::Borrowed).or_else(draft)
}

/// What can be done with the conversation.
fn show_menu(ui: &Ui, menu: &MenuButton) {
    let mut menu = menu.clone();
    menu.clear();
    let mut add = |label: &str, msg: fn() -> Msg| {
        let ui = ui.clone();
        super::add_to_menu(&mut menu, label, move || ui.post(msg()));
    };
    add("Jump to newest", || Msg::Newest);
    add("Select messages", || Msg::Choose(None));
    add("Empty this conversation…", || Msg::Clear);
    menu.popup();
}

fn draw_head(head: &Widget, right: i32, ui: &Ui) {
    let (app, palette) = (ui.app(), ui.palette());
    let rect = Rect::of(head);
    paint::fill(rect, palette.surface);
    paint::horizontal(rect.x, rect.y + rect.h - 1, rect.w, palette.line);
    let Some(chat) = &app.chat else { return };
    let left = head_left(head);
    if chat.choosing {
        let words = match chat.chosen.len() {
            0 => "Choose messages".to_owned(),
            chosen => format!("{} chosen", words::count(chosen as u64, "message")),
        };
        if right - 8 - left >= NAME_MIN {
            paint::line(&words, Rect::new(left, rect.y, right - 8 - left, rect.h), BOLD, palette.text);
        }
        return;
    }
    let peer = app.peer(chat.id);
    let title = app.model.title(chat.id);
    let name = peer.map_or(title.as_str(), |person| person.username.as_str());
    let has_avatar = right - left >= BESIDE_AVATAR + NAME_MIN;
    if has_avatar {
        let gone = peer.is_some_and(|person| person.gone);
        paint::avatar(name, &title, gone, (left, rect.y + 12), palette);
    }
    let beside = left + if has_avatar { BESIDE_AVATAR } else { 0 };
    let text = Rect::new(beside, rect.y + 10, right - 8 - beside, 20);
    paint::name(&title, text, BOLD, palette.text);
    let under = match (peer, app.presence(chat.id)) {
        (Some(person), presence) if person.nickname != person.username && !person.gone => {
            format!("@{} · {presence}", person.username)
        }
        (_, presence) => presence,
    };
    paint::line(&under, Rect { y: text.y + 20, ..text }, SMALL, palette.text_dim);
}

/// How wide the words of a banner can be: beside them is the button.
fn banner_width(w: i32) -> i32 {
    (w - 130).max(1)
}

fn draw_banner(banner: &Widget, ui: &Ui) {
    let (app, palette) = (ui.app(), ui.palette());
    let rect = Rect::of(banner);
    paint::fill(rect, palette.warning);
    if let Some(words) = words::banner(&app.model.link, app.now_ms) {
        let at = (rect.x + 20, rect.y + sizes::BANNER_EDGE);
        paint::lines(&words, at, banner_width(rect.w), SMALL, palette.warning_text);
    }
}

fn draw_typing(line: &Widget, ui: &Ui) {
    let (app, palette) = (ui.app(), ui.palette());
    let rect = Rect::of(line);
    paint::fill(rect, palette.surface);
    let Some(chat) = &app.chat else { return };
    if let Some(notice) = notice(&app) {
        paint::lines(&notice, (rect.x + 20, rect.y + 2), rect.w - 40, SMALL, palette.danger_text);
    } else if let Some(typing) = app.typing(chat.id) {
        let text = Rect::new(rect.x + 20, rect.y, rect.w - 40, rect.h);
        paint::line(&typing, text, SMALL, palette.text_dim);
    }
}

fn draw_foot(foot: &Widget, ui: &Ui) {
    let (app, palette) = (ui.app(), ui.palette());
    let rect = Rect::of(foot);
    paint::fill(rect, palette.surface);
    paint::horizontal(rect.x, rect.y, rect.w, palette.line);
    if let Some(question) = app.question.as_ref().filter(|question| question.is_of_chat()) {
        let words = question.words().0;
        let buttons = 46 + 2 * 13;
        // In a line of its own, if there is room for one.
        let (width, height) = match rect.h > buttons && rect.h - buttons >= QUESTION {
            true => (rect.w - 40, QUESTION + 13),
            false => (rect.w - 240, rect.h),
        };
        paint::line(&words, Rect::new(rect.x + 20, rect.y, width, height), PLAIN, palette.text);
    }
}
