//! The messages of a conversation.
//!
//! Only lines in sight, and half a window above and below, are ever measured; everything else is numbers. The place that one
//! looks at is an *anchor*: a line and how far its top is from the top of the window, or simply the newest message. So
//! whatever comes above or below, what is looked at stays where it is.

mod layout;
mod paint;

use std::cell::RefCell;
use std::rc::Rc;

use client_fltk::model::WriteState;
use fltk::app;
use fltk::draw;
use fltk::enums::{Cursor, Event, Key};
use fltk::menu::MenuButton;
use fltk::prelude::*;
use fltk::widget::Widget;

use super::Ui;
use crate::app::chat::{Line, PAGE, Shown, shown};
use crate::app::{App, Msg, words};
use crate::frames::Frames;
use crate::look::paint::Rect;
use crate::look::toolkit;
use layout::{Cache, HOLE, Row};

/// One turn of the wheel, pixels.
const WHEEL: i32 = 60;

/// One press of an arrow while nothing is chosen.
const ARROW: i32 = 40;

/// The scroll bar, and how far from it the mouse may be.
const BAR: i32 = 6;
const BAR_REACH: i32 = 14;

/// Below the newest message.
const FOOT: i32 = 8;

/// Where one looks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Anchor {
    /// At the newest message, whatever comes.
    Newest,
    /// This line's top is so far below the top of the window.
    At(Line, i32),
    /// The message of that number, or what is in its place, is at the top.
    Number(u64),
}

/// The widget.
#[derive(Clone)]
pub(super) struct Timeline {
    widget: Widget,
    menu: MenuButton,
    state: Rc<RefCell<State>>,
}

struct State {
    chat: u64,
    anchor: Anchor,
    rows: Vec<Row>,
    cache: Cache,
    /// The line that the keyboard is at.
    cursor: Option<Line>,
    /// Where the scroll bar was taken: the mouse's distance from the top of the thumb.
    dragged: Option<i32>,
    hover: Option<(i32, i32)>,
    /// Everything there is, is in sight.
    fits: bool,
    frames: Frames,
}

impl Timeline {
    pub(super) fn new(ui: &Ui, frames: Frames) -> Self {
        let state = Rc::new(RefCell::new(State {
            chat: 0,
            anchor: Anchor::Newest,
            rows: Vec::new(),
            cache: Cache::default(),
            cursor: None,
            dragged: None,
            hover: None,
            fits: true,
            frames,
        }));
        let mut widget = Widget::new(0, 0, 0, 0, None);
        let menu = super::menu();
        {
            let (ui, state) = (ui.clone(), Rc::clone(&state));
            widget.draw(move |widget| state.borrow_mut().draw(widget, &ui));
        }
        {
            let (ui, state, menu) = (ui.clone(), Rc::clone(&state), menu.clone());
            widget.handle(move |widget, event| handle(&state, widget, event, &ui, &menu));
        }
        widget.set_visible_focus();
        Self { widget, menu, state }
    }

    pub(super) fn place(&mut self, x: i32, y: i32, w: i32, h: i32) {
        self.widget.resize(x, y, w, h);
    }

    /// Looks at the conversation from where it was left: at the first new message, or at the newest.
    pub(super) fn show_chat(&mut self, app: &App) {
        let mut state = self.state.borrow_mut();
        state.cursor = None;
        state.anchor = match app.chat.as_ref().and_then(|chat| chat.new_from) {
            // Below the line that says how many are new, and what was read before them.
            Some(number) => Anchor::At(Line::Message(number), 140),
            None => Anchor::Newest,
        };
    }

    pub(super) fn show_newest(&mut self) {
        self.state.borrow_mut().anchor = Anchor::Newest;
        self.widget.redraw();
    }

    pub(super) fn focus(&mut self) {
        let _ = self.widget.take_focus();
    }

    /// Scrolls by that many windows.
    pub(super) fn turn_page(&mut self, pages: i32) {
        let h = self.widget.h();
        self.state.borrow_mut().scroll((h - h / 8) * pages);
        self.widget.redraw();
    }

