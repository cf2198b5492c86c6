//! How high each line is, and what is where in it.

use std::collections::HashMap;

use client_fltk::model::{Delivery, WriteState};

use crate::app::chat::{Line, Said, Shown, shown};
use crate::app::{App, words};
use crate::look::paint::{DELIVERY_WIDTH, PLAIN, Rect, SMALL};
use crate::look::sizes;
use crate::look::text::{Block, TextLine, lay_out};

/// Messages whose lines are kept.
const CACHED_MAX: usize = 2_000;

/// Between the edge of a bubble and its text.
pub(super) const BUBBLE_X: i32 = 12;
pub(super) const BUBBLE_Y: i32 = 8;

/// Between a text and its time on the same line.
const META_GAP: i32 = 14;

/// The line of a day, the line above the first new message, a name above a message, a gap.
pub(super) const DAY: i32 = 36;
pub(super) const NEW: i32 = 36;
pub(super) const NAME: i32 = 20;
pub(super) const HOLE: i32 = 56;

/// Windows of messages that are narrower than this are narrow.
const NARROW: i32 = 560;

/// Messages of one person within so many milliseconds belong together.
const TOGETHER_MS: u64 = 5 * 60 * 1000;

/// One line of the window. All but `top` is relative to its top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    pub(super) line: Line,
    /// From the top of the window.
    pub(super) top: i32,
    pub(super) h: i32,
    /// A day begins: its line is at the top.
    pub(super) day: bool,
    /// It is the first new message.
    pub(super) new: bool,
    /// A name is above the bubble.
    pub(super) name: bool,
    /// Empty for a hole.
    pub(super) bubble: Rect,
    /// Where in the bubble the time is: its left edge, and the top of its line.
    pub(super) meta: (i32, i32),
    /// The whole width.
    pub(super) w: i32,
}

impl Row {
    pub(super) fn number(&self) -> Option<u64> {
        match self.line {
            Line::Message(number) => Some(number),
            _ => None,
        }
    }

    /// Nothing is here yet.
    pub(super) fn is_hole(&self) -> bool {
        matches!(self.line, Line::Gap { .. } | Line::KeptBack { .. })
    }

    /// On which of the two buttons of unread messages that are kept back a place is: true for the next ones, false for
    /// the newest.
    pub(super) fn kept_back(&self, x: i32, y: i32) -> Option<bool> {
        if !matches!(self.line, Line::KeptBack { .. }) {
            return None;
        }
        let [next, newest] = self.buttons();
        if next.contains(x, y) { Some(true) } else { newest.contains(x, y).then_some(false) }
    }

    /// The left edge of a line of its text, from that of the window.
    pub(super) fn text_left(&self, line: &TextLine) -> f64 {
        let left = f64::from(self.bubble.x + BUBBLE_X);
        if line.from_right { left + f64::from(self.bubble.w - 2 * BUBBLE_X) - line.width } else { left }
    }

    /// Which line of its text is at that height; negative above the first. `None`: it has no text.
    fn text_line(&self, y: i32, block: &Block) -> Option<i32> {
        (!block.lines.is_empty()).then(|| (y - self.top - self.bubble.y - BUBBLE_Y).div_euclid(sizes::LINE))
    }

    /// Those two buttons.
    pub(super) fn buttons(&self) -> [Rect; 2] {
        const WIDTH: i32 = 130;
        let (middle, y) = (self.w / 2, self.top + 22);
        [Rect::new(middle - WIDTH - 6, y, WIDTH, 28), Rect::new(middle + 6, y, WIDTH, 28)]
    }
}

/// Texts that were broken into lines already.
#[derive(Default)]
pub(super) struct Cache {
    width: i32,
    blocks: HashMap<Line, (usize, Block)>,
}

