//! How a message becomes lines.
//!
//! Lines break where Unicode allows it (UAX 14), so that text without spaces wraps too; what is still too long is broken
//! between its letters. Lines are ranges of the message, so that nothing is copied.
//!
//! Where writings of both directions meet, a line has several runs, in the order in which they are seen (UAX 9). Characters
//! that would turn this order by themselves do nothing: what is shown is in the order of its letters, whoever has written it.

use std::ops::Range;

use client_fltk::harmless::is_direction;
use textwrap::WordSeparator;
use unicode_bidi::{BidiClass, BidiDataSource, HardcodedBidiData, Level, ParagraphBidiInfo};
use unicode_segmentation::UnicodeSegmentation;

/// A piece of a line that is drawn at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Which bytes of the message.
    pub(crate) bytes: Range<usize>,
    /// They are a part of this address.
    pub(crate) link: Option<Range<usize>>,
    /// Its letters go from right to left.
    pub(crate) from_right: bool,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextLine {
    /// All of it, in the text that was laid out.
    pub(crate) bytes: Range<usize>,
    /// As they are seen, from the left.
    pub(crate) runs: Vec<Run>,
    /// In pixels.
    pub(crate) width: f64,
    /// It is read from the right.
    pub(crate) from_right: bool,
}

impl TextLine {
    /// The runs, each with its left edge and its width, from the left edge of the line on.
    pub(crate) fn placed(&self, text: &str, measure: impl Fn(&str) -> f64) -> impl Iterator<Item = (&Run, f64, f64)> {
        self.runs.iter().scan(0.0, move |right, run| {
            let width = if self.runs.len() > 1 { measure(&text[run.bytes.clone()]) } else { self.width };
            *right += width;
            Some((run, *right - width, width))
        })
    }

    /// The run at that distance from the left edge of the line.
    pub(crate) fn run_at(&self, text: &str, x: f64, measure: impl Fn(&str) -> f64) -> Option<&Run> {
        self.placed(text, measure).find(|&(_, left, width)| (left..left + width).contains(&x)).map(|(run, ..)| run)
    }

    /// The place between two letters that is nearest to that distance from the left edge of the line.
    pub(crate) fn caret(&self, text: &str, x: f64, measure: impl Fn(&str) -> f64) -> usize {
        let mut nearest = self.bytes.start;
        for (run, left, width) in self.placed(text, &measure) {
            let (piece, along) = (&text[run.bytes.clone()], if run.from_right { left + width - x } else { x - left });
            let ends: Vec<_> = piece.grapheme_indices(true).map(|(at, _)| at).chain([piece.len()]).collect();
            let before = ends.partition_point(|&end| measure(&piece[..end]) <= along);
            let (before, after) = (ends[before.saturating_sub(1)], ends[before.min(ends.len() - 1)]);
            let is_after = along - measure(&piece[..before]) > measure(&piece[..after]) - along;
            nearest = run.bytes.start + if is_after { after } else { before };
            if x < left + width {
                break;
            }
        }
        nearest
    }

    /// Where a part of the text is on this line: left edges and widths.
    pub(crate) fn stripes(&self, text: &str, part: &Range<usize>, measure: impl Fn(&str) -> f64) -> Vec<(f64, f64)> {
        let stripe = |(run, left, width): (&Run, f64, f64)| {
            let (start, end) = (part.start.max(run.bytes.start), part.end.min(run.bytes.end));
            if start >= end {
                return None;
            }
            let upto = |end: usize| if end == run.bytes.end { width } else { measure(&text[run.bytes.start..end]) };
            let (from, to) = (upto(start), upto(end));
            Some((left + if run.from_right { width - to } else { from }, to - from))
        };
        self.placed(text, &measure).filter_map(stripe).collect()
    }
}

/// A message in lines.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Block {
    pub(crate) lines: Vec<TextLine>,
    /// The widest line, in pixels.
    pub(crate) width: f64,
}

