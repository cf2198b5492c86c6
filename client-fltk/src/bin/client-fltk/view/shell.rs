//! The window, and which page is in it.

use fltk::app;
use fltk::enums::{Event, FrameType, Key};
use fltk::prelude::*;
use fltk::widget::Widget;
use fltk::window::Window;

use super::attention::Attention;
use super::chat::Chat;
use super::entry::Entry;
use super::server::Server;
use super::settings::Settings;
use super::sidebar::Sidebar;
use super::spoken::Speech;
use super::writing::Writing;
use super::{Ui, canvas, is_narrow, show};
use crate::app::{Cmd, Msg, Page, Tab, Theme, Top};
use crate::frames::Frames;
use crate::look::{paint, sizes, toolkit};

/// The smallest window in which nothing overlaps: a telephone's, and less high than the smallest screens on desks.
const MIN: (i32, i32) = (360, 400);

/// What it is at the beginning, where the screen has room for it and its frame.
const BEGIN: (i32, i32) = (1100, 720);

/// What a window manager puts above a window and beside it.
const FRAME: (i32, i32) = (8, 40);

/// Everything on the screen.
pub(crate) struct Shell {
    ui: Ui,
    window: Window,
    server: Server,
    entry: Entry,
    sidebar: Sidebar,
    divider: Widget,
    chat: Chat,
    settings: Settings,
    blank: Widget,
    page: Option<Page>,
    theme: Option<Theme>,
    attention: Attention,
    speech: Speech,
}

impl Shell {
    /// Makes the window; it is shown at the first [`Shell::sync`].
    pub(crate) fn new(ui: &Ui, title: &str, frames: Frames) -> Self {
        let (_, _, w, h) = app::screen_work_area(0);
        let size = ((w - FRAME.0).clamp(MIN.0, BEGIN.0), (h - FRAME.1).clamp(MIN.1, BEGIN.1));
        let mut window = Window::new(0, 0, size.0, size.1, None);
        toolkit::label(&mut window, title);
        window.set_xclass("samira");
        window.set_icon(super::icon::icon());
        window.set_frame(FrameType::FlatBox);
        window.size_range(MIN.0, MIN.1, 0, 0);
        let server = Server::new(ui);
        let entry = Entry::new(ui);
        let sidebar = Sidebar::new(ui);
        let divider = canvas(ui, |line, ui| paint::vertical(line.x(), line.y(), line.h(), ui.palette().line));
        let chat = Chat::new(ui, frames);
        let settings = Settings::new(ui);
        let blank = canvas(ui, |blank, ui| {
            let (rect, palette) = (paint::Rect::of(blank), ui.palette());
            paint::fill(rect, palette.surface);
            let words = "Choose a conversation, or find somebody under People.";
            paint::paragraph(words, rect.inset(40), paint::PLAIN, palette.text_dim);
        });
        window.end();
        window.make_resizable(true);
        window.resizable(&Widget::default());
        {
            let ui = ui.clone();
            window.resize_callback(move |_, _, _, _, _| ui.post(Msg::Tick));
        }
        window.set_callback(|_| {
            // Escape is no reason to close the window; its own button is.
            if app::event() == Event::Close {
                app::quit();
            }
        });
        {
            let ui = ui.clone();
            let mut writing = chat.writing.clone();
            window.super_handle_first(false);
            window.handle(move |window, event| match event {
                // Between widgets too: who has the keyboard is looked up when all of it has happened.
                Event::Focus | Event::Unfocus => {
                    ui.post(Msg::Tick);
                    false
                }
                Event::KeyDown | Event::Shortcut => shortcut(&ui, is_narrow(window.w()), &mut writing),
                _ => false,
            });
        }
        Self {
            ui: ui.clone(),
            window,
            server,
            entry,
            sidebar,
            divider,
            chat,
            settings,
            blank,
            page: None,
            theme: None,
            attention: Attention::default(),
            speech: Speech::new(),
        }
    }

    /// Brings everything up to date with the state; says what the views found to be missing or seen.
    pub(crate) fn sync(&mut self) -> Vec<Msg> {
        let page = self.ui.app().page();
        self.paint();
        self.arrange(page);
        let mut msgs = Vec::new();
        match page {
            Page::Server | Page::Broken => self.server.sync(&self.ui),
            Page::Entry => self.entry.sync(&self.ui),
            Page::Main => {
                if self.sidebar.group.visible() {
                    self.sidebar.sync(&self.ui);
                }
                if self.chat.group.visible() {
                    msgs = self.chat.sync(&self.ui);
                }
                if self.settings.group.visible() {
                    self.settings.sync(&self.ui);
                }
            }
        }
        let title = self.ui.app().window_title();
        if self.window.label() != title {
            toolkit::label(&mut self.window, &title);
        }
        if page == Page::Main && self.page != Some(Page::Main) {
            self.entry.forget();
        }
        self.page = Some(page);
        if !self.window.shown() {
            self.window.show();
        }
        msgs
    }