    /// Lays out what is in sight, and says what is missing and what was seen.
    pub(super) fn sync(&mut self, ui: &Ui) -> Vec<Msg> {
        let app = ui.app();
        super::paint_menu(&mut self.menu, ui.palette());
        let mut state = self.state.borrow_mut();
        let id = app.chat.as_ref().map_or(0, |chat| chat.id);
        if state.chat != id {
            state.chat = id;
            state.cache.clear();
            state.rows.clear();
        }
        let frames = state.frames.clone();
        frames.measure("layout", || state.lay_out(&app, self.widget.w(), self.widget.h()));
        self.widget.redraw();
        state.wants(&app, self.widget.h())
    }

    /// Whether the newest message is in sight.
    pub(super) fn is_at_newest(&self) -> bool {
        matches!(self.state.borrow().anchor, Anchor::Newest)
    }

    /// Whether the line above the first new message is above what is in sight.
    pub(super) fn new_is_above(&self, app: &App) -> bool {
        let state = self.state.borrow();
        let Some(new) = app.chat.as_ref().and_then(|chat| chat.new_from) else { return false };
        let first = state.rows.iter().find(|row| row.top >= 0).and_then(|row| row.number());
        first.is_some_and(|first| new < first)
    }

    /// Looks at the first new message.
    pub(super) fn show_new(&mut self, app: &App) {
        self.show_chat(app);
        self.widget.redraw();
    }
}

impl State {
    fn lay_out(&mut self, app: &App, w: i32, h: i32) {
        let Some(chat) = &app.chat else {
            self.rows.clear();
            return;
        };
        if w <= 0 || h <= 0 {
            return;
        }
        self.cache.for_width(w);
        if let Anchor::Number(number) = self.anchor {
            if chat.needed_for(&app.model, number).is_some()
                && let Some(gap) = chat.at(&app.model, number)
            {
                // It is far from everything in memory: one waits there for what is asked for.
                self.rows = vec![self.cache.row(app, gap, None, h / 2 - HOLE)];
                self.fits = false;
                return;
            }
            self.anchor = chat.at(&app.model, number).map_or(Anchor::Newest, |line| Anchor::At(line, 0));
        }
        // The line may have become another: a gap was filled, a message was stored or deleted.
        if let Anchor::At(line, top) = self.anchor
            && shown(&app.model, chat.id, line).is_none_or(|found| matches!(found, Shown::Gap | Shown::KeptBack(_)))
        {
            self.anchor = match line {
                Line::Message(number) => {
                    chat.at(&app.model, number).map_or(Anchor::Newest, |line| Anchor::At(line, top))
                }
                Line::Gap { before, after } | Line::KeptBack { before, after } => {
                    // What is above the gap's lower end stays.
                    let near = chat.at(&app.model, before.saturating_sub(1).max(after));
                    near.map_or(Anchor::Newest, |line| Anchor::At(line, top))
                }
                Line::Outgoing(_) => Anchor::Newest,
            };
        }
        let (start, top) = match self.anchor {
            Anchor::At(line, top) => (Some(line), top),
            _ => (chat.last(&app.model), 0),
        };
        let Some(start) = start else {
            self.rows.clear();
            self.anchor = Anchor::Newest;
            self.fits = true;
            return;
        };
        let mut rows = self.spread(app, start, top, h);
        let bottom = h - FOOT;
        let ends = |rows: &[Row]| (rows.first().map_or(0, |row| row.top), rows.last().map_or(0, |row| row.top + row.h));
        let is_last = |rows: &[Row]| rows.last().is_some_and(|row| chat.below(&app.model, row.line).is_none());
        let is_first = |rows: &[Row]| rows.first().is_some_and(|row| chat.above(&app.model, row.line).is_none());
        // The newest message is at the bottom, or below it.
        let (_, end) = ends(&rows);
        if matches!(self.anchor, Anchor::Newest) || (is_last(&rows) && end < bottom) {
            let shift = bottom - end;
            rows.iter_mut().for_each(|row| row.top += shift);
            let last = rows.last().map_or((start, top), |row| (row.line, row.top));
            rows = self.spread(app, last.0, last.1, h);
        }
        // The first message is at the top, or above it, unless all of them fit.
        let (begin, end) = ends(&rows);
        if is_first(&rows) && begin > 0 && end > bottom {
            let shift = begin.min(end - bottom);
            let first = rows.first().map_or((start, top), |row| (row.line, row.top - shift));
            rows = self.spread(app, first.0, first.1, h);
        }
        let (begin, end) = ends(&rows);
        self.fits = is_first(&rows) && is_last(&rows) && end - begin <= bottom;
        self.anchor = match rows.iter().find(|row| row.top + row.h > 0) {
            _ if is_last(&rows) && end <= bottom => Anchor::Newest,
            Some(row) => Anchor::At(row.line, row.top),
            None => Anchor::Newest,
        };
        self.rows = rows;
    }

