//! The sidebar: who one is, the search field, the list, and the three places.

use accesskit::Role;
use fltk::app;
use fltk::enums::{Event, FrameType, Key};
use fltk::group::Group;
use fltk::prelude::*;
use fltk::widget::Widget;

use client_fltk::model::LinkState;

use super::button::{Button, Style};
use super::field::{Field, Kind};
use super::list::List;
use super::spoken::Words;
use super::{Ui, canvas, show};
use crate::app::{Msg, Tab, words};
use crate::look::paint::{self, BOLD, Rect, SMALL};
use crate::look::sizes;

/// The button of who is logged out.
const LOG_IN: i32 = 84;

pub(super) struct Sidebar {
    pub(super) group: Group,
    head: Widget,
    log_in: Button,
    pub(super) search: Field,
    pub(super) list: List,
    foot: Widget,
    tabs: [(Tab, Button); 3],
}

impl Sidebar {
    pub(super) fn new(ui: &Ui) -> Self {
        let mut group = Group::new(0, 0, 0, 0, None);
        group.set_frame(FrameType::FlatBox);
        let head = canvas(ui, draw_head);
        Words::join(ui, &head, Role::Heading, false, |app| {
            let nickname = &app.model.account.as_ref()?.nickname;
            Some(format!("{nickname}, {}", words::status(&app.model)))
        });
        let log_in = Button::new(ui, Style::Primary, "Log in", || Msg::LogIn);
        let mut search = Field::new(ui, Kind::Line, "Search  ·  Ctrl+K");
        let list = List::new(ui);
        {
            let ui = ui.clone();
            search.on_change(move |text| ui.post(Msg::Search(text)));
        }
        {
            let (ui, list) = (ui.clone(), list.clone());
            search.on_event(move |_, event| match event {
                Event::KeyDown => match app::event_key() {
                    Key::Enter | Key::KPEnter => {
                        if let Some(msg) = List::first(&ui.app()) {
                            ui.post(msg);
                        }
                        true
                    }
                    Key::Down if !app::is_event_alt() => {
                        list.clone().focus();
                        true
                    }
                    _ => false,
                },
                _ => false,
            });
        }
        let foot = canvas(ui, |foot, ui| {
            paint::fill(Rect::of(foot), ui.palette().panel);
            paint::horizontal(foot.x(), foot.y(), foot.w(), ui.palette().line);
        });
        let tab = |tab, label| (tab, Button::new(ui, Style::Tab, label, move || Msg::Tab(tab)));
        let tabs = [tab(Tab::Chats, "Chats"), tab(Tab::People, "People"), tab(Tab::Settings, "Settings")];
        group.end();
        group.resizable(&Widget::default());
        Self { group, head, log_in, search, list, foot, tabs }
    }

    pub(super) fn place(&mut self, x: i32, y: i32, w: i32, h: i32) {
        self.group.widget_resize(x, y, w, h);
        self.head.resize(x, y, w, 64);
        self.log_in.resize(x + w - sizes::PAD - LOG_IN, y + 14, LOG_IN, 36);
        self.search.place(x + 12, y + 64, w - 24, 38);
        let list = y + 112;
        self.list.place(x, list, w, h - 112 - sizes::TABS);
        let foot = y + h - sizes::TABS;
        self.foot.resize(x, foot, w, sizes::TABS);
        let third = w / 3;
        for (at, (_, tab)) in self.tabs.iter_mut().enumerate() {
            tab.resize(x + at as i32 * third, foot, third, sizes::TABS);
        }
    }

    pub(super) fn sync(&mut self, ui: &Ui) {
        let palette = ui.palette();
        self.group.set_color(palette.panel.into());
        self.search.sync(ui, false);
        {
            let app = ui.app();
            self.search.set_value(&app.search.text);
            self.search.hint(if app.tab == Tab::People { "Find people, * for any" } else { "Search  ·  Ctrl+K" });
            for (tab, button) in &mut self.tabs {
                let chosen = app.tab == *tab;
                if button.value() != chosen {
                    button.set_value(chosen);
                    button.redraw();
                }
            }
        }
        self.list.sync(ui);
        show(&mut *self.log_in, ui.app().is_logged_out());
        self.head.redraw();
    }
}

fn draw_head(head: &Widget, ui: &Ui) {
    let (app, palette) = (ui.app(), ui.palette());
    let rect = Rect::of(head);
    paint::fill(rect, palette.panel);
    let Some(account) = &app.model.account else { return };
    let at = (rect.x + sizes::PAD, rect.y + 14);
    paint::avatar(&account.username, &account.nickname, false, at, palette);
    let beside = if app.is_logged_out() { LOG_IN + 8 } else { 0 };
    let text = Rect::new(rect.x + 62, rect.y + 13, rect.w - 62 - sizes::PAD - beside, 20);
    paint::line(&account.nickname, text, BOLD, palette.text);
    let is_online = app.model.link.state == LinkState::Online;
    let (x, y) = (text.x, text.y + 25);
    match (is_online, app.model.link.stale) {
        (true, false) => paint::circle(x, y, 9, palette.good_text),
        (true, true) => paint::circle(x, y, 9, palette.warning_text),
        (false, _) => {
            paint::circle(x, y, 9, palette.text_dim);
            paint::circle(x + 1, y + 1, 7, palette.panel);
        }
    }
    paint::line(&words::status(&app.model), Rect::new(x + 14, text.y + 20, text.w - 14, 20), SMALL, palette.text_dim);
}