    /// Does what the state cannot do itself.
    pub(crate) fn run(&mut self, cmd: &Cmd) {
        match cmd {
            Cmd::Write { conversation, text } => self.chat.write(*conversation, text),
            Cmd::FocusFirst => self.focus(),
            Cmd::FocusSearch => self.sidebar.search.focus(),
            Cmd::ClearSettings => self.settings.clear(&self.ui),
            Cmd::Attention(wanted) => {
                let window = self.window.os_id();
                self.attention.want(window, *wanted);
            }
            Cmd::ShowChat => self.chat.timeline.show_chat(&self.ui.app()),
            Cmd::ShowNewest => self.chat.timeline.show_newest(),
            Cmd::ShowNew => self.chat.timeline.show_new(&self.ui.app()),
            Cmd::Ask(..) | Cmd::Connect(_) | Cmd::Copy(_) | Cmd::Follow(_) | Cmd::Keep(_) => {}
        }
    }

    /// Does what screen readers ask, and tells them how everything is.
    pub(crate) fn speak(&mut self) {
        self.speech.turn(&self.ui, &self.window);
    }

    /// The window.
    pub(crate) fn window(&mut self) -> &mut Window {
        &mut self.window
    }

    fn focus(&mut self) {
        let page = self.ui.app().page();
        let is_open = self.ui.app().chat.is_some();
        match page {
            Page::Server | Page::Broken => self.server.focus(),
            Page::Entry => self.entry.focus(&self.ui),
            Page::Main if is_open => self.chat.writing.focus(),
            Page::Main => self.sidebar.search.focus(),
        }
    }

    /// What FLTK draws itself: tooltips, menus, selections.
    fn paint(&mut self) {
        let theme = self.ui.app().settings.theme;
        if self.theme.replace(theme) == Some(theme) {
            return;
        }
        let palette = self.ui.palette();
        let rgb = |crate::look::Rgb(red, green, blue)| (red, green, blue);
        let (red, green, blue) = rgb(palette.raised);
        app::background(red, green, blue);
        app::background2(red, green, blue);
        let (red, green, blue) = rgb(palette.text);
        app::foreground(red, green, blue);
        let (red, green, blue) = rgb(palette.accent_fill);
        app::set_selection_color(red, green, blue);
        app::set_visible_focus(true);
        fltk::misc::Tooltip::set_color(palette.raised.into());
        fltk::misc::Tooltip::set_text_color(palette.text.into());
        fltk::misc::Tooltip::set_font_size(sizes::SMALL);
        self.window.set_color(palette.surface.into());
        self.window.redraw();
    }

    fn arrange(&mut self, page: Page) {
        let (w, h) = (self.window.w(), self.window.h());
        let (is_open, tab) = (self.ui.app().chat.is_some(), self.ui.app().tab);
        let is_narrow = is_narrow(w);
        let is_main = page == Page::Main;
        let settings = is_main && tab == Tab::Settings;
        let sidebar = is_main && (!is_narrow || !(is_open || settings));
        let chat = is_main && is_open && !settings;
        let blank = is_main && !is_narrow && !is_open && !settings;
        show(&mut self.server.group, matches!(page, Page::Server | Page::Broken));
        show(&mut self.entry.group, page == Page::Entry);
        show(&mut self.sidebar.group, sidebar);
        show(&mut self.divider, sidebar && !is_narrow);
        show(&mut self.chat.group, chat);
        show(&mut self.settings.group, settings);
        show(&mut self.blank, blank);
        match page {
            Page::Server | Page::Broken => self.server.place(&self.ui, 0, 0, w, h),
            Page::Entry => self.entry.place(&self.ui, paint::Rect::new(0, 0, w, h)),
            Page::Main => {
                let left = if is_narrow { w } else { sizes::SIDEBAR };
                self.sidebar.place(0, 0, left, h);
                self.divider.resize(left, 0, 1, h);
                let x = if is_narrow { 0 } else { left + 1 };
                self.chat.place(x, 0, w - x, h, is_narrow);
                self.settings.place(x, 0, w - x, h, is_narrow);
                self.blank.resize(x, 0, w - x, h);
            }
        }
    }
}

/// Keys that work wherever the keyboard is.
fn shortcut(ui: &Ui, is_narrow: bool, writing: &mut Writing) -> bool {
    let key = app::event_key();
    let is_main = ui.app().page() == Page::Main;
    if key == Key::Escape {
        let top = ui.app().on_top();
        match top {
            // Out of the list or the messages, back to where one writes; a conversation is left by its own button.
            Some(Top::Chat) if is_main => writing.focus(),
            Some(Top::Chat) | None => {}
            Some(_) => ui.post(Msg::Back),
        }
        return true;
    }
    let ctrl = app::is_event_ctrl();
    if ctrl && key == Key::from_char('q') {
        app::quit();
        return true;
    }
    if !is_main {
        return false;
    }
    let alt = app::is_event_alt();
    match key {
        key if ctrl && ['k', '1', '2'].map(Key::from_char).contains(&key) => {
            if is_narrow {
                ui.post(Msg::Uncover);
            }
            ui.post(match key {
                key if key == Key::from_char('1') => Msg::Tab(Tab::Chats),
                key if key == Key::from_char('2') => Msg::Tab(Tab::People),
                _ => Msg::Find,
            });
        }
        key if ctrl && key == Key::from_char('3') => ui.post(Msg::Tab(Tab::Settings)),
        Key::Up if alt => ui.post(Msg::Step(-1)),
        Key::Down if alt => ui.post(Msg::Step(1)),
        _ => return false,
    }
    true
}
