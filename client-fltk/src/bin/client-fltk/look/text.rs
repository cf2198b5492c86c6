//! How a message becomes lines.
//!
//! Lines break where Unicode allows it (UAX 14), so that text without spaces wraps too; what is still too long is broken
//! between its letters. Lines are ranges of the message, so that nothing is copied.

use std::ops::Range;

use textwrap::WordSeparator;
use unicode_segmentation::UnicodeSegmentation;

/// A piece of a line that is drawn at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Which bytes of the message.
    pub(crate) bytes: Range<usize>,
    /// They are a part of this address.
    pub(crate) link: Option<Range<usize>>,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextLine {
    /// Left to right, whatever the writing.
    pub(crate) runs: Vec<Run>,
    /// In pixels.
    pub(crate) width: f64,
    /// It is read from the right.
    pub(crate) from_right: bool,
}

impl TextLine {
    /// All of it, in the text that was laid out.
    pub(crate) fn bytes(&self) -> Range<usize> {
        self.runs.first().map_or(0, |run| run.bytes.start)..self.runs.last().map_or(0, |run| run.bytes.end)
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
        for range in broken(shown, max, &measure) {
            let bytes = start + range.start..start + range.end;
            let width = measure(&text[bytes.clone()]);
            block.width = block.width.max(width);
            let from_right = is_from_right(&text[bytes.clone()]);
            block.lines.push(TextLine { runs: runs(bytes, &links), width, from_right });
        }
        start = end + 1;
    }
    block
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

fn runs(bytes: Range<usize>, links: &[Range<usize>]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut at = bytes.start;
    for link in links.iter().filter(|link| link.start < bytes.end && bytes.start < link.end) {
        let (start, end) = (link.start.max(bytes.start), link.end.min(bytes.end));
        if at < start {
            runs.push(Run { bytes: at..start, link: None });
        }
        runs.push(Run { bytes: start..end, link: Some(link.clone()) });
        at = end;
    }
    if at < bytes.end {
        runs.push(Run { bytes: at..bytes.end, link: None });
    }
    runs
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
            .find(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"'))
            .unwrap_or(rest.len());
        let mut link = &rest[..end];
        link = link.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'']);
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

/// Whether the first letter that has a direction goes from right to left.
fn is_from_right(text: &str) -> bool {
    text.chars().find(|c| c.is_alphabetic()).is_some_and(|c| {
        matches!(u32::from(c), 0x0590..=0x08FF | 0xFB1D..=0xFDFF | 0xFE70..=0xFEFF | 0x1_0800..=0x1_0FFF | 0x1_E800..=0x1_EFFF)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every letter is ten pixels wide.
    fn ten(text: &str) -> f64 {
        text.graphemes(true).count() as f64 * 10.0
    }

    fn lines(text: &str, max: f64) -> Vec<&str> {
        let block = lay_out(text, max, ten);
        block
            .lines
            .iter()
            .map(|line| {
                &text[line.runs.first().map_or(0, |run| run.bytes.start)
                    ..line.runs.last().map_or(0, |run| run.bytes.end)]
            })
            .collect()
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
        assert!(lay_out("مرحبا", 1000.0, ten).lines[0].from_right);
    }
}
