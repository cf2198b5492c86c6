//! The list in the sidebar: conversations, and people who were found. Only lines in sight are drawn.

use std::cell::RefCell;
use std::rc::Rc;

use accesskit::{Action, Node, NodeId, Role};
use client_fltk::model::{Delivery, LinkState, Message, WriteState};
use fltk::app;
use fltk::draw;
use fltk::enums::{Cursor, Event, Key};
use fltk::prelude::*;
use fltk::widget::Widget;

use super::Ui;
use super::spoken::{Place, Speaks, node_at, node_of};
use crate::app::{App, Listed, Msg, Tab, words};
use crate::look::paint::{self, BOLD, PLAIN, Rect, SMALL};
use crate::look::{Palette, sizes};

/// One turn of the wheel, pixels.
const WHEEL: i32 = 58;

/// The line above people.
const HEADING: i32 = 32;

/// The widget.
#[derive(Clone)]
pub(super) struct List {
    widget: Widget,
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    offset: i32,
    /// The line that the keyboard is at.
    cursor: Option<usize>,
    hover: Option<usize>,
    open: u64,
}

fn height(listed: Listed<'_>) -> i32 {
    match listed {
        Listed::Heading(_) => HEADING,
        Listed::More(_) => 44,
        _ => sizes::ROW,
    }
}

/// What choosing a line means.
fn chosen(listed: Listed<'_>) -> Option<Msg> {
    match listed {
        Listed::Conversation(id) => Some(Msg::Open(id)),
        Listed::Person(person) => Some(Msg::OpenPerson(person.username.clone())),
        Listed::More(_) => Some(Msg::MorePeople),
        Listed::Heading(_) => None,
    }
}

impl List {
    pub(super) fn new(ui: &Ui) -> Self {
        let state = Rc::new(RefCell::new(State::default()));
        let mut widget = Widget::new(0, 0, 0, 0, None);
        {
            let (ui, state) = (ui.clone(), Rc::clone(&state));
            widget.draw(move |widget| draw(widget, &ui, &state.borrow()));
        }
        {
            let (ui, state) = (ui.clone(), Rc::clone(&state));
            widget.handle(move |widget, event| handle(&state, widget, event, &ui));
        }
        ui.speak(Spoken { widget: widget.clone(), state: Rc::clone(&state) });
        Self { widget, state }
    }

    pub(super) fn place(&mut self, x: i32, y: i32, w: i32, h: i32) {
        self.widget.resize(x, y, w, h);
    }

    pub(super) fn sync(&mut self, ui: &Ui) {
        let app = ui.app();
        let listed = app.listed();
        let mut state = self.state.borrow_mut();
        let total: i32 = listed.iter().copied().map(height).sum();
        state.offset = state.offset.clamp(0, (total - self.widget.h()).max(0));
        if state.cursor.is_some_and(|cursor| cursor >= listed.len()) {
            state.cursor = None;
        }
        let open = app.chat.as_ref().map_or(0, |chat| chat.id);
        if state.open != open {
            state.open = open;
            let at = listed.iter().position(|line| *line == Listed::Conversation(open));
            if let Some(at) = at {
                let h = self.widget.h();
                state.show(&listed, at, h);
            }
        }
        self.widget.redraw();
    }

    /// Puts the keyboard's place on the first line and takes the keyboard.
    pub(super) fn focus(&mut self) {
        let _ = self.widget.take_focus();
    }

    /// What Enter in the search field means: the first line.
    pub(super) fn first(app: &App) -> Option<Msg> {
        app.listed().into_iter().find_map(chosen)
    }
}

