//! The field that messages are written into.
//!
//! It stands on FLTK's text editor, not on its input. The input breaks lines at spaces only and holds no more than 1020
//! bytes of one line: in writings without spaces, where a letter has several bytes, it cuts one in two there, and FLTK's
//! care for the broken letter then writes beyond the end of its memory. The editor breaks lines between any two letters.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use accesskit::{Action, Node, NodeId, Role};
use fltk::app;
use fltk::draw;
use fltk::enums::{Align, Event, FrameType};
use fltk::group::Group;
use fltk::prelude::*;
use fltk::text::{Cursor, TextBuffer, TextEditor, WrapMode};
use wire::limits::MESSAGE_TEXT_BYTES_MAX;

use super::field::frame;
use super::spoken::{Place, Speaks, node_of};
use super::{Ui, enable, show};
use crate::app::sending::FIELD_BYTES_MAX;
use crate::app::{App, Msg};
use crate::look::paint::{self, PLAIN, Rect};
use crate::look::{sizes, toolkit};

/// Between the edge of the field and its text, which begins at the top.
const INSET_X: i32 = 10;
const INSET_Y: i32 = 10;

/// What the editor leaves free to the left and right of its lines, together.
const MARGINS: i32 = 8;

/// A rounded box with an editor in it.
#[derive(Clone)]
pub(super) struct Writing {
    group: Group,
    editor: TextEditor,
    buffer: TextBuffer,
    hint: Rc<RefCell<String>>,
    /// What changes now is no news to anybody.
    is_quiet: Rc<Cell<bool>>,
}

impl Writing {
    pub(super) fn new(ui: &Ui) -> Self {
        let mut group = Group::new(0, 0, 0, 0, None);
        group.set_frame(FrameType::NoBox);
        let buffer = TextBuffer::default();
        let mut editor = TextEditor::new(0, 0, 0, 0, None);
        editor.set_buffer(buffer.clone());
        editor.set_scrollbar_align(Align::Center);
        editor.set_tab_nav(true);
        editor.set_cursor_style(Cursor::Simple);
        editor.set_frame(FrameType::FlatBox);
        editor.set_text_size(sizes::TEXT);
        group.end();
        group.resizable(&editor);
        {
            let editor = editor.clone();
            frame(&mut group, ui, move || editor.has_focus(), || false);
        }
        let hint = Rc::new(RefCell::new(String::new()));
        {
            let (ui, hint, buffer) = (ui.clone(), Rc::clone(&hint), buffer.clone());
            editor.draw(move |editor| {
                if buffer.length() == 0 {
                    let rect = Rect::new(editor.x() + 3, editor.y() + 1, editor.w() - 6, sizes::LINE - 2);
                    paint::line(&hint.borrow(), rect, PLAIN, ui.palette().text_dim);
                }
            });
        }
        let mut writing = Self { group, editor, buffer, hint, is_quiet: Rc::default() };
        ui.speak(Spoken(writing.clone()));
        writing.on_event(ui, |_, _| false);
        writing
    }

    /// `handle` sees events before the field itself, and is told whether nothing is in it; it says whether nothing else is
    /// to be done.
    pub(super) fn on_event(&mut self, ui: &Ui, handle: impl Fn(bool, Event) -> bool + 'static) {
        let (ui, mut group, buffer) = (ui.clone(), self.group.clone(), self.buffer.clone());
        self.editor.super_handle_first(false);
        self.editor.handle(move |_, event| {
            if matches!(event, Event::Focus | Event::Unfocus) {
                group.redraw();
            }
            if handle(buffer.length() == 0, event) {
                return true;
            }
            let bytes = too_much(&buffer, event);
            bytes.into_iter().for_each(|bytes| ui.post(Msg::TooLong { bytes }));
            bytes.is_some()
        });
    }

    /// Tells of every change that somebody makes.
    pub(super) fn on_change(&mut self, changed: impl Fn(String) + 'static) {
        let (mut editor, is_quiet, whole) = (self.editor.clone(), Rc::clone(&self.is_quiet), self.buffer.clone());
        self.buffer.add_modify_callback(move |_, inserted, deleted, _, _| {
            if inserted > 0 || deleted > 0 {
                // The hint comes or goes.
                editor.redraw();
                if !is_quiet.get() {
                    changed(whole.text());
                }
            }
        });
    }

