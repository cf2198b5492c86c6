//! Draws the lines that are in sight.

use fltk::draw;
use fltk::prelude::*;
use fltk::widget::Widget;

use super::layout::{BUBBLE_X, BUBBLE_Y, DAY, NAME, NEW, Row, state_word};
use super::{BAR, BAR_REACH, State, Ui};
use crate::app::chat::{Line, Said, Shown, shown};
use crate::app::{App, words};
use crate::look::paint::{self, PLAIN, Rect, SMALL, SMALL_BOLD};
use crate::look::text::TextLine;
use crate::look::{Palette, Rgb, sizes};

impl State {
    pub(super) fn draw(&mut self, widget: &Widget, ui: &Ui) {
        let (frames, app, palette) = (self.frames.clone(), ui.app(), ui.palette());
        frames.measure(crate::frames::DRAW, || {
            let window = Rect::of(widget);
            draw::push_clip(window.x, window.y, window.w, window.h);
            paint::fill(window, palette.surface);
            if self.rows.is_empty() {
                self.empty(&app, window, palette);
            }
            for row in self.rows.iter().filter(|row| row.top + row.h > 0 && row.top < window.h) {
                self.row(row, &app, window, palette, widget.has_focus());
            }
            if let Some((top, height)) = self.thumb(&app, window.h) {
                let wide = self.dragged.is_some() || self.hover.is_some_and(|(x, _)| x >= window.w - BAR_REACH);
                let width = if wide { BAR + 3 } else { BAR };
                let thumb = Rect::new(window.x + window.w - width - 3, window.y + top + 2, width, height - 4);
                paint::rounded(thumb, width / 2, if wide { palette.text_dim } else { palette.line });
            }
            draw::pop_clip();
        });
    }

    fn empty(&self, app: &App, window: Rect, palette: &Palette) {
        let Some(chat) = &app.chat else { return };
        let text = match app.model.conversations.get(&chat.id) {
            None => "Loading…".to_owned(),
            Some(found) if found.cleared > 0 && found.last_number <= found.cleared => {
                "Nothing here any more. What is written next appears here.".to_owned()
            }
            Some(_) => match app.peer(chat.id) {
                Some(person) => format!("No messages yet. Say hello to {}.", app.model.name(person.user)),
                None => "No messages yet. Notes that you write here are for you alone.".to_owned(),
            },
        };
        paint::paragraph(&text, window.inset(40), PLAIN, palette.text_dim);
    }

    fn row(&self, row: &Row, app: &App, window: Rect, palette: &Palette, has_focus: bool) {
        let Some(chat) = &app.chat else { return };
        let Some(found) = shown(&app.model, chat.id, row.line) else { return };
        let mut y = window.y + row.top;
        let said = match &found {
            Shown::Gap => {
                let text = if chat.out_of_reach {
                    "Older messages are not on this device. They load when the connection is back."
                } else {
                    "Loading…"
                };
                return paint::paragraph(
                    text,
                    Rect::new(window.x + 20, y, window.w - 40, row.h),
                    SMALL,
                    palette.text_dim,
                );
            }
            Shown::KeptBack(count) => return kept_back(row, *count, app, window, palette),
            found => found.said(),
        };
        let Some(said) = said else { return };
        if row.day {
            let day = Rect::new(window.x, y + 6, window.w, DAY - 12);
            paint::centered(&words::day(said.time_ms, app.now_ms), day, SMALL, palette.text_dim);
            y += DAY;
        }
        if row.new {
            new_line(&format!("{} new", chat.new_count.max(1)), window, y + 10, palette);
            y += NEW;
        }
        if let Some(sender) = said.by.filter(|_| row.name) {
            let name = Rect::new(window.x + 20 + BUBBLE_X, y + 2, window.w - 60, NAME - 2);
            paint::line(&app.model.name(sender), name, SMALL_BOLD, palette.text_dim);
        }
        let bubble = Rect::new(window.x + row.bubble.x, window.y + row.top + row.bubble.y, row.bubble.w, row.bubble.h);
        let (ground, dim, link) = match said.by.is_none() {
            true => (palette.bubble_out, palette.text_dim_out, palette.link_out),
            false => (palette.bubble_in, palette.text_dim, palette.accent),
        };
        let is_chosen = matches!(row.line, Line::Message(number) if chat.chosen.contains(&number));
        if chat.choosing && is_chosen {
            paint::fill(
                Rect::new(window.x, window.y + row.top + row.bubble.y - 2, window.w, row.bubble.h + 4),
                palette.selected,
            );
        }
        paint::rounded(bubble, sizes::BUBBLE_RADIUS, ground);
        if is_chosen || (has_focus && self.cursor == Some(row.line)) {
            paint::rounded_line(bubble, sizes::BUBBLE_RADIUS, 2, palette.accent);
        }
        if let Some(block) = self.cache.block(row.line) {
            let mut top = bubble.y + BUBBLE_Y;
            let baseline = PLAIN.baseline(sizes::LINE);
            // A long message has lines far outside.
            for line in &block.lines {
                if top + sizes::LINE > window.y && top < window.y + window.h {
                    let left = f64::from(window.x) + row.text_left(line);
                    text_line(said.text, line, (left, top + baseline), (palette.text, link));
                    if let Some(marked) = self.marked.filter(|marked| marked.line == row.line) {
                        for (from, width) in line.stripes(said.text, &marked.range(), |text| PLAIN.width(text)) {
                            let (from, to) = ((left + from).round() as i32, (left + from + width).round() as i32);
                            draw::push_clip(from, top, to - from, sizes::LINE);
                            paint::fill(Rect::new(from, top, to - from, sizes::LINE), palette.accent_fill);
                            text_line(said.text, line, (left, top + baseline), (palette.on_fill, palette.on_fill));
                            draw::pop_clip();
                        }
                    }
                }
                top += sizes::LINE;
            }
        }
        meta(row, &found, said, bubble, dim, palette);
    }
}

