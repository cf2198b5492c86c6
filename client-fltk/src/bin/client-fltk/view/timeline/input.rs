//! What the mouse and the keyboard do to the messages.

use std::cell::RefCell;
use std::rc::Rc;

use client_fltk::model::WriteState;
use fltk::app;
use fltk::draw;
use fltk::enums::{Cursor, Event, Key};
use fltk::menu::MenuButton;
use fltk::prelude::*;
use fltk::widget::Widget;

use super::super::{Ui, add_to_menu, wheel};
use super::{ARROW, Anchor, BAR_REACH, Marked, Pressed, State, WHEEL};
use crate::app::chat::{Line, Shown, shown};
use crate::app::{App, Msg, words};
use crate::look::text::word_at;
use crate::look::toolkit;

/// How far each movement of the mouse beyond the edge scrolls while something is marked.
const DRAG: i32 = 20;

/// What the mouse or the keyboard does to the messages.
pub(super) fn handle(
    state: &Rc<RefCell<State>>,
    widget: &mut Widget,
    event: Event,
    ui: &Ui,
    menu: &MenuButton,
) -> bool {
    let (x, y) = (app::event_x() - widget.x(), app::event_y() - widget.y());
    let h = widget.h();
    match event {
        Event::MouseWheel => {
            let Some(turns) = wheel() else { return false };
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
            let (grip, pressed) = (state.borrow().dragged, state.borrow().pressed);
            if let Some(grip) = grip {
                state.borrow_mut().drag_to(&ui.app(), y - grip, h);
                ui.post(Msg::Tick);
            } else if let Some(pressed) = pressed {
                mark(&mut state.borrow_mut(), &ui.app(), pressed, (x, y), h);
                ui.post(Msg::Tick);
            }
            true
        }
        Event::Released => {
            state.borrow_mut().dragged = None;
            released(state, ui, x, y);
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
    draw::set_cursor(match over {
        _ if is_link => Cursor::Hand,
        Some(_) if !app.chat.as_ref().is_some_and(|chat| chat.choosing) => Cursor::Insert,
        _ => Cursor::Default,
    });
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
    let (line, caret, kept_back) = {
        let state = state.borrow();
        let app = ui.app();
        let Some((row, on)) = state.at(x, y) else { return };
        (on.then_some(row.line), state.cache.caret(&app, row, x, y), row.kept_back(x, y))
    };
    match kept_back {
        Some(true) => return ui.post(Msg::Next),
        Some(false) => return ui.post(Msg::Newest),
        None => {}
    }
    let marked = state.borrow().marked;
    if app::event_mouse_button() != app::MouseButton::Right {
        state.borrow_mut().marked = None;
        ui.post(Msg::Tick);
    }
    let Some(line) = line else { return };
    let is_choosing = ui.app().chat.as_ref().is_some_and(|chat| chat.choosing);
    if app::event_mouse_button() == app::MouseButton::Right {
        state.borrow_mut().cursor = Some(line);
        let marked = marked.filter(|marked| marked.line == line);
        return context(ui, menu, line, marked.and_then(|marked| marked.text(&ui.app())));
    }
    match line {
        Line::Message(number) if is_choosing => ui.post(Msg::Toggle(number)),
        Line::Outgoing(_) if refused(ui, line) => context(ui, menu, line, None),
        _ => {
            let mut state = state.borrow_mut();
            state.cursor = None;
            let Some(at) = caret else { return };
            if !app::event_clicks() {
                state.pressed = Some(Pressed { line, at });
                return;
            }
            let app = ui.app();
            state.marked = word(&app, line, at);
            if let Some(text) = state.marked.and_then(|marked| marked.text(&app)) {
                toolkit::select(&text);
            }
        }
    }
}

/// The word at a place of a message.
fn word(app: &App, line: Line, at: usize) -> Option<Marked> {
    let text = shown(&app.model, app.chat.as_ref()?.id, line)?.said()?.text;
    let word = word_at(text, at);
    Some(Marked { line, from: word.start, to: word.end })
}

/// Marks from where the mouse was pressed to where it is now, within that message.
fn mark(state: &mut State, app: &App, Pressed { line, at }: Pressed, (x, y): (i32, i32), h: i32) {
    if !(0..h).contains(&y) {
        state.scroll(if y < 0 { -DRAG } else { DRAG });
    }
    let row = state.rows.iter().find(|row| row.line == line);
    if let Some(to) = row.and_then(|row| state.cache.caret(app, row, x, y)) {
        // A hand that trembles marks nothing.
        let is_begun = state.marked.is_some() || to != at;
        state.marked = is_begun.then_some(Marked { line, from: at, to });
    }
}

/// The button is up again: a link is followed if nothing was marked, and what was marked can be inserted elsewhere.
fn released(state: &Rc<RefCell<State>>, ui: &Ui, x: i32, y: i32) {
    let Some(pressed) = state.borrow_mut().pressed.take() else { return };
    let marked = state.borrow().marked;
    if let Some(text) = marked.and_then(|marked| marked.text(&ui.app())) {
        return toolkit::select(&text);
    }
    let state = state.borrow();
    let link = state.at(x, y).filter(|(row, on)| *on && row.line == pressed.line);
    if let Some(address) = link.and_then(|(row, _)| state.cache.link(&ui.app(), row, x, y)) {
        ui.post(Msg::Follow(address));
    }
}

fn refused(ui: &Ui, line: Line) -> bool {
    let app = ui.app();
    let id = app.chat.as_ref().map_or(0, |chat| chat.id);
    shown(&app.model, id, line).is_some_and(|found| found.is_refused())
}

/// What can be done with a message.
fn context(ui: &Ui, menu: &MenuButton, line: Line, marked: Option<String>) {
    let mut menu = menu.clone();
    menu.clear();
    let mut add = |label: &str, msg: Msg| {
        let (ui, msg) = (ui.clone(), RefCell::new(Some(msg)));
        add_to_menu(&mut menu, label, move || {
            if let Some(msg) = msg.borrow_mut().take() {
                ui.post(msg);
            }
        });
    };
    if let Some(marked) = marked {
        add("Copy what is marked", Msg::Copy(marked));
    }
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
            Some(line) => context(ui, menu, line, None),
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
            let marked = state.borrow().marked.and_then(|marked| marked.text(&ui.app()));
            match marked.or(text) {
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