/// Breaks a message into lines of at most `max` pixels; `measure` tells how wide a text is.
pub(crate) fn lay_out(text: &str, max: f64, measure: impl Fn(&str) -> f64) -> Block {
    let links = links(text);
    let mut block = Block::default();
    let mut start = 0;
    for paragraph in text.split('\n') {
        let end = start + paragraph.len();
        let shown = paragraph.trim_end();
        let order = Order::of(shown);
        for range in broken(shown, max, &measure) {
            let bytes = start + range.start..start + range.end;
            let mut runs = Vec::new();
            for (run, from_right) in order.runs(range) {
                linked(start + run.start..start + run.end, from_right, &links, &mut runs);
            }
            let width = runs.iter().map(|run| measure(&text[run.bytes.clone()])).sum();
            block.width = block.width.max(width);
            block.lines.push(TextLine { bytes, runs, width, from_right: order.is_from_right() });
        }
        start = end + 1;
    }
    block
}

/// In which order the parts of a paragraph are seen.
enum Order<'t> {
    /// All of it is read from the left, as most texts are.
    Plain,
    Mixed(ParagraphBidiInfo<'t>),
}

impl<'t> Order<'t> {
    fn of(paragraph: &'t str) -> Self {
        if paragraph.chars().any(is_from_right) {
            Self::Mixed(ParagraphBidiInfo::new_with_data_source(&Unturned, paragraph, None))
        } else {
            Self::Plain
        }
    }

    fn is_from_right(&self) -> bool {
        matches!(self, Self::Mixed(info) if info.paragraph_level.is_rtl())
    }

    /// The runs of a line, from the left, and whether each is read from the right.
    fn runs(&self, line: Range<usize>) -> Vec<(Range<usize>, bool)> {
        match self {
            _ if line.is_empty() => Vec::new(),
            Self::Plain => vec![(line, false)],
            Self::Mixed(info) => {
                let (levels, runs) = info.visual_runs(line);
                let from_right = |run: &Range<usize>| levels.get(run.start).is_some_and(Level::is_rtl);
                runs.into_iter().map(|run| (run.clone(), from_right(&run))).collect()
            }
        }
    }
}

/// Unicode's classes, but for what turns the order of its neighbours, and for what ends a paragraph without being a line feed.
struct Unturned;

impl BidiDataSource for Unturned {
    fn bidi_class(&self, c: char) -> BidiClass {
        match HardcodedBidiData.bidi_class(c) {
            _ if is_direction(c) && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}') => BidiClass::BN,
            BidiClass::B => BidiClass::WS,
            class => class,
        }
    }
}

/// Whether a letter goes from right to left.
fn is_from_right(c: char) -> bool {
    !c.is_ascii() && matches!(HardcodedBidiData.bidi_class(c), BidiClass::R | BidiClass::AL)
}

/// The lines of a paragraph.
fn broken(paragraph: &str, max: f64, measure: impl Fn(&str) -> f64) -> Vec<Range<usize>> {
    // The usual case; a very long text is not even measured as a whole.
    const AT_ONCE: usize = 400;
    if paragraph.len() <= AT_ONCE && measure(paragraph) <= max {
        return std::iter::once(0..paragraph.len()).collect();
    }
    let mut lines = Vec::new();
    let (mut start, mut end, mut width) = (0, 0, 0.0);
    let space = measure(" ");
    for word in WordSeparator::UnicodeBreakProperties.find_words(paragraph) {
        let (begin, length) = (end_of_space(paragraph, end), measure(word.word));
        let gap = if begin > end { space * (begin - end) as f64 } else { 0.0 };
        if width > 0.0 && width + gap + length > max {
            lines.push(start..end);
            (start, width) = (begin, 0.0);
        } else {
            width += gap;
        }
        let finish = begin + word.word.len();
        if length > max {
            // No line is wide enough: it is broken between letters.
            let mut piece = begin;
            for (at, letter) in word.word.grapheme_indices(true) {
                let wide = measure(letter);
                if width > 0.0 && width + wide > max {
                    lines.push(start.min(piece)..begin + at);
                    (start, piece, width) = (begin + at, begin + at, 0.0);
                }
                width += wide;
            }
        } else {
            width += length;
        }
        end = finish;
    }
    lines.push(start..end);
    lines
}