    /// Rows from a line on in both directions, half a window farther than what is in sight: what is missing is asked for
    /// before it comes into sight, and somebody who jumps does not wait for much that they do not see.
    fn spread(&mut self, app: &App, start: Line, top: i32, h: i32) -> Vec<Row> {
        let Some(chat) = &app.chat else { return Vec::new() };
        let mut above = Vec::new();
        let (mut line, mut y) = (start, top);
        while y > -h / 2
            && let Some(next) = chat.above(&app.model, line)
        {
            let row = self.cache.row(app, next, chat.above(&app.model, next), 0);
            y -= row.h;
            above.push(Row { top: y, ..row });
            line = next;
            if row.is_hole() {
                break;
            }
        }
        above.reverse();
        let first = self.cache.row(app, start, chat.above(&app.model, start), top);
        let (mut line, mut y, mut hole) = (start, top + first.h, first.is_hole() && top > 0);
        let mut rows = above;
        rows.push(first);
        while y < h + h / 2
            && !hole
            && let Some(next) = chat.below(&app.model, line)
        {
            let row = self.cache.row(app, next, Some(line), y);
            y += row.h;
            hole = row.is_hole() && matches!(row.line, Line::Gap { .. });
            rows.push(row);
            line = next;
        }
        rows
    }

    /// What is missing in sight or near it, and what was seen.
    fn wants(&self, app: &App, h: i32) -> Vec<Msg> {
        let Some(chat) = &app.chat else { return Vec::new() };
        let mut wants = Vec::new();
        if let Anchor::Number(number) = self.anchor {
            let before = chat.needed_for(&app.model, number).filter(|_| chat.asked.is_none() && !chat.out_of_reach);
            return before.map(|before| Msg::Need { before }).into_iter().collect();
        }
        let gap = self.rows.iter().find_map(|row| match row.line {
            Line::Gap { after, before } => Some((row, after, before)),
            _ => None,
        });
        if let Some((row, after, before)) = gap
            && chat.asked.is_none()
            && !chat.out_of_reach
        {
            // From the side that one looks at.
            let from_below = row.top < h / 2;
            let before = if from_below { before } else { before.min(after + 1 + PAGE) };
            wants.push(Msg::Need { before });
        }
        let numbers = || self.rows.iter().filter_map(Row::number);
        if let (Some(first), Some(last)) = (numbers().min(), numbers().max()) {
            wants.push(Msg::Viewing { first, last });
        }
        // A message is seen once its end is, or most of the window is it.
        let seen = self.rows.iter().filter(|row| row.top + row.h <= h || row.top <= 0 && row.top + row.h > 0);
        if let Some(upto) = seen.filter_map(Row::number).max()
            && app.has_focus
            && app
                .model
                .conversations
                .get(&chat.id)
                .is_some_and(|found| found.readable().min(upto) > found.read(app.model.me()))
        {
            wants.push(Msg::Seen(upto));
        }
        wants
    }

