//! What is on the screen. Each view is made once; `sync` brings it up to date with the state, and its callbacks only say
//! what the person has done ([`Ui::post`]): they change nothing themselves.
//!
//! [`shell`] has the window and which page is in it; [`server`], [`entry`], [`sidebar`], [`chat`] and [`settings`] are its
//! parts; [`timeline`] and [`list`] draw their own lines; [`button`] and [`field`] are what they are made of.

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
mod timeline;
mod writing;

use std::cell::{Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use fltk::enums::FrameType;
use fltk::menu::MenuButton;
use fltk::prelude::*;

use crate::app::{App, Msg, Theme};
use crate::look::palette::{DARK, LIGHT};
use crate::look::{Palette, sizes};

/// What every view can reach: the state to look at, and where to say what has happened.
#[derive(Clone)]
pub(crate) struct Ui {
    app: Rc<RefCell<App>>,
    posted: Rc<RefCell<VecDeque<Msg>>>,
}

impl Ui {
    pub(crate) fn new(app: Rc<RefCell<App>>, posted: Rc<RefCell<VecDeque<Msg>>>) -> Self {
        Self { app, posted }
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
        }
    }
}

/// Shows or hides a widget, and draws nothing if that is how it is already.
fn show<W: WidgetExt>(widget: &mut W, shown: bool) {
    if widget.visible() != shown {
        if shown { widget.show() } else { widget.hide() }
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