/// Where the spaces that begin at `from` end.
fn end_of_space(text: &str, from: usize) -> usize {
    from + text[from..].len() - text[from..].trim_start_matches(' ').len()
}

/// Adds a run, in pieces where a part of it is a link.
fn linked(bytes: Range<usize>, from_right: bool, links: &[Range<usize>], runs: &mut Vec<Run>) {
    let (first, mut at) = (runs.len(), bytes.start);
    for link in links.iter().filter(|link| link.start < bytes.end && bytes.start < link.end) {
        let (start, end) = (link.start.max(bytes.start), link.end.min(bytes.end));
        if at < start {
            runs.push(Run { bytes: at..start, link: None, from_right });
        }
        runs.push(Run { bytes: start..end, link: Some(link.clone()), from_right });
        at = end;
    }
    if at < bytes.end {
        runs.push(Run { bytes: at..bytes.end, link: None, from_right });
    }
    if from_right {
        runs[first..].reverse();
    }
}

/// Web addresses in a text. What ends a sentence does not belong to them.
pub(crate) fn links(text: &str) -> Vec<Range<usize>> {
    let mut links = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find("http") {
        let start = from + found;
        let rest = &text[start..];
        let scheme = ["https://", "http://"].into_iter().find(|scheme| rest.starts_with(scheme));
        let end = rest
            .find(|c: char| c.is_whitespace() || c.is_control() || is_direction(c) || matches!(c, '<' | '>' | '"'))
            .unwrap_or(rest.len());
        let mut link = &rest[..end];
        link = link.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '،', '؛', '؟', '。', '，', '、', '！', '？']);
        if link.ends_with(')') && !link.contains('(') {
            link = &link[..link.len() - 1];
        }
        match scheme {
            Some(scheme) if link.len() > scheme.len() => {
                links.push(start..start + link.len());
                from = start + link.len();
            }
            _ => from = start + "http".len(),
        }
    }
    links
}

/// The word, or what is between words, at a place of a text.
pub(crate) fn word_at(text: &str, at: usize) -> Range<usize> {
    let words = text.split_word_bound_indices().map(|(start, word)| start..start + word.len());
    words.take_while(|word| word.start <= at).last().unwrap_or(0..0)
}

/// As much of a text as fits into `max` pixels, with an ellipsis if something is left out.
pub(crate) fn fitted(text: &str, max: f64, measure: impl Fn(&str) -> f64) -> String {
    if measure(text) <= max {
        return text.to_owned();
    }
    let ends: Vec<_> = text.grapheme_indices(true).map(|(at, _)| at).collect();
    let cut = |at: usize| format!("{}…", text[..ends[at]].trim_end());
    let fits = ends.partition_point(|&end| measure(&format!("{}…", text[..end].trim_end())) <= max);
    cut(fits.saturating_sub(1))
}