    fn scroll(&mut self, by: i32) {
        let row = self.rows.iter().find(|row| row.top + row.h > 0).or(self.rows.last());
        let Some(row) = row else { return };
        self.anchor = Anchor::At(row.line, row.top - by);
    }

    /// Where the thumb of the scroll bar is: its top and height.
    fn thumb(&self, app: &App, h: i32) -> Option<(i32, i32)> {
        let chat = app.chat.as_ref()?;
        let found = app.model.conversations.get(&chat.id)?;
        if self.fits {
            return None;
        }
        let total = (found.last_number - found.cleared).max(1) as f64;
        let visible = |row: &&Row| row.top + row.h > 0 && row.top < h;
        let numbers: Vec<_> = self.rows.iter().filter(visible).filter_map(Row::number).collect();
        let (first, last) = match (numbers.first(), numbers.last()) {
            _ if let Anchor::Number(number) = self.anchor => (number, number),
            (Some(first), Some(last)) => (*first, *last),
            _ => match self.rows.iter().find(|row| row.top + row.h > 0)?.line {
                Line::Gap { after, before } | Line::KeptBack { after, before } => (after, before),
                _ => (found.last_number, found.last_number),
            },
        };
        let share = (last - first + 1) as f64 / total;
        let thumb = ((f64::from(h) * share) as i32).clamp(32, h);
        if matches!(self.anchor, Anchor::Newest) {
            return Some((h - thumb, thumb));
        }
        let place = (first - found.cleared).saturating_sub(1) as f64 / (total - (last - first) as f64).max(1.0);
        Some(((f64::from(h - thumb) * place.min(1.0)) as i32, thumb))
    }

    /// The scroll bar was moved so that its thumb's top is at `y`.
    fn drag_to(&mut self, app: &App, y: i32, h: i32) {
        let (Some((_, thumb)), Some(chat)) = (self.thumb(app, h), &app.chat) else { return };
        let Some(found) = app.model.conversations.get(&chat.id) else { return };
        let share = f64::from(y.clamp(0, h - thumb)) / f64::from((h - thumb).max(1));
        if share >= 1.0 {
            self.anchor = Anchor::Newest;
            return;
        }
        let total = (found.last_number - found.cleared) as f64;
        self.anchor = Anchor::Number(found.cleared + 1 + (total * share) as u64);
    }

    /// The row at a place of the window, and whether it is on its bubble.
    fn at(&self, x: i32, y: i32) -> Option<(&Row, bool)> {
        let row = self.rows.iter().find(|row| (row.top..row.top + row.h).contains(&y))?;
        let bubble = Rect::new(row.bubble.x, row.top + row.bubble.y, row.bubble.w, row.bubble.h);
        Some((row, bubble.contains(x, y)))
    }

    /// Moves the keyboard's place to the line above or below, and into sight.
    fn step(&mut self, app: &App, down: bool, h: i32) {
        let Some(chat) = &app.chat else { return };
        let in_sight = |row: &&Row| row.top + row.h > 0 && row.top < h && !row.is_hole();
        let next = match self.cursor {
            Some(line) if down => chat.below(&app.model, line),
            Some(line) => chat.above(&app.model, line),
            None => self.rows.iter().rev().find(in_sight).map(|row| row.line),
        };
        let Some(next) = next else { return };
        self.cursor = Some(next);
        let row = self.rows.iter().find(|row| row.line == next).map(|row| (row.top, row.h));
        match row {
            Some((top, _)) if top < 0 => self.anchor = Anchor::At(next, 8),
            Some((top, height)) if top + height > h => self.anchor = Anchor::At(next, (h - height - 8).min(8)),
            Some(_) => {}
            None => self.anchor = Anchor::At(next, h / 2),
        }
    }
}

