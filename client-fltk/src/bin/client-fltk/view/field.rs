//! Fields to write into.

use std::cell::Cell;
use std::rc::Rc;

use accesskit::{Action, Invalid, Node, NodeId, Role};
use fltk::app;
use fltk::enums::{Event, FrameType, Key};
use fltk::group::Group;
use fltk::input::{Input, InputType};
use fltk::prelude::*;

use super::spoken::{Place, Speaks, node_of};
use super::{Ui, show};
use crate::app::{App, Msg};
use crate::look::paint::{self, PLAIN, Rect};
use crate::look::{sizes, toolkit};

/// What is written into a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Line,
    Secret,
}

/// Between the edge of a field and its text.
const INSET_X: i32 = 10;
const INSET_Y: i32 = 4;

/// Bytes in a field. FLTK's input draws no more than 1020 of a line, and must not be brought to cut a letter in two there.
const BYTES_MAX: i32 = 1000;

/// A field: a rounded box with an input in it.
#[derive(Clone)]
pub(super) struct Field {
    group: Group,
    pub(super) input: Input,
    hint: Rc<std::cell::RefCell<String>>,
    is_wrong: Rc<Cell<bool>>,
    /// What it is called where nobody sees what is painted beside it.
    name: Rc<std::cell::RefCell<String>>,
}

impl Field {
    /// `hint` is shown while nothing is in it.
    pub(super) fn new(ui: &Ui, kind: Kind, hint: &str) -> Self {
        let mut group = Group::new(0, 0, 0, 0, None);
        group.set_frame(FrameType::NoBox);
        let mut input = Input::new(0, 0, 0, 0, None);
        input.set_type(match kind {
            Kind::Line => InputType::Normal,
            Kind::Secret => InputType::Secret,
        });
        input.set_tab_nav(true);
        input.set_frame(FrameType::FlatBox);
        input.set_text_size(sizes::TEXT);
        input.set_maximum_size(BYTES_MAX);
        group.end();
        let hint = Rc::new(std::cell::RefCell::new(hint.to_owned()));
        let is_wrong = Rc::new(Cell::new(false));
        {
            let (input, is_wrong) = (input.clone(), Rc::clone(&is_wrong));
            frame(&mut group, ui, move || input.has_focus(), move || is_wrong.get());
        }
        {
            let (ui, hint) = (ui.clone(), Rc::clone(&hint));
            input.draw(move |input| {
                if input.value().is_empty() {
                    let rect = Rect::new(input.x() + 3, input.y(), input.w() - 6, input.h().min(sizes::FIELD));
                    paint::line(&hint.borrow(), rect, PLAIN, ui.palette().text_dim);
                }
            });
        }
        let name = Rc::default();
        let mut field = Self { group, input, hint, is_wrong, name };
        ui.speak(Spoken { field: field.clone(), kind });
        field.on_event(|_, _| false);
        field
    }

    /// What it is called by screen readers, where that is not what its hint says.
    pub(super) fn named(self, name: &str) -> Self {
        name.clone_into(&mut self.name.borrow_mut());
        self
    }

    /// `handle` sees events before the field itself; it says whether nothing else is to be done.
    pub(super) fn on_event(&mut self, handle: impl Fn(&mut Input, Event) -> bool + 'static) {
        let mut group = self.group.clone();
        self.input.super_handle_first(false);
        self.input.handle(move |input, event| {
            if matches!(event, Event::Focus | Event::Unfocus) {
                group.redraw();
            }
            handle(input, event)
        });
    }

    /// Enter sends what `pressed` makes.
    pub(super) fn on_enter(&mut self, ui: &Ui, pressed: impl Fn() -> Msg + 'static) {
        let ui = ui.clone();
        self.on_event(move |_, event| {
            let is_enter = event == Event::KeyDown && matches!(app::event_key(), Key::Enter | Key::KPEnter);
            if is_enter {
                ui.post(pressed());
            }
            is_enter
        });
    }