    pub(super) fn place(&mut self, x: i32, y: i32, w: i32, h: i32) {
        let (is_other_width, is_other_height) = (self.group.w() != w, self.group.h() != h);
        self.group.widget_resize(x, y, w, h);
        self.editor.resize(x + INSET_X, y + INSET_Y, w - 2 * INSET_X, h - 2 * INSET_Y);
        if is_other_width {
            // Where its bounds are it would make room for a scroll bar.
            self.editor.wrap_mode(WrapMode::AtPixel, self.editor.w() - MARGINS);
        }
        if is_other_height {
            // What had to move out of a lower field has room again.
            self.editor.scroll(1, 0);
            self.editor.show_insert_position();
        }
    }

    /// How high each further line makes it.
    pub(super) fn line() -> i32 {
        PLAIN.set();
        draw::height()
    }

    /// Brings the colours up to date.
    pub(super) fn sync(&mut self, ui: &Ui) {
        let palette = ui.palette();
        if self.editor.text_color() != palette.text.into() || self.editor.color() != palette.raised.into() {
            self.editor.set_color(palette.raised.into());
            self.editor.set_text_color(palette.text.into());
            self.editor.set_cursor_color(palette.text.into());
            self.editor.set_selection_color(palette.accent_fill.into());
            self.group.redraw();
        }
    }

    pub(super) fn hint(&mut self, hint: &str) {
        if *self.hint.borrow() != hint {
            hint.clone_into(&mut self.hint.borrow_mut());
            self.editor.redraw();
        }
    }

    pub(super) fn value(&self) -> String {
        self.buffer.text()
    }

    pub(super) fn set_value(&mut self, value: &str) {
        if self.value() != value {
            self.is_quiet.set(true);
            toolkit::fill(&mut self.buffer, value);
            self.is_quiet.set(false);
            self.editor.set_insert_position(self.buffer.length());
            self.editor.show_insert_position();
            self.group.redraw();
        }
    }

    /// Takes out what is there to be sent; spaces alone are left where they are. `None`: it is too long for one message, and
    /// stays too.
    ///
    /// At the event itself, not when it is dealt with: whatever is typed next is of the next message.
    pub(super) fn take(&mut self) -> Option<String> {
        let text = self.value();
        if text.trim().is_empty() {
            return Some(String::new());
        }
        if text.trim().len() > MESSAGE_TEXT_BYTES_MAX {
            return None;
        }
        self.set_value("");
        Some(text)
    }

    pub(super) fn focus(&mut self) {
        let _ = self.editor.take_focus();
    }

    pub(super) fn enable(&mut self, enabled: bool) {
        enable(&mut self.group, enabled);
    }

    pub(super) fn shown(&mut self, shown: bool) {
        show(&mut self.group, shown);
    }
}

/// The field, as it is spoken of.
struct Spoken(Writing);

impl Speaks for Spoken {
    fn nodes(&self, _: &App, place: Place, nodes: &mut Vec<(NodeId, Node)>) {
        let Writing { editor, buffer, hint, .. } = &self.0;
        if !editor.visible_r() {
            return;
        }
        let mut node = node_of(editor, Role::MultilineTextInput, &hint.borrow());
        node.set_value(buffer.text());
        if !editor.active_r() {
            node.set_disabled();
        }
        node.add_action(Action::Focus);
        node.add_action(Action::SetValue);
        nodes.push((place.whole(), node));
    }

    fn focus(&self, _: &App, place: Place) -> Option<NodeId> {
        self.0.editor.has_focus().then(|| place.whole())
    }

    fn act(&self, _: &Ui, _: Option<u64>, action: Action, text: Option<&str>) {
        let mut writing = self.0.clone();
        match (action, text) {
            (Action::Focus, _) => writing.focus(),
            // As if it had been typed: whoever listens to changes hears of it.
            (Action::SetValue, Some(text)) if text.len() <= FIELD_BYTES_MAX => toolkit::fill(&mut writing.buffer, text),
            _ => {}
        }
    }
}

/// How many bytes there would be if an event were taken that puts more into the field than fits. It is not taken then, and
/// what is there stays.
fn too_much(buffer: &TextBuffer, event: Event) -> Option<usize> {
    if !matches!(event, Event::Paste | Event::KeyDown) {
        return None;
    }
    let text = app::event_text();
    let is_text = event == Event::Paste || text.chars().next().is_some_and(|c| !c.is_control());
    let length = usize::try_from(buffer.length()).unwrap_or(0);
    Some(length + text.len()).filter(|&bytes| is_text && bytes > FIELD_BYTES_MAX)
}
