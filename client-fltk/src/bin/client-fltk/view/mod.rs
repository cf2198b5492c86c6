//! What is on the screen. Each view is made once; `sync` brings it up to date with the state, and its callbacks only say
//! what the person has done ([`Ui::post`]): they change nothing themselves.
//!
//! [`shell`] has the window and which page is in it; [`server`], [`entry`], [`sidebar`], [`chat`] and [`settings`] are its
//! parts; [`spoken`] tells screen readers of them; [`timeline`] and [`list`] draw their own lines; [`button`] and [`field`] are what they are made of.

mod attention;
mod button;
mod chat;
mod entry;
mod field;
mod icon;
mod list;
mod server;
mod settings;
pub(crate) mod shell;
mod sidebar;
mod spoken;
mod timeline;
mod writing;

use std::cell::{Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use fltk::app;
use fltk::enums::FrameType;
use fltk::menu::MenuButton;
use fltk::prelude::*;
use fltk::widget::Widget;

use self::spoken::{Parts, Speaks};
use crate::app::{App, Msg, Theme};
use crate::look::palette::{CONTRAST, DARK, LIGHT};
use crate::look::{Palette, sizes, toolkit};

/// What every view can reach: the state to look at, and where to say what has happened.
#[derive(Clone)]
pub(crate) struct Ui {
    app: Rc<RefCell<App>>,
    posted: Rc<RefCell<VecDeque<Msg>>>,
    spoken: Parts,
}

impl Ui {
    pub(crate) fn new(app: Rc<RefCell<App>>, posted: Rc<RefCell<VecDeque<Msg>>>) -> Self {
        Self { app, posted, spoken: Parts::default() }
    }

    /// From now on a part of the window is known to screen readers.
    fn speak(&self, part: impl Speaks + 'static) {
        self.spoken.borrow_mut().push(Box::new(part));
    }

    /// The parts that are.
    fn parts(&self) -> Ref<'_, Vec<Box<dyn Speaks>>> {
        self.spoken.borrow()
    }

    /// The state. It is changed only between events.
    fn app(&self) -> Ref<'_, App> {
        self.app.borrow()
    }

    /// Says what the person has done.
    fn post(&self, msg: Msg) {
        self.posted.borrow_mut().push_back(msg);
    }

    fn palette(&self) -> &'static Palette {
        match self.app().settings.theme {
            Theme::Dark => &DARK,
            Theme::Light => &LIGHT,
            Theme::Contrast => &CONTRAST,
        }
    }
}

/// Shows or hides a widget, and draws nothing if that is how it is already.
fn show<W: WidgetExt>(widget: &mut W, shown: bool) {
    if widget.visible() != shown {
        if shown { widget.show() } else { widget.hide() }
    }
}

/// Lets a widget be used or not, and draws nothing if that is how it is already.
fn enable<W: WidgetExt>(widget: &mut W, enabled: bool) {
    if widget.active() != enabled {
        if enabled {
            widget.activate()
        } else {
            widget.deactivate()
        }
        widget.redraw();
    }
}

/// A widget that is only drawn.
fn canvas(ui: &Ui, draw: impl Fn(&Widget, &Ui) + 'static) -> Widget {
    let mut widget = Widget::new(0, 0, 0, 0, None);
    let ui = ui.clone();
    widget.draw(move |widget| draw(widget, &ui));
    widget
}

/// Where what stands in the bar above a page begins: beside the way back, where there is one.
fn head_left(head: &Widget) -> i32 {
    let is_narrow = head.window().is_some_and(|window| is_narrow(window.w()));
    head.x() + if is_narrow { 76 } else { 20 }
}

/// Whether a conversation covers the list: a window of this width has no room for both.
fn is_narrow(width: i32) -> bool {
    width < sizes::WIDE
}

/// How often the wheel was turned, downwards; `None`: not at all in this direction.
fn wheel() -> Option<i32> {
    match app::event_dy() {
        app::MouseWheel::Up => Some(-1),
        app::MouseWheel::Down => Some(1),
        _ => None,
    }
}

/// A menu that appears where the mouse is.
fn menu() -> MenuButton {
    let mut menu = MenuButton::new(0, 0, 0, 0, None);
    // With a frame it would appear below its own place.
    menu.set_frame(FrameType::NoBox);
    menu.set_menu_frame(FrameType::BorderBox);
    menu.set_text_size(sizes::TEXT);
    menu.hide();
    menu
}

/// One more line of a menu, with room around its words.
fn add_to_menu(menu: &mut MenuButton, label: &str, chosen: impl FnMut() + 'static) {
    toolkit::add_to_menu(menu, &format!("  {label}    "), chosen);
}

fn paint_menu(menu: &mut MenuButton, palette: &Palette) {
    menu.set_color(palette.raised.into());
    menu.set_text_color(palette.text.into());
    menu.set_selection_color(palette.accent_fill.into());
}
