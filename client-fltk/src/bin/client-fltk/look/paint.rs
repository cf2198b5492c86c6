//! Shapes and text on whatever is drawn to at the moment.

use client_fltk::model::Delivery;
use fltk::draw;
use fltk::enums::{Color, Font};
use fltk::prelude::WidgetExt;

use super::text::{fitted, fitted_name, lay_out};
use super::{Palette, Rgb, sizes, toolkit};

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rect {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) w: i32,
    pub(crate) h: i32,
}

impl Rect {
    pub(crate) fn new(x: i32, y: i32, w: i32, h: i32) -> Self {
        Self { x, y, w, h }
    }

    /// Where a widget is.
    pub(crate) fn of<W: WidgetExt>(widget: &W) -> Self {
        Self::new(widget.x(), widget.y(), widget.w(), widget.h())
    }

    pub(crate) fn contains(&self, x: i32, y: i32) -> bool {
        (self.x..self.x + self.w).contains(&x) && (self.y..self.y + self.h).contains(&y)
    }

    /// Smaller by that much on every side.
    pub(crate) fn inset(&self, by: i32) -> Self {
        Self::new(self.x + by, self.y + by, self.w - 2 * by, self.h - 2 * by)
    }
}

/// How text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Face {
    pub(crate) bold: bool,
    pub(crate) size: i32,
}

/// Messages, names in lists.
pub(crate) const PLAIN: Face = Face { bold: false, size: sizes::TEXT };
/// Names.
pub(crate) const BOLD: Face = Face { bold: true, size: sizes::TEXT };
/// Times, hints.
pub(crate) const SMALL: Face = Face { bold: false, size: sizes::SMALL };
/// Numbers in badges.
pub(crate) const SMALL_BOLD: Face = Face { bold: true, size: sizes::SMALL };

impl Face {
    pub(crate) fn font(self) -> Font {
        if self.bold { Font::HelveticaBold } else { Font::Helvetica }
    }

    /// From now on text is measured and drawn like this.
    pub(crate) fn set(self) {
        draw::set_font(self.font(), self.size);
    }

    /// How wide a text is, in pixels.
    pub(crate) fn width(self, text: &str) -> f64 {
        self.set();
        toolkit::width(text)
    }

    /// The distance from the top of a line of this height to where its letters stand.
    pub(crate) fn baseline(self, line_height: i32) -> i32 {
        self.set();
        (line_height + draw::height()) / 2 - draw::descent()
    }
}

impl From<Rgb> for Color {
    fn from(Rgb(red, green, blue): Rgb) -> Self {
        match (red, green, blue) {
            // FLTK takes this number for the first of its own colours, which is that of text.
            (0, 0, 0) => Self::Black,
            _ => Self::from_rgb(red, green, blue),
        }
    }
}

pub(crate) fn color(rgb: Rgb) {
    draw::set_draw_color(rgb.into());
}

pub(crate) fn fill(rect: Rect, rgb: Rgb) {
    draw::draw_rect_fill(rect.x, rect.y, rect.w, rect.h, rgb.into());
}

pub(crate) fn rounded(rect: Rect, radius: i32, rgb: Rgb) {
    color(rgb);
    draw::draw_rounded_rectf(rect.x, rect.y, rect.w, rect.h, radius.min(rect.h / 2).min(rect.w / 2));
}

pub(crate) fn rounded_line(rect: Rect, radius: i32, width: i32, rgb: Rgb) {
    color(rgb);
    draw::set_line_style(draw::LineStyle::Solid, width);
    draw::draw_rounded_rect(rect.x, rect.y, rect.w, rect.h, radius.min(rect.h / 2).min(rect.w / 2));
    draw::set_line_style(draw::LineStyle::Solid, 0);
}

pub(crate) fn circle(x: i32, y: i32, diameter: i32, rgb: Rgb) {
    color(rgb);
    draw::draw_pie(x, y, diameter, diameter, 0.0, 360.0);
}

pub(crate) fn horizontal(x: i32, y: i32, w: i32, rgb: Rgb) {
    fill(Rect::new(x, y, w, 1), rgb);
}

pub(crate) fn vertical(x: i32, y: i32, h: i32, rgb: Rgb) {
    fill(Rect::new(x, y, 1, h), rgb);
}

/// Text whose letters stand on `baseline`.
pub(crate) fn text(text: &str, x: i32, baseline: i32, face: Face, rgb: Rgb) {
    face.set();
    color(rgb);
    toolkit::draw(text, x, baseline);
}

/// A part of a message, as [`text`] draws it.
pub(crate) fn run(shown: &str, from_right: bool, x: i32, baseline: i32, rgb: Rgb) {
    if from_right {
        PLAIN.set();
        color(rgb);
        toolkit::draw_from_right(shown, x, baseline);
    } else {
        text(shown, x, baseline, PLAIN, rgb);
    }
}

/// One line in the vertical middle of `rect`, cut to its width. Returns how wide it came out.
pub(crate) fn line(shown: &str, rect: Rect, face: Face, rgb: Rgb) -> i32 {
    let shown = fitted(shown, f64::from(rect.w.max(0)), |text| face.width(text));
    text(&shown, rect.x, rect.y + face.baseline(rect.h), face, rgb);
    face.width(&shown).ceil() as i32
}