impl State {
    /// Brings a line into sight.
    fn show(&mut self, listed: &[Listed<'_>], at: usize, h: i32) {
        let top: i32 = listed[..at].iter().copied().map(height).sum();
        let bottom = top + height(listed[at]);
        self.offset = self.offset.clamp((bottom - h).max(0), top);
    }

    fn at(&self, listed: &[Listed<'_>], y: i32) -> Option<usize> {
        let mut top = -self.offset;
        for (at, &line) in listed.iter().enumerate() {
            let h = height(line);
            if (top..top + h).contains(&y) {
                return Some(at);
            }
            top += h;
        }
        None
    }
}

/// The list, as it is spoken of: the lines in sight, and the one that the keyboard is at.
struct Spoken {
    widget: Widget,
    state: Rc<RefCell<State>>,
}

/// A number that stays a line's own while others come and go.
fn number(listed: Listed<'_>) -> Option<u64> {
    match listed {
        Listed::Conversation(id) => Some(id << 2),
        Listed::Person(person) => Some(person.user << 2 | 1),
        Listed::More(_) => Some(2),
        Listed::Heading(_) => None,
    }
}

/// A line in words.
fn in_words(app: &App, listed: Listed<'_>) -> String {
    match listed {
        Listed::Heading(words) => words.to_owned(),
        Listed::More(more) => format!("Show more ({more})"),
        Listed::Person(person) => format!("{}, @{}", person.shown(), person.username),
        Listed::Conversation(id) => {
            let unread = app.model.unread(id);
            let last = app.model.conversations.get(&id).and_then(|found| found.newest());
            let parts = [
                app.model.title(id),
                if unread > 0 { format!("{unread} unread") } else { String::new() },
                if app.drafts.of(id).is_empty() { String::new() } else { "begun".to_owned() },
                last.map_or_else(String::new, |last| words::one_line(&last.text)),
            ];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
        }
    }
}

impl Speaks for Spoken {
    fn nodes(&self, app: &App, place: Place, nodes: &mut Vec<(NodeId, Node)>) {
        if !self.widget.visible_r() {
            return;
        }
        let (listed, state, window) = (app.listed(), self.state.borrow(), Rect::of(&self.widget));
        let name = if app.tab == Tab::People { "People" } else { "Conversations" };
        let own = nodes.len();
        nodes.push((place.whole(), node_of(&self.widget, Role::ListBox, name)));
        let (mut y, mut children) = (window.y - state.offset, Vec::new());
        for (at, &line) in listed.iter().enumerate() {
            let h = height(line);
            let in_sight = y + h > window.y && y < window.y + window.h;
            if let Some(number) = number(line).filter(|_| in_sight || state.cursor == Some(at)) {
                let mut node = node_at(Role::ListBoxOption, &in_words(app, line), (window.x, y, window.w, h));
                node.set_selected(matches!(line, Listed::Conversation(id) if id == state.open));
                node.set_position_in_set(at);
                node.set_size_of_set(listed.len());
                node.add_action(Action::Click);
                node.add_action(Action::Focus);
                children.push(place.line(number));
                nodes.push((place.line(number), node));
            }
            y += h;
        }
        nodes[own].1.set_children(children);
        nodes[own].1.add_action(Action::Focus);
    }

    fn focus(&self, app: &App, place: Place) -> Option<NodeId> {
        let line = self.state.borrow().cursor.and_then(|at| number(*app.listed().get(at)?));
        self.widget.has_focus().then(|| line.map_or(place.whole(), |number| place.line(number)))
    }

    fn act(&self, ui: &Ui, line: Option<u64>, action: Action, _: Option<&str>) {
        let app = ui.app();
        let at = app.listed().iter().position(|&listed| line.is_some() && number(listed) == line);
        match (action, at) {
            (Action::Click, Some(at)) => chosen(app.listed()[at]).into_iter().for_each(|msg| ui.post(msg)),
            (Action::Focus, at) => {
                self.state.borrow_mut().cursor = at;
                drop(app);
                let _ = self.widget.clone().take_focus();
            }
            _ => {}
        }
    }
}

fn handle(state: &Rc<RefCell<State>>, widget: &mut Widget, event: Event, ui: &Ui) -> bool {
    let y = app::event_y() - widget.y();
    let app = ui.app();
    let listed = app.listed();
    let mut state = state.borrow_mut();
    match event {
        Event::MouseWheel => {
            let Some(turns) = super::wheel() else { return false };
            let total: i32 = listed.iter().copied().map(height).sum();
            state.offset = (state.offset + turns * WHEEL).clamp(0, (total - widget.h()).max(0));
        }
        Event::Push => {
            if let Some(msg) = state.at(&listed, y).and_then(|at| chosen(listed[at])) {
                ui.post(msg);
            }
        }
        Event::Enter | Event::Move => {
            let hover = state.at(&listed, y).filter(|&at| chosen(listed[at]).is_some());
            draw::set_cursor(if hover.is_some() { Cursor::Hand } else { Cursor::Default });
            if hover == state.hover {
                return true;
            }
            state.hover = hover;
        }
        Event::Leave => {
            state.hover = None;
            draw::set_cursor(Cursor::Default);
        }
        Event::Focus => {
            if state.cursor.is_none() {
                state.cursor = listed.iter().position(|&line| chosen(line).is_some());
            }
        }
        Event::Unfocus => state.cursor = None,
        Event::KeyDown => {
            let step = |from: Option<usize>, down: bool| {
                let can = |at: &usize| chosen(listed[*at]).is_some();
                match (from, down) {
                    (None, _) => (0..listed.len()).find(can),
                    (Some(from), true) => (from + 1..listed.len()).find(can),
                    (Some(from), false) => (0..from).rev().find(can),
                }
            };
            match app::event_key() {
                // To another conversation, wherever the keyboard is.
                _ if app::is_event_alt() => return false,
                Key::Down => state.cursor = step(state.cursor, true).or(state.cursor),
                Key::Up => match step(state.cursor, false) {
                    // Above the list is the search field.
                    None => return false,
                    found => state.cursor = found,
                },
                Key::Home => state.cursor = step(None, true),
                Key::End => state.cursor = (0..listed.len()).rev().find(|&at| chosen(listed[at]).is_some()),
                Key::Enter | Key::KPEnter => {
                    if let Some(msg) = state.cursor.and_then(|at| chosen(listed[at])) {
                        ui.post(msg);
                    }
                }
                _ => return false,
            }
            if let Some(cursor) = state.cursor {
                let h = widget.h();
                state.show(&listed, cursor, h);
            }
        }
        _ => return false,
    }
    widget.redraw();
    true
}

fn draw(widget: &Widget, ui: &Ui, state: &State) {
    let (app, palette) = (ui.app(), ui.palette());
    let window = Rect::of(widget);
    draw::push_clip(window.x, window.y, window.w, window.h);
    paint::fill(window, palette.panel);
    let listed = app.listed();
    if listed.is_empty()
        && let Some(why) = app.why_empty()
    {
        paint::paragraph(&why, Rect::new(window.x + 24, window.y + 24, window.w - 48, 80), PLAIN, palette.text_dim);
    }
    let mut y = window.y - state.offset;
    for (at, &line) in listed.iter().enumerate() {
        let rect = Rect::new(window.x, y, window.w, height(line));
        y += rect.h;
        if rect.y + rect.h <= window.y {
            continue;
        }
        if rect.y >= window.y + window.h {
            break;
        }
        let is_open = app.tab == Tab::Chats && matches!(line, Listed::Conversation(id) if id == state.open);
        if is_open || state.hover == Some(at) {
            paint::fill(rect, palette.selected);
        }
        if is_open {
            paint::fill(Rect::new(rect.x, rect.y, 3, rect.h), palette.accent);
        }
        match line {
            Listed::Heading(words) => {
                let rect = Rect::new(rect.x + sizes::PAD, rect.y + 8, rect.w - 2 * sizes::PAD, 20);
                paint::line(words, rect, SMALL, palette.text_dim);
            }
            Listed::More(more) => {
                paint::centered(&format!("Show more ({more})"), rect, PLAIN, palette.accent);
            }
            Listed::Conversation(id) => conversation(&app, id, rect, palette),
            Listed::Person(person) => {
                let at = (rect.x + sizes::PAD, rect.y + 11);
                paint::avatar(&person.username, &person.nickname, person.gone, at, palette);
                let text = Rect::new(rect.x + 64, rect.y + 9, rect.w - 64 - sizes::PAD, 20);
                paint::line(&person.shown(), text, BOLD, palette.text);
                paint::line(&format!("@{}", person.username), Rect { y: text.y + 20, ..text }, SMALL, palette.text_dim);
            }
        }
        if widget.has_focus() && state.cursor == Some(at) {
            paint::rounded_line(rect.inset(2), sizes::FIELD_RADIUS, 1, palette.accent);
        }
    }
    draw::pop_clip();
}

/// What a conversation says last: how far it has come if it is one's own, the words, and when.
enum Last<'a> {
    Nothing,
    Message(&'a Message, Option<Delivery>),
    Outgoing(&'a client_fltk::model::Outgoing),
}

fn conversation(app: &App, id: u64, rect: Rect, palette: &Palette) {
    let Some(found) = app.model.conversations.get(&id) else { return };
    let (title, peer) = (app.model.title(id), app.peer(id));
    let gone = peer.is_some_and(|person| person.gone);
    let name = peer.map_or(title.as_str(), |person| person.username.as_str());
    paint::avatar(name, &title, gone, (rect.x + sizes::PAD, rect.y + 11), palette);
    let is_online = app.model.link.state == LinkState::Online;
    if is_online && peer.is_some_and(|person| app.model.is_online(person.user)) {
        paint::circle(rect.x + sizes::PAD + 26, rect.y + 37, 11, palette.panel);
        paint::circle(rect.x + sizes::PAD + 28, rect.y + 39, 8, palette.good_text);
    }
    let (left, mut right) = (rect.x + 64, rect.x + rect.w - sizes::PAD);
    let last = match app.model.outgoing(id).last() {
        Some(outgoing) => Last::Outgoing(outgoing),
        None => match found.newest() {
            None => Last::Nothing,
            Some(message) if message.sender == app.model.me() => {
                Last::Message(message, Some(app.model.delivery(id, message.number)))
            }
            Some(message) => Last::Message(message, None),
        },
    };
    let time_ms = match last {
        Last::Nothing => 0,
        Last::Message(message, _) => message.time_ms,
        Last::Outgoing(outgoing) => outgoing.created_ms,
    };
    let mut name_right = right;
    if time_ms > 0 {
        let time = words::short(time_ms, app.now_ms);
        let width = SMALL.width(&time).ceil() as i32;
        paint::line(&time, Rect::new(right - width, rect.y + 9, width + 2, 20), SMALL, palette.text_dim);
        name_right = right - width - 8;
    }
    let rgb = if gone { palette.text_dim } else { palette.text };
    paint::name(&title, Rect::new(left, rect.y + 9, name_right - left, 20), BOLD, rgb);
    let unread = app.model.unread(id);
    if unread > 0 {
        right = paint::badge(unread, right, rect.y + 30, palette) - 8;
    }
    let mut left = left;
    let is_open = app.chat.as_ref().is_some_and(|chat| chat.id == id);
    let draft = Some(app.drafts.of(id)).filter(|draft| !draft.is_empty() && !is_open);
    let typing = app.typing(id);
    let text = match (&last, &typing, draft) {
        (_, Some(_), _) => "typing…".to_owned(),
        (_, _, Some(draft)) => format!("Draft: {}", words::one_line(draft)),
        (Last::Nothing, ..) => String::new(),
        (Last::Message(message, delivery), ..) => {
            if let Some(delivery) = delivery {
                paint::delivery(*delivery, left, rect.y + 40, palette.text_dim);
                left += paint::DELIVERY_WIDTH + 2;
            }
            words::one_line(&message.text)
        }
        (Last::Outgoing(outgoing), ..) => {
            if matches!(outgoing.state, WriteState::Refused(_)) {
                paint::cross(left, rect.y + 40, palette.danger_text);
            } else {
                paint::delivery(Delivery::Queued, left, rect.y + 40, palette.text_dim);
            }
            left += paint::DELIVERY_WIDTH + 2;
            match &outgoing.write {
                client_fltk::model::Write::Send { text, .. } => words::one_line(text),
                _ => String::new(),
            }
        }
    };
    let rgb = if typing.is_some() || draft.is_some() { palette.accent } else { palette.text_dim };
    paint::line(&text, Rect::new(left, rect.y + 29, right - left, 20), SMALL, rgb);
}
