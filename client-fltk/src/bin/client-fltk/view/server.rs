//! The page on which one says where the servers are, and the one that says that nothing works.

use accesskit::Role;
use fltk::enums::FrameType;
use fltk::group::Group;
use fltk::prelude::*;
use fltk::widget::Widget;

use super::button::{Button, Style};
use super::field::{Field, Kind};
use super::spoken::Words;
use super::{Ui, canvas, show};
use crate::app::{App, Msg, Page};
use crate::look::paint::{self, Face, PLAIN, Rect, SMALL};
use crate::look::sizes;

/// From the top of the form to what is wrong with its field.
const UNDER: i32 = 172;

/// What is asked for here, and what is said when nothing works.
const ASK: &str = "Where is the server? Paste the client link that it printed when it was started.";
const BROKEN: &str = "This device's data cannot be used any more, so nothing can be promised. Close the program; what was sent is safe with the servers.";

pub(super) struct Server {
    pub(super) group: Group,
    page: Widget,
    link: Field,
    send: Button,
    back: Button,
}

impl Server {
    pub(super) fn new(ui: &Ui) -> Self {
        let mut group = Group::new(0, 0, 0, 0, None);
        group.set_frame(FrameType::NoBox);
        let page = canvas(ui, draw);
        Words::join(ui, &page, Role::Heading, false, |app| {
            Some(if app.broken.is_some() { BROKEN } else { ASK }.to_owned())
        });
        let wrong = |app: &App| app.broken.clone().or_else(|| app.server.clone());
        Words::join(ui, &page, Role::Status, true, wrong);
        let mut link = Field::new(ui, Kind::Line, "samira://HOST:PORT#PIN").named("Client link");
        let form = {
            let link = link.clone();
            move || Msg::Connect(link.value())
        };
        link.on_enter(ui, form.clone());
        let send = Button::new(ui, Style::Primary, "Connect", form);
        let back = Button::new(ui, Style::Link, "Back", || Msg::Back);
        group.end();
        group.resizable(&Widget::default());
        Self { group, page, link, send, back }
    }

    fn form(x: i32, y: i32, w: i32, h: i32) -> Rect {
        let (width, height) = ((sizes::FORM + 40).min(w - 2 * sizes::PAD), 340);
        Rect::new(x + (w - width) / 2, y + ((h - height) / 2).max(sizes::PAD), width, height)
    }

    pub(super) fn place(&mut self, ui: &Ui, x: i32, y: i32, w: i32, h: i32) {
        self.group.widget_resize(x, y, w, h);
        self.page.resize(x, y, w, h);
        let form = Self::form(x, y, w, h);
        // Under what is wrong, however many lines that takes.
        let error = ui.app().server.as_ref().map_or(0, |error| paint::height_of_lines(error, form.w, SMALL));
        let send = form.y + UNDER + error.max(sizes::LINE) + 8;
        self.link.place(form.x, form.y + 126, form.w, sizes::FIELD + 2);
        self.send.resize(form.x, send, form.w, sizes::FIELD + 2);
        self.back.resize(form.x + (form.w - 80) / 2, send + 52, 80, 30);
    }

    pub(super) fn sync(&mut self, ui: &Ui) {
        let app = ui.app();
        let is_broken = app.page() == Page::Broken;
        self.link.sync(ui, app.server.as_ref().is_some_and(|error| !error.is_empty()));
        self.link.shown(!is_broken);
        for (button, shown) in [(&mut self.send, !is_broken), (&mut self.back, !is_broken && app.is_started)] {
            show(&mut **button, shown);
        }
        self.page.redraw();
    }

    pub(super) fn focus(&mut self) {
        self.link.focus();
    }
}

fn draw(page: &Widget, ui: &Ui) {
    let (app, palette) = (ui.app(), ui.palette());
    let rect = Rect::of(page);
    paint::fill(rect, palette.surface);
    let form = Server::form(rect.x, rect.y, rect.w, rect.h);
    let title = Face { bold: true, size: sizes::TITLE };
    paint::line("Samira", Rect::new(form.x, form.y, form.w, 32), title, palette.text);
    if let Some(why) = &app.broken {
        paint::lines(BROKEN, (form.x, form.y + 48), form.w, PLAIN, palette.text);
        paint::lines(why, (form.x, form.y + 130), form.w, SMALL, palette.danger_text);
        return;
    }
    paint::lines(ASK, (form.x, form.y + 38), form.w, PLAIN, palette.text_dim);
    let label = Rect::new(form.x, form.y + 104, form.w, 18);
    if paint::height_of_lines(ASK, form.w, PLAIN) <= label.y - form.y - 38 {
        paint::line("Client link, or HOST:PORT on this machine", label, SMALL, palette.text_dim);
    }
    if let Some(error) = app.server.as_ref().filter(|error| !error.is_empty()) {
        paint::lines(error, (form.x, form.y + UNDER), form.w, SMALL, palette.danger_text);
    }
}