    /// Tells of every change.
    pub(super) fn on_change(&mut self, changed: impl Fn(String) + 'static) {
        self.input.set_trigger(fltk::enums::CallbackTrigger::Changed);
        self.input.set_callback(move |input| changed(input.value()));
    }

    pub(super) fn place(&mut self, x: i32, y: i32, w: i32, h: i32) {
        self.group.widget_resize(x, y, w, h);
        self.input.resize(x + INSET_X, y + INSET_Y, w - 2 * INSET_X, h - 2 * INSET_Y);
    }

    /// Brings the colours up to date, and whether something is wrong with it.
    pub(super) fn sync(&mut self, ui: &Ui, is_wrong: bool) {
        let palette = ui.palette();
        if self.input.text_color() != palette.text.into() || self.input.color() != palette.raised.into() {
            self.input.set_color(palette.raised.into());
            self.input.set_text_color(palette.text.into());
            self.input.set_cursor_color(palette.text.into());
            self.input.set_selection_color(palette.accent_fill.into());
            self.group.redraw();
        }
        if self.is_wrong.replace(is_wrong) != is_wrong {
            self.group.redraw();
        }
    }

    pub(super) fn hint(&mut self, hint: &str) {
        if *self.hint.borrow() != hint {
            hint.clone_into(&mut self.hint.borrow_mut());
            self.input.redraw();
        }
    }

    pub(super) fn value(&self) -> String {
        self.input.value()
    }

    pub(super) fn set_value(&mut self, value: &str) {
        if self.input.value() != value {
            toolkit::fill_in(&mut self.input, value);
            self.group.redraw();
        }
    }

    pub(super) fn focus(&mut self) {
        let _ = self.input.take_focus();
    }

    pub(super) fn shown(&mut self, shown: bool) {
        show(&mut self.group, shown);
    }
}

/// A field, as it is spoken of.
struct Spoken {
    field: Field,
    kind: Kind,
}

impl Speaks for Spoken {
    fn nodes(&self, _: &App, place: Place, nodes: &mut Vec<(NodeId, Node)>) {
        let Field { input, hint, is_wrong, name, .. } = &self.field;
        if !input.visible_r() {
            return;
        }
        let role = match self.kind {
            Kind::Line => Role::TextInput,
            Kind::Secret => Role::PasswordInput,
        };
        let (name, hint) = (name.borrow(), hint.borrow());
        let mut node = node_of(input, role, if name.is_empty() { &hint } else { &name });
        if !name.is_empty() && !hint.is_empty() {
            node.set_placeholder(hint.as_str());
        }
        if self.kind == Kind::Line {
            node.set_value(input.value());
        }
        if is_wrong.get() {
            node.set_invalid(Invalid::True);
        }
        node.add_action(Action::Focus);
        node.add_action(Action::SetValue);
        nodes.push((place.whole(), node));
    }

    fn focus(&self, _: &App, place: Place) -> Option<NodeId> {
        self.field.input.has_focus().then(|| place.whole())
    }

    fn act(&self, _: &Ui, _: Option<u64>, action: Action, text: Option<&str>) {
        let mut field = self.field.clone();
        match (action, text) {
            (Action::Focus, _) => field.focus(),
            (Action::SetValue, Some(text)) => {
                field.set_value(text);
                // As if it had been typed.
                field.input.do_callback();
            }
            _ => {}
        }
    }
}

/// Draws the box around a field below what is in it.
pub(super) fn frame(
    group: &mut Group,
    ui: &Ui,
    has_focus: impl Fn() -> bool + 'static,
    is_wrong: impl Fn() -> bool + 'static,
) {
    let ui = ui.clone();
    group.super_draw_first(false);
    group.draw(move |group| {
        let palette = ui.palette();
        let rect = Rect::of(group);
        let edge = match () {
            () if is_wrong() => palette.danger,
            () if has_focus() => palette.accent,
            () => palette.line,
        };
        paint::rounded(rect, sizes::FIELD_RADIUS, palette.raised);
        paint::rounded_line(rect, sizes::FIELD_RADIUS, 1, edge);
    });
}