impl Cache {
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
    }

    pub(super) fn for_width(&mut self, width: i32) {
        if self.width != width {
            self.width = width;
            self.clear();
        }
    }

    /// The lines of a message that was laid out.
    pub(super) fn block(&self, line: Line) -> Option<&Block> {
        self.blocks.get(&line).map(|(_, block)| block)
    }

    /// Lays one line out, below the line `above`.
    pub(super) fn row(&mut self, app: &App, line: Line, above: Option<Line>, top: i32) -> Row {
        let id = app.chat.as_ref().map_or(0, |chat| chat.id);
        let mut row = Row {
            line,
            top,
            h: HOLE,
            day: false,
            new: false,
            name: false,
            bubble: Rect::default(),
            meta: (0, 0),
            w: self.width,
        };
        let Some(found) = shown(&app.model, id, line) else { return row };
        let Some(said) = found.said() else { return row };
        let before = above.and_then(|above| shown(&app.model, id, above)?.said());
        row.day = before.is_none_or(|before| words::is_other_day(before.time_ms, said.time_ms));
        row.new = app.chat.as_ref().is_some_and(|chat| chat.new_from == row.number() && chat.new_from.is_some());
        let own = said.by.is_none();
        let is_soon = |before: u64| said.time_ms.saturating_sub(before) < TOGETHER_MS;
        let together = before.is_some_and(|before| before.by == said.by && is_soon(before.time_ms));
        let members = app.model.conversations.get(&id).map_or(0, |found| found.members.len());
        row.name = !own && members > 2 && (!together || row.day || row.new);
        // Where there is little room, lines are better long than the margin wide.
        let percent = if self.width < NARROW { 80 } else { 62 };
        let max = (self.width * percent / 100).min(sizes::BUBBLE);
        let inner = max - 2 * BUBBLE_X;
        if self.blocks.len() >= CACHED_MAX {
            self.clear();
        }
        let fresh = self.blocks.get(&line).is_some_and(|(length, _)| *length == said.text.len());
        if !fresh {
            let block = lay_out(said.text, f64::from(inner), |text| PLAIN.width(text));
            self.blocks.insert(line, (said.text.len(), block));
        }
        let block = &self.blocks[&line].1;
        let meta = meta_width(&found, said);
        let last = block.lines.last().map_or(0.0, |line| line.width).ceil() as i32;
        let from_right = block.lines.last().is_some_and(|line| line.from_right);
        let beside = last + META_GAP + meta <= inner && !from_right;
        let widest = block.width.ceil() as i32;
        let width = if beside { widest.max(last + META_GAP + meta) } else { widest.max(meta) };
        let lines = block.lines.len() as i32 + i32::from(!beside);
        let mut y = match () {
            () if row.day || row.new => 0,
            () if together => sizes::GAP,
            () => 12,
        };
        y += if row.day { DAY } else { 0 } + if row.new { NEW } else { 0 } + if row.name { NAME } else { 0 };
        let (w, h) = (width + 2 * BUBBLE_X, lines * sizes::LINE + 2 * BUBBLE_Y);
        let x = if own { self.width - 20 - w } else { 20 };
        row.bubble = Rect::new(x, y, w, h);
        row.meta = (w - BUBBLE_X - meta, BUBBLE_Y + (lines - 1) * sizes::LINE);
        row.h = y + h;
        row
    }

    /// The address at a place, if there is one.
    pub(super) fn link(&self, app: &App, row: &Row, x: i32, y: i32) -> Option<String> {
        let (text, block) = self.laid_out(app, row)?;
        let at = row.text_line(y, block).filter(|&at| at >= 0)?;
        let line = block.lines.get(usize::try_from(at).ok()?)?;
        let run = line.run_at(text, f64::from(x) - row.text_left(line), |text| PLAIN.width(text))?;
        run.link.clone().map(|link| text[link].to_owned())
    }

    /// The place between two letters of a message that is nearest.
    pub(super) fn caret(&self, app: &App, row: &Row, x: i32, y: i32) -> Option<usize> {
        let (text, block) = self.laid_out(app, row)?;
        match row.text_line(y, block)? {
            ..0 => Some(0),
            at => match block.lines.get(usize::try_from(at).ok()?) {
                Some(line) => Some(line.caret(text, f64::from(x) - row.text_left(line), |text| PLAIN.width(text))),
                None => Some(block.lines.last()?.bytes.end),
            },
        }
    }

    fn laid_out<'a>(&'a self, app: &'a App, row: &Row) -> Option<(&'a str, &'a Block)> {
        let (length, block) = self.blocks.get(&row.line)?;
        let text = shown(&app.model, app.chat.as_ref()?.id, row.line)?.said()?.text;
        // Another text of the same line may have come since.
        (text.len() == *length).then_some((text, block))
    }
}

/// What is written behind the mark of an own message.
pub(super) fn state_word(found: &Shown<'_>) -> &'static str {
    match found {
        Shown::Outgoing(outgoing, delivery) => match (&outgoing.state, delivery) {
            (WriteState::Refused(_), _) => "not sent",
            (WriteState::Queued | WriteState::Sent, _) => "queued",
            (_, delivery) => word(*delivery),
        },
        Shown::Message(_, Some(delivery)) => word(*delivery),
        _ => "",
    }
}

fn word(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Queued => "queued",
        Delivery::Stored => "stored",
        Delivery::Delivered => "",
        Delivery::Read => "read",
    }
}

/// How wide time, mark and word are.
fn meta_width(found: &Shown<'_>, said: Said<'_>) -> i32 {
    let mut width = SMALL.width(&words::clock(said.time_ms)).ceil() as i32;
    if said.delivery.is_some() {
        width += 4 + DELIVERY_WIDTH;
        let word = state_word(found);
        if !word.is_empty() {
            width += 2 + SMALL.width(word).ceil() as i32;
        }
    }
    width
}