/// The same for what somebody is called: the user name in brackets behind it, which tells them from others, is the last to go.
pub(crate) fn fitted_name(name: &str, max: f64, measure: impl Fn(&str) -> f64) -> String {
    let (shown, user) = name.rfind(" (@").map_or((name, ""), |at| name.split_at(at));
    let room = max - measure(user);
    if user.is_empty() || room < measure("…") {
        return fitted(name, max, measure);
    }
    format!("{}{user}", fitted(shown, room, measure))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every letter is ten pixels wide.
    fn ten(text: &str) -> f64 {
        text.graphemes(true).count() as f64 * 10.0
    }

    fn lines(text: &str, max: f64) -> Vec<&str> {
        let block = lay_out(text, max, ten);
        block.lines.iter().map(|line| &text[line.bytes.clone()]).collect()
    }

    #[test]
    fn lines_break_where_they_may() {
        let cases: &[(&str, f64, &[&str])] = &[
            ("", 100.0, &[""]),
            ("one two", 100.0, &["one two"]),
            ("one two", 60.0, &["one", "two"]),
            ("one  two three", 80.0, &["one  two", "three"]),
            ("a\n\nb", 100.0, &["a", "", "b"]),
            ("abcdefghij", 40.0, &["abcd", "efgh", "ij"]),
            ("ab cdefghij", 40.0, &["ab", "cdef", "ghij"]),
            ("バックアップ", 30.0, &["バック", "アップ"]),
            ("👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧", 20.0, &["👨‍👩‍👧👨‍👩‍👧", "👨‍👩‍👧"]),
            ("end ", 30.0, &["end"]),
        ];
        for (text, max, expected) in cases {
            assert_eq!(lines(text, *max), *expected, "{text:?} in {max}");
        }
    }

    #[test]
    fn no_line_is_too_wide_and_nothing_is_lost() {
        let text = "The quick brown fox, jumpsoverthelazydogwithoutanyspace and バックアップは完了しました https://example.org/a/very/long/path?with=query ok".repeat(20);
        for max in [35.0, 120.0, 400.0] {
            let block = lay_out(&text, max, ten);
            assert!(block.lines.iter().all(|line| line.width <= max), "{max}");
            let kept: String =
                block.lines.iter().flat_map(|line| &line.runs).map(|run| &text[run.bytes.clone()]).collect();
            let solid = |text: &str| text.replace(' ', "");
            assert_eq!(solid(&kept), solid(&text), "{max}");
        }
    }

    #[test]
    fn addresses_are_found_without_what_ends_the_sentence() {
        let found = |text: &str| links(text).into_iter().map(|link| text[link].to_owned()).collect::<Vec<_>>();
        assert_eq!(found("see https://a.b/c?d=e, (http://x.y). https:// http"), ["https://a.b/c?d=e", "http://x.y"]);
        assert_eq!(found("https://en.org/a_(b) \"http://q.r\""), ["https://en.org/a_(b)", "http://q.r"]);
        let text = "go https://a.b/c now";
        let block = lay_out(text, 1000.0, ten);
        let pieces: Vec<_> =
            block.lines[0].runs.iter().map(|run| (&text[run.bytes.clone()], run.link.is_some())).collect();
        assert_eq!(pieces, [("go ", false), ("https://a.b/c", true), (" now", false)]);
        // Broken over lines, each piece knows the whole address.
        let block = lay_out("https://a.b/cdefgh", 70.0, ten);
        assert!(block.lines.len() > 1);
        assert!(block.lines.iter().flat_map(|line| &line.runs).all(|run| run.link == Some(0..18)));
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        assert_eq!(fitted("abcdef", 60.0, ten), "abcdef");
        assert_eq!(fitted("abcdef", 40.0, ten), "abc…");
        assert_eq!(fitted("ab cdef", 40.0, ten), "ab…");
        assert_eq!(fitted("abcdef", 0.0, ten), "…");
        assert_eq!(fitted_name("Maximilian (@max)", 130.0, ten), "Maxim… (@max)");
        assert_eq!(fitted_name("Max (@max)", 130.0, ten), "Max (@max)");
        assert_eq!(fitted_name("Maximilian (@max)", 60.0, ten), "Maxim…");
        assert_eq!(fitted_name("Maximilian", 60.0, ten), "Maxim…");
    }

    /// The runs of a text on one line, as they are seen, and those of them that are links.
    fn seen(text: &str) -> (Vec<&str>, Vec<&str>) {
        let block = lay_out(text, 10_000.0, ten);
        let line = &block.lines[0];
        let of = |run: &Run| &text[run.bytes.clone()];
        let links = line.runs.iter().filter(|run| run.link.is_some()).map(of).collect();
        (line.runs.iter().map(of).collect(), links)
    }

    #[test]
    fn parts_are_in_the_order_in_which_they_are_read() {
        let cases: &[(&str, &[&str])] = &[
            ("plain https://a.b/c text", &["plain ", "https://a.b/c", " text"]),
            ("ראה https://a.b/c עכשיו", &[" עכשיו", "https://a.b/c", "ראה "]),
            ("انظر https://a.b/c، ثم", &["، ثم", "https://a.b/c", "انظر "]),
            ("see שלום https://a.b/c", &["see ", "שלום", " ", "https://a.b/c"]),
            ("מספר 123 כאן", &[" כאן", "123", "מספר "]),
        ];
        for (text, expected) in cases {
            assert_eq!(seen(text).0, *expected, "{text}");
            assert!(seen(text).1.iter().all(|link| *link == "https://a.b/c"), "{text}");
        }
        assert!(lay_out("مرحبا", 1000.0, ten).lines[0].from_right);
        assert!(lay_out("123 שלום", 1000.0, ten).lines[0].from_right);
        assert!(!lay_out("one שלום", 1000.0, ten).lines[0].from_right);
    }

    #[test]
    fn characters_that_turn_the_order_end_a_link_and_turn_nothing() {
        for c in ['\u{202e}', '\u{202a}', '\u{2066}', '\u{2069}', '\u{200f}', '\u{61c}'] {
            let text = format!("https://a.b/{c}gpj.exe");
            assert_eq!(seen(&text).1, ["https://a.b/"], "{c:?}");
            let shown: String = seen(&text).0.concat();
            assert_eq!(shown, text, "{c:?}");
        }
        let text = "a\u{202e}bc ש\u{202c}d";
        assert_eq!(seen(text).0.concat(), text);
    }

    #[test]
    fn places_are_found_where_they_are_seen() {
        // Seen as: three letters from the right, a space, the link; each ten pixels wide.
        let text = "https://a.b שלו";
        let block = lay_out(text, 1000.0, ten);
        let line = &block.lines[0];
        assert_eq!(line.run_at(text, 5.0, ten).unwrap().bytes, 0..11);
        let check = |x: f64, expected: &str| assert_eq!(&text[line.caret(text, x, ten)..], expected, "{x}");
        check(-3.0, "https://a.b שלו");
        check(14.0, "ttps://a.b שלו");
        check(119.0, "שלו");
        check(149.0, "שלו");
        check(126.0, "ו");
        check(121.0, "");
        let part = text.find("ש").unwrap()..text.find("ו").unwrap();
        assert_eq!(line.stripes(text, &part, ten), [(130.0, 20.0)]);
        assert_eq!(line.stripes(text, &(6..12), ten), [(60.0, 50.0), (110.0, 10.0)]);
        assert_eq!(line.stripes(text, &(3..3), ten), []);
        // In a text that is read from the right, the link is to the left of what comes before it.
        let text = "של https://a.b";
        let line = &lay_out(text, 1000.0, ten).lines[0];
        assert!(line.run_at(text, 5.0, ten).unwrap().link.is_some());
        assert!(line.run_at(text, 125.0, ten).unwrap().link.is_none());
        assert!(lay_out("", 10.0, ten).lines[0].run_at("", 0.0, ten).is_none());
        assert_eq!(lay_out("", 10.0, ten).lines[0].caret("", 5.0, ten), 0);
    }

    #[test]
    fn a_word_is_what_is_between_others() {
        let word = |at| &"so, well-known שלום."[word_at("so, well-known שלום.", at)];
        assert_eq!([word(0), word(1), word(2), word(5), word(16), word(100)], ["so", "so", ",", "well", "שלום", "."]);
        assert_eq!(word_at("", 0), 0..0);
    }
}