/// What the mouse or the keyboard does to the messages.
fn handle(state: &Rc<RefCell<State>>, widget: &mut Widget, event: Event, ui: &Ui, menu: &MenuButton) -> bool {
    let (x, y) = (app::event_x() - widget.x(), app::event_y() - widget.y());
    let h = widget.h();
    match event {
        Event::MouseWheel => {
            let Some(turns) = super::wheel() else { return false };
            state.borrow_mut().scroll(turns * WHEEL);
            ui.post(Msg::Tick);
            true
        }
        Event::Push => {
            let _ = widget.take_focus();
            let thumb = state.borrow().thumb(&ui.app(), h);
            if let Some((top, height)) = thumb.filter(|_| x >= widget.w() - BAR_REACH) {
                let grip = if (top..top + height).contains(&y) { y - top } else { height / 2 };
                let mut state = state.borrow_mut();
                state.dragged = Some(grip);
                state.drag_to(&ui.app(), y - grip, h);
                ui.post(Msg::Tick);
                return true;
            }
            pushed(state, ui, menu, x, y);
            true
        }
        Event::Drag => {
            let grip = state.borrow().dragged;
            if let Some(grip) = grip {
                state.borrow_mut().drag_to(&ui.app(), y - grip, h);
                ui.post(Msg::Tick);
            }
            true
        }
        Event::Released => {
            state.borrow_mut().dragged = None;
            true
        }
        Event::Enter => true,
        Event::Leave => {
            state.borrow_mut().hover = None;
            draw::set_cursor(Cursor::Default);
            widget.redraw();
            true
        }
        Event::Move => {
            hovered(state, widget, ui, x, y);
            true
        }
        Event::Focus => {
            widget.redraw();
            true
        }
        Event::Unfocus => {
            state.borrow_mut().cursor = None;
            widget.redraw();
            true
        }
        Event::KeyDown => key(state, ui, menu, widget),
        _ => false,
    }
}

fn hovered(state: &Rc<RefCell<State>>, widget: &mut Widget, ui: &Ui, x: i32, y: i32) {
    let mut state = state.borrow_mut();
    let app = ui.app();
    let over = state.at(x, y).filter(|(_, on)| *on).map(|(row, _)| row.line);
    let is_link = state
        .at(x, y)
        .is_some_and(|(row, _)| row.kept_back(x, y).is_some() || state.cache.link(&app, row, x, y).is_some());
    draw::set_cursor(if is_link { Cursor::Hand } else { Cursor::Default });
    let exact = over.and_then(|line| {
        let said = shown(&app.model, state.chat, line)?.said()?;
        Some(match said.delivery {
            Some(delivery) => format!("{}, {}", words::exact(said.time_ms), words::delivery(delivery)),
            None => words::exact(said.time_ms),
        })
    });
    toolkit::tooltip(widget, exact.as_deref().unwrap_or(""));
    let is_near_bar = x >= widget.w() - BAR_REACH;
    let was_near_bar = state.hover.is_some_and(|(x, _)| x >= widget.w() - BAR_REACH);
    state.hover = Some((x, y));
    if is_near_bar != was_near_bar {
        widget.redraw();
    }
}

fn pushed(state: &Rc<RefCell<State>>, ui: &Ui, menu: &MenuButton, x: i32, y: i32) {
    let (line, link, kept_back) = {
        let state = state.borrow();
        let app = ui.app();
        let Some((row, on)) = state.at(x, y) else { return };
        (on.then_some(row.line), state.cache.link(&app, row, x, y), row.kept_back(x, y))
    };
    match kept_back {
        Some(true) => return ui.post(Msg::Next),
        Some(false) => return ui.post(Msg::Newest),
        None => {}
    }
    let Some(line) = line else { return };
    let is_choosing = ui.app().chat.as_ref().is_some_and(|chat| chat.choosing);
    if app::event_mouse_button() == app::MouseButton::Right {
        state.borrow_mut().cursor = Some(line);
        return context(ui, menu, line);
    }
    match line {
        Line::Message(number) if is_choosing => ui.post(Msg::Toggle(number)),
        Line::Outgoing(_) if refused(ui, line) => context(ui, menu, line),
        _ => match link {
            Some(address) => ui.post(Msg::Follow(address)),
            None => {
                let mut state = state.borrow_mut();
                state.cursor = None;
            }
        },
    }
}