/// One line with what somebody is called.
pub(crate) fn name(shown: &str, rect: Rect, face: Face, rgb: Rgb) {
    line(&fitted_name(shown, f64::from(rect.w.max(0)), |text| face.width(text)), rect, face, rgb);
}

/// One line in the middle of `rect`.
pub(crate) fn centered(shown: &str, rect: Rect, face: Face, rgb: Rgb) {
    let shown = fitted(shown, f64::from(rect.w.max(0)), |text| face.width(text));
    let x = rect.x + (rect.w - face.width(&shown).round() as i32) / 2;
    text(&shown, x, rect.y + face.baseline(rect.h), face, rgb);
}

/// How high [`lines`] are.
pub(crate) fn height_of_lines(shown: &str, width: i32, face: Face) -> i32 {
    if shown.is_empty() {
        return 0;
    }
    lay_out(shown, f64::from(width), |text| face.width(text)).lines.len() as i32 * sizes::LINE
}

/// Several lines from the upper left corner on, broken between words to fit into `width`.
pub(crate) fn lines(shown: &str, (x, y): (i32, i32), width: i32, face: Face, rgb: Rgb) {
    let block = lay_out(shown, f64::from(width), |text| face.width(text));
    for (at, line) in block.lines.iter().enumerate() {
        let rect = Rect::new(x, y + at as i32 * sizes::LINE, width, sizes::LINE);
        self::line(&shown[line.bytes.clone()], rect, face, rgb);
    }
}

/// Several lines in the middle of `rect`, broken between words.
pub(crate) fn paragraph(shown: &str, rect: Rect, face: Face, rgb: Rgb) {
    let block = lay_out(shown, f64::from(rect.w.max(1)), |text| face.width(text));
    let height = sizes::LINE * block.lines.len() as i32;
    let top = rect.y + (rect.h - height) / 2;
    for (at, line) in block.lines.iter().enumerate() {
        let row = Rect::new(rect.x, top + at as i32 * sizes::LINE, rect.w, sizes::LINE);
        centered(&shown[line.bytes.clone()], row, face, rgb);
    }
}

/// Somebody's circle, with the first letter of what they are called in it. The user name chooses the colour, so that it
/// stays when they call themselves something else.
pub(crate) fn avatar(username: &str, shown: &str, gone: bool, (x, y): (i32, i32), palette: &Palette) {
    let rgb = if gone { palette.avatar_gone } else { palette.avatar(username) };
    circle(x, y, sizes::AVATAR, rgb);
    let face = Face { bold: true, size: sizes::TEXT };
    centered(&crate::app::words::initial(shown), Rect::new(x, y, sizes::AVATAR, sizes::AVATAR), face, palette.on_fill);
}

/// A number on a pill that ends at `right`. Returns its left edge.
pub(crate) fn badge(count: u64, right: i32, y: i32, palette: &Palette) -> i32 {
    let shown = if count > 9999 { "9999+".to_owned() } else { count.to_string() };
    let width = (SMALL_BOLD.width(&shown).ceil() as i32 + 12).max(20);
    let rect = Rect::new(right - width, y, width, 18);
    rounded(rect, 9, palette.accent_fill);
    centered(&shown, rect, SMALL_BOLD, palette.on_fill);
    rect.x
}

/// How wide [`delivery`] is.
pub(crate) const DELIVERY_WIDTH: i32 = 16;

/// The mark of how far a message has come: a clock, one check, two checks.
pub(crate) fn delivery(delivery: Delivery, x: i32, middle: i32, rgb: Rgb) {
    color(rgb);
    match delivery {
        Delivery::Queued => {
            draw::set_line_style(draw::LineStyle::Solid, 1);
            draw::draw_arc(x + 1, middle - 5, 11, 11, 0.0, 360.0);
            draw::draw_line(x + 6, middle - 3, x + 6, middle);
            draw::draw_line(x + 6, middle, x + 9, middle);
        }
        Delivery::Stored => check(x + 1, middle),
        Delivery::Delivered | Delivery::Read => {
            check(x - 1, middle);
            check(x + 4, middle);
        }
    }
    draw::set_line_style(draw::LineStyle::Solid, 0);
}

fn check(x: i32, middle: i32) {
    let at = |dx: f64, dy: f64| draw::vertex(f64::from(x) + dx, f64::from(middle) + dy);
    draw::set_line_style(draw::LineStyle::Solid, 1);
    draw::begin_line();
    at(0.5, 0.5);
    at(3.5, 3.5);
    at(9.5, -3.5);
    draw::end_line();
}

/// A small mark for something that was not done.
pub(crate) fn cross(x: i32, middle: i32, rgb: Rgb) {
    color(rgb);
    draw::set_line_style(draw::LineStyle::Solid, 2);
    draw::draw_line(x + 3, middle - 3, x + 9, middle + 3);
    draw::draw_line(x + 3, middle + 3, x + 9, middle - 3);
    draw::set_line_style(draw::LineStyle::Solid, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn black_is_black_whatever_the_colour_of_text_is() {
        assert_ne!(Color::from(Rgb(0, 0, 0)), Color::Foreground);
        assert_eq!(Color::from(Rgb(0, 0, 0)).to_rgb(), (0, 0, 0));
        assert_eq!(Color::from(Rgb(1, 2, 3)).to_rgb(), (1, 2, 3));
    }
}
