//! One character of a name among its neighbours.

use unicode_normalization::char::canonical_combining_class;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeEmoji, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

use super::NameError;
use crate::limits::NAME_MARKS_IN_A_ROW_MAX;

const ZWNJ: char = '\u{200c}';
const ZWJ: char = '\u{200d}';
const EMOJI_FORM: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';

/// Combining class of the signs that take a letter's vowel away. They are no accents, and a joiner behind them chooses the shape.
pub(super) const VIRAMA: u8 = 9;

/// Scripts whose letters join: a non-joiner between two of them shows.
const JOINING: &[Script] = &[
    Script::Arabic,
    Script::Syriac,
    Script::Mandaic,
    Script::Mongolian,
    Script::Nko,
    Script::Phags_Pa,
    Script::Adlam,
    Script::Hanifi_Rohingya,
];

/// Judges each character where it stands.
pub(super) fn check_each(name: &str) -> Result<(), NameError> {
    let (mut before, mut marks) = (None, 0);
    for (at, c) in name.char_indices() {
        let after = name[at + c.len_utf8()..].chars().next();
        check_one(before, c, after)?;
        marks = if is_mark(c) { marks + 1 } else { 0 };
        match before {
            None if marks > 0 => return Err(NameError::Mark),
            _ if marks > NAME_MARKS_IN_A_ROW_MAX => return Err(NameError::ManyMarks),
            _ => before = Some(c),
        }
    }
    Ok(())
}

fn check_one(before: Option<char>, c: char, after: Option<char>) -> Result<(), NameError> {
    if is_ignorable(c) {
        let needed = before.is_some_and(|before| is_needed(before, c, after));
        return if needed { Ok(()) } else { Err(NameError::Control) };
    }
    match c.general_category() {
        GeneralCategory::PrivateUse | GeneralCategory::Unassigned => Err(NameError::Meaningless),
        GeneralCategory::Control
        | GeneralCategory::Format
        | GeneralCategory::Surrogate
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => Err(NameError::Control),
        _ if is_blank(c) => Err(NameError::Control),
        _ => Ok(()),
    }
}

/// Marks that take no room of their own.
fn is_mark(c: char) -> bool {
    let mark = matches!(c.general_category(), GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark);
    mark && !is_ignorable(c)
}

/// Whether an invisible character changes what its neighbours look like, so that a script or an emoji needs it.
fn is_needed(before: char, c: char, after: Option<char>) -> bool {
    let is_letter = |c: char| c.general_category_group() == GeneralCategoryGroup::Letter;
    match c {
        ZWNJ | ZWJ if canonical_combining_class(before) == VIRAMA => after.is_some_and(is_letter),
        ZWNJ => after.is_some_and(|after| is_letter(after) && joins(before) && joins(after)),
        ZWJ => is_pictograph_end(before) && after.is_some_and(is_pictograph),
        EMOJI_FORM => is_pictograph(before) || (matches!(before, '0'..='9' | '#' | '*') && after == Some(KEYCAP)),
        // Variants of one ideograph, which some people have in their names.
        '\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => before.script() == Script::Han && is_letter(before),
        '\u{180b}'..='\u{180d}' | '\u{180f}' => before.script() == Script::Mongolian && is_letter(before),
        _ => false,
    }
}

fn joins(c: char) -> bool {
    JOINING.contains(&c.script())
}

/// A picture that goes together with others.
fn is_pictograph(c: char) -> bool {
    !c.is_ascii() && c.is_emoji_char()
}

/// The last character of a picture: itself, the choice of its form, or a colour of skin, which is a picture too.
fn is_pictograph_end(c: char) -> bool {
    is_pictograph(c) || c == EMOJI_FORM
}

/// Unicode's property `Default_Ignorable_Code_Point`: what is not drawn unless something supports it. The property is stable,
/// with room for characters to come.
pub(super) fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Signs and marks that are drawn as nothing, or stand for something that is missing.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{16fe4}' | '\u{1d159}' | '\u{fffc}' | '\u{fffd}')
}