fn refused(ui: &Ui, line: Line) -> bool {
    let app = ui.app();
    let id = app.chat.as_ref().map_or(0, |chat| chat.id);
    shown(&app.model, id, line).is_some_and(|found| found.is_refused())
}

/// What can be done with a message.
fn context(ui: &Ui, menu: &MenuButton, line: Line) {
    let mut menu = menu.clone();
    menu.clear();
    let mut add = |label: &str, msg: Msg| {
        let (ui, msg) = (ui.clone(), RefCell::new(Some(msg)));
        super::add_to_menu(&mut menu, label, move || {
            if let Some(msg) = msg.borrow_mut().take() {
                ui.post(msg);
            }
        });
    };
    {
        let app = ui.app();
        let id = app.chat.as_ref().map_or(0, |chat| chat.id);
        match shown(&app.model, id, line) {
            Some(Shown::Message(message, delivery)) => {
                add("Copy", Msg::Copy(message.text.0.clone()));
                add("Select", Msg::Choose(Some(message.number)));
                if delivery.is_some() {
                    add("Delete for everybody…", Msg::DeleteOne(message.number));
                }
            }
            Some(found @ Shown::Outgoing(outgoing, _)) => {
                if let Some(said) = found.said() {
                    add("Copy", Msg::Copy(said.text.to_owned()));
                }
                if let WriteState::Refused(_) | WriteState::Queued = outgoing.state {
                    add("Write again", Msg::Rewrite(outgoing.key));
                    add("Do not send", Msg::Discard(outgoing.key));
                }
            }
            _ => return,
        }
    }
    menu.popup();
}

fn key(state: &Rc<RefCell<State>>, ui: &Ui, menu: &MenuButton, widget: &mut Widget) -> bool {
    let h = widget.h();
    let cursor = state.borrow().cursor;
    let number = match cursor {
        Some(Line::Message(number)) => Some(number),
        _ => None,
    };
    let is_choosing = ui.app().chat.as_ref().is_some_and(|chat| chat.choosing);
    match app::event_key() {
        // To another conversation, wherever the keyboard is.
        _ if app::is_event_alt() => return false,
        Key::Up if app::is_event_shift() => state.borrow_mut().scroll(-ARROW),
        Key::Down if app::is_event_shift() => state.borrow_mut().scroll(ARROW),
        Key::Up => state.borrow_mut().step(&ui.app(), false, h),
        Key::Down => {
            let is_last = cursor.is_some_and(|line| {
                let app = ui.app();
                app.chat.as_ref().is_some_and(|chat| chat.below(&app.model, line).is_none())
            });
            if is_last {
                // Below the last message is the writing field.
                return false;
            }
            state.borrow_mut().step(&ui.app(), true, h);
        }
        Key::PageUp => state.borrow_mut().scroll(h / 8 - h),
        Key::PageDown => state.borrow_mut().scroll(h - h / 8),
        Key::Home => {
            let mut state = state.borrow_mut();
            state.anchor = Anchor::Number(1);
        }
        Key::End => ui.post(Msg::Newest),
        Key::Delete => match number {
            Some(number) if !is_choosing => ui.post(Msg::DeleteOne(number)),
            _ => ui.post(Msg::DeleteChosen),
        },
        Key::Menu => match cursor {
            Some(line) => context(ui, menu, line),
            None => return false,
        },
        key if key == Key::from_char(' ') => match number {
            Some(number) => ui.post(Msg::Toggle(number)),
            None => return false,
        },
        key if key == Key::from_char('c') && app::is_event_ctrl() => {
            let text = cursor.and_then(|line| {
                let app = ui.app();
                match shown(&app.model, app.chat.as_ref()?.id, line)? {
                    Shown::Message(message, _) => Some(message.text.0.clone()),
                    _ => None,
                }
            });
            match text {
                _ if is_choosing => ui.post(Msg::CopyChosen),
                Some(text) => ui.post(Msg::Copy(text)),
                None => return false,
            }
        }
        _ => return false,
    }
    ui.post(Msg::Tick);
    true
}
