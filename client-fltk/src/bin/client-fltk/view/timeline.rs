//! The messages of a conversation.
//!
//! Only lines in sight, and half a window above and below, are ever measured; everything else is numbers. The place that one
//! looks at is an *anchor*: a line and how far its top is from the top of the window, or simply the newest message. So
//! whatever comes above or below, what is looked at stays where it is.

mod input;
mod layout;
mod paint;
mod spoken;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use fltk::menu::MenuButton;
use fltk::prelude::*;
use fltk::widget::Widget;

use super::Ui;
use crate::app::chat::{Line, PAGE, Shown, shown};
use crate::app::{App, Msg};
use crate::frames::Frames;
use crate::look::paint::Rect;
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
    /// What is marked to be copied.
    marked: Option<Marked>,
    /// Where the button of the mouse went down on a message.
    pressed: Option<Pressed>,
    /// Everything there is, is in sight.
    fits: bool,
    frames: Frames,
}

/// A part of a message. Both ends are places between its letters; the first is where it was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marked {
    line: Line,
    from: usize,
    to: usize,
}

/// A message, and a place between its letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pressed {
    line: Line,
    at: usize,
}

impl Marked {
    fn range(&self) -> Range<usize> {
        self.from.min(self.to)..self.from.max(self.to)
    }

    /// Its text, if it is still there.
    fn text(&self, app: &App) -> Option<String> {
        let id = app.chat.as_ref()?.id;
        let text = shown(&app.model, id, self.line)?.said()?.text.get(self.range())?;
        (!text.is_empty()).then(|| text.to_owned())
    }
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
            marked: None,
            pressed: None,
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
            widget.handle(move |widget, event| input::handle(&state, widget, event, &ui, &menu));
        }
        widget.set_visible_focus();
        ui.speak(spoken::Spoken { widget: widget.clone(), state: Rc::clone(&state) });
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
            state.marked = None;
            state.pressed = None;
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
