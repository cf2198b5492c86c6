//! All calls that hand text to FLTK.
//!
//! FLTK takes C strings, and some of its calls a length beside them. The crate `fltk` cuts a text at its first NUL and passes
//! the length of the whole on (`copy`, `copy2`, `rtl_draw`), so that FLTK reads whatever lies behind it in memory: a message
//! with a NUL in it put 20 000 such bytes on the clipboard. Here every text loses its controls first, and nothing else of
//! this program may call what is called here: clippy.toml says so.
#![expect(clippy::disallowed_methods, reason = "this is the one place, and it hands over texts without a NUL")]

use std::borrow::Cow;

use client_fltk::harmless;
use fltk::app;
use fltk::draw;
use fltk::enums::Shortcut;
use fltk::input::Input;
use fltk::menu::{MenuButton, MenuFlag};
use fltk::prelude::*;
use fltk::text::TextBuffer;

/// The mark that a text is read from the right.
const FROM_RIGHT: char = '\u{200f}';

/// A tab on the screen.
const TAB: &str = "    ";

/// Puts text on the clipboard.
pub(crate) fn copy(text: &str) {
    app::copy(&harmless::plain(text));
}

/// Makes text what the middle button of the mouse inserts.
pub(crate) fn select(text: &str) {
    app::copy2(&harmless::plain(text));
}

/// What is drawn of a text: neither controls nor anything that turns what is beside it. Its order is that of the runs that
/// it is drawn in.
pub(crate) fn drawn(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c >= ' ' && !c.is_control() && !harmless::is_direction(c) && !harmless::is_separator(c);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut drawn = String::with_capacity(text.len());
    for c in harmless::plain(text).chars() {
        match c {
            '\t' => drawn.push_str(TAB),
            '\n' => drawn.push(' '),
            c if harmless::is_separator(c) => drawn.push(' '),
            c if harmless::is_direction(c) => {}
            c => drawn.push(c),
        }
    }
    Cow::Owned(drawn)
}

/// Draws a text whose letters stand on `baseline`, in the font and colour that were set.
pub(crate) fn draw(text: &str, x: i32, baseline: i32) {
    draw::draw_text_n(&drawn(text), x, baseline);
}

/// The same for a run that is read from the right, whatever its first letter is.
pub(crate) fn draw_from_right(text: &str, x: i32, baseline: i32) {
    draw::draw_text_n(&format!("{FROM_RIGHT}{}", drawn(text)), x, baseline);
}

/// How wide [`draw`] draws it, in pixels.
pub(crate) fn width(text: &str) -> f64 {
    draw::width(&drawn(text))
}

/// The words on a widget, and the title of a window.
pub(crate) fn label<W: WidgetExt>(widget: &mut W, text: &str) {
    widget.set_label(&harmless::for_line(text));
}

/// What is shown while the mouse rests on a widget.
pub(crate) fn tooltip<W: WidgetExt>(widget: &mut W, text: &str) {
    widget.set_tooltip(&harmless::plain(text));
}

/// Fills a field, and puts the cursor behind what is in it.
pub(crate) fn fill_in(input: &mut Input, text: &str) {
    let text = harmless::plain(text);
    input.set_value(&text);
    // FLTK's limit is far below what a number holds, and it bounds the place itself.
    let _ = input.set_position(i32::try_from(text.len()).unwrap_or(i32::MAX));
}

/// Fills an editor.
pub(crate) fn fill(buffer: &mut TextBuffer, text: &str) {
    buffer.set_text(&harmless::plain(text));
}

/// One more line of a menu.
pub(crate) fn add_to_menu(menu: &mut MenuButton, label: &str, mut chosen: impl FnMut() + 'static) {
    menu.add(&harmless::for_line(label), Shortcut::None, MenuFlag::Normal, move |_| chosen());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_has_no_nul_and_turns_nothing() {
        assert_eq!(drawn("plain, שלום, 🎉"), "plain, שלום, 🎉");
        assert_eq!(drawn("a\0b\u{1b}c\u{9b}"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(drawn("a\tb\u{2028}c\nd"), "a    b c d");
        assert_eq!(drawn("exe.\u{202e}gpj\u{2066}\u{61c}"), "exe.gpj");
    }
}
