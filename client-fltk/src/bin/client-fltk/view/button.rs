//! Buttons.

use std::ops::{Deref, DerefMut};

use accesskit::{Action, Node, NodeId, Role};
use fltk::app;
use fltk::button;
use fltk::draw;
use fltk::enums::{Cursor, Event, FrameType, Key};
use fltk::prelude::*;

use super::spoken::{Place, Speaks, node_of};
use super::{Ui, enable};
use crate::app::{App, Msg};
use crate::look::paint::{self, BOLD, PLAIN, Rect};
use crate::look::{sizes, toolkit};

/// How a button looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// The one thing to do here.
    Primary,
    /// Destroys something.
    Danger,
    /// Another thing to do.
    Plain,
    /// Words in a bar.
    Quiet,
    /// Words that lead elsewhere.
    Link,
    /// One of a row of places; with the one that is shown.
    Tab,
    /// One of several ways that something can be; with the one that it is.
    Choice,
}

/// A button; it is pressed by the mouse, by Space and by Enter.
#[derive(Clone)]
pub(super) struct Button(button::Button);

impl Button {
    /// `pressed` says what that means.
    pub(super) fn new(ui: &Ui, style: Style, label: &str, pressed: impl Fn() -> Msg + 'static) -> Self {
        let mut button = button::Button::new(0, 0, 0, 0, None);
        toolkit::label(&mut button, label);
        button.set_frame(FrameType::NoBox);
        let drawn = ui.clone();
        button.super_draw(false);
        button.draw(move |button| draw(button, style, &drawn));
        let posted = ui.clone();
        button.set_callback(move |_| posted.post(pressed()));
        button.super_handle_first(false);
        button.handle(move |button, event| match event {
            Event::Enter => {
                draw::set_cursor(Cursor::Hand);
                button.redraw();
                true
            }
            Event::Leave => {
                draw::set_cursor(Cursor::Default);
                button.redraw();
                true
            }
            Event::KeyDown if matches!(app::event_key(), Key::Enter | Key::KPEnter) && button.has_focus() => {
                button.do_callback();
                true
            }
            _ => false,
        });
        ui.speak(Spoken { button: button.clone(), style });
        Self(button)
    }

    /// Changes the words, if they are others.
    pub(super) fn say(&mut self, label: &str) {
        if self.0.label() != label {
            toolkit::label(&mut self.0, label);
            self.0.redraw();
        }
    }

    /// Whether it can be pressed.
    pub(super) fn enable(&mut self, enabled: bool) {
        enable(&mut self.0, enabled);
    }

    /// How wide it wants to be.
    pub(super) fn wanted(&self) -> i32 {
        BOLD.width(&self.0.label()).ceil() as i32 + 36
    }
}

impl Deref for Button {
    type Target = button::Button;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Button {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// A button, as it is spoken of.
struct Spoken {
    button: button::Button,
    style: Style,
}

impl Speaks for Spoken {
    fn nodes(&self, _: &App, place: Place, nodes: &mut Vec<(NodeId, Node)>) {
        let button = &self.button;
        if !button.visible_r() {
            return;
        }
        let role = match self.style {
            Style::Tab => Role::Tab,
            Style::Choice => Role::RadioButton,
            _ => Role::Button,
        };
        // Signs in front of words are for eyes.
        let label = match button.label().trim_start_matches(['‹', '↑', '↓', ' ']) {
            "···" => "More".to_owned(),
            label => label.to_owned(),
        };
        let mut node = node_of(button, role, &label);
        match self.style {
            Style::Tab => node.set_selected(button.value()),
            Style::Choice => node.set_toggled(button.value().into()),
            _ => {}
        }
        if !button.active_r() {
            node.set_disabled();
        }
        node.add_action(Action::Click);
        node.add_action(Action::Focus);
        nodes.push((place.whole(), node));
    }

    fn focus(&self, _: &App, place: Place) -> Option<NodeId> {
        self.button.has_focus().then(|| place.whole())
    }

    fn act(&self, _: &Ui, _: Option<u64>, action: Action, _: Option<&str>) {
        let mut button = self.button.clone();
        match action {
            Action::Click if button.active_r() && button.visible_r() => button.do_callback(),
            Action::Focus => drop(button.take_focus()),
            _ => {}
        }
    }
}

fn draw(button: &mut button::Button, style: Style, ui: &Ui) {
    let palette = ui.palette();
    let rect = Rect::of(button);
    let hover = app::belowmouse::<button::Button>().is_some_and(|below| below.is_same(button)) && button.active();
    let label = button.label();
    let active = button.active_r();
    match style {
        Style::Primary | Style::Danger => {
            let ground = match style {
                Style::Danger => palette.danger_fill,
                _ if hover => palette.accent_hover,
                _ => palette.accent_fill,
            };
            if active {
                paint::rounded(rect, sizes::FIELD_RADIUS, ground);
                paint::centered(&label, rect, BOLD, palette.on_fill);
            } else {
                paint::rounded(rect, sizes::FIELD_RADIUS, palette.raised);
                paint::centered(&label, rect, BOLD, palette.text_dim);
            }
        }
        Style::Plain => {
            paint::rounded(rect, sizes::FIELD_RADIUS, if hover { palette.selected } else { palette.raised });
            paint::rounded_line(rect, sizes::FIELD_RADIUS, 1, palette.line);
            paint::centered(&label, rect, PLAIN, if active { palette.text } else { palette.text_dim });
        }
        Style::Choice => {
            let chosen = button.value();
            paint::rounded(rect, sizes::FIELD_RADIUS, if hover || chosen { palette.selected } else { palette.surface });
            let line = if chosen { palette.accent } else { palette.line };
            paint::rounded_line(rect, sizes::FIELD_RADIUS, 1, line);
            let (face, rgb) = if chosen { (BOLD, palette.text) } else { (PLAIN, palette.text_dim) };
            paint::centered(&label, rect, face, rgb);
        }
        Style::Quiet => paint::centered(&label, rect, PLAIN, if hover { palette.text } else { palette.text_dim }),
        Style::Link => {
            let face = if hover { BOLD } else { PLAIN };
            paint::centered(&label, rect, face, palette.accent);
        }
        Style::Tab => {
            let chosen = button.value();
            if chosen {
                paint::fill(Rect::new(rect.x, rect.y, rect.w, 2), palette.accent);
            }
            paint::centered(&label, rect, PLAIN, if chosen || hover { palette.text } else { palette.text_dim });
        }
    }
    if button.has_focus() {
        paint::rounded_line(
            rect.inset(2),
            sizes::FIELD_RADIUS,
            1,
            if style == Style::Primary { palette.on_fill } else { palette.accent },
        );
    }
}