/// One line of a message, from its left edge on, in the colours of text and of links.
fn text_line(text: &str, line: &TextLine, (left, baseline): (f64, i32), (plain, link): (Rgb, Rgb)) {
    for (run, from, width) in line.placed(text, |text| PLAIN.width(text)) {
        let (x, rgb) = ((left + from).round() as i32, if run.link.is_some() { link } else { plain });
        paint::run(&text[run.bytes.clone()], run.from_right, x, baseline, rgb);
        if run.link.is_some() {
            paint::horizontal(x, baseline + 2, width.round() as i32, rgb);
        }
    }
}

/// The time of a message, and how far it has come.
fn meta(row: &Row, found: &Shown<'_>, said: Said<'_>, bubble: Rect, dim: Rgb, palette: &Palette) {
    let (mut x, y) = (bubble.x + row.meta.0, bubble.y + row.meta.1 + 1);
    let clock = words::clock(said.time_ms);
    let baseline = y + SMALL.baseline(sizes::LINE);
    paint::text(&clock, x, baseline, SMALL, dim);
    x += SMALL.width(&clock).ceil() as i32 + 4;
    let Some(delivery) = said.delivery else { return };
    let middle = y + sizes::LINE / 2;
    let rgb = if found.is_refused() { palette.danger_text_out } else { dim };
    if found.is_refused() {
        paint::cross(x, middle, rgb);
    } else {
        paint::delivery(delivery, x, middle, rgb);
    }
    let word = state_word(found);
    if !word.is_empty() {
        paint::text(word, x + paint::DELIVERY_WIDTH + 2, baseline, SMALL, rgb);
    }
}

/// A line across the window with a few words in it.
fn new_line(words: &str, window: Rect, y: i32, palette: &Palette) {
    let width = SMALL.width(words).ceil() as i32;
    let (left, right) = (window.x + 20, window.x + window.w - 20);
    let middle = (left + right) / 2;
    paint::horizontal(left, y + 8, middle - width / 2 - 12 - left, palette.accent);
    paint::horizontal(middle + width / 2 + 12, y + 8, right - middle - width / 2 - 12, palette.accent);
    paint::centered(words, Rect::new(middle - width, y, 2 * width, 16), SMALL, palette.accent);
}

fn kept_back(row: &Row, count: u64, app: &App, window: Rect, palette: &Palette) {
    let text = match count {
        0 => "More unread messages".to_owned(),
        count => format!("{} more unread", count),
    };
    let y = window.y + row.top;
    paint::centered(&text, Rect::new(window.x, y, window.w, 22), SMALL, palette.text_dim);
    let limit = app.model.account.as_ref().map_or(0, |account| account.view_limit);
    let asked = app.chat.as_ref().is_some_and(|chat| chat.next_asked);
    let next = match (asked, limit) {
        (true, _) => "Loading…".to_owned(),
        (_, 1) => "Show the next".to_owned(),
        (_, limit) => format!("Show the next {}", if count > 0 { limit.min(count) } else { limit }),
    };
    let [first, second] = row.buttons();
    for (rect, label) in [(first, next.as_str()), (second, "Skip to newest")] {
        let rect = Rect::new(rect.x + window.x, rect.y + window.y, rect.w, rect.h);
        paint::rounded(rect, sizes::FIELD_RADIUS, palette.raised);
        paint::centered(label, rect, SMALL, palette.accent);
    }
}
