//! A plot of one message over all codecs, as SVG: small enough to be written by hand.

use std::fmt::Write as _;

use super::{MEDIUM, Row};

const WIDTH: f64 = 720.0;
const LABEL: f64 = 92.0;
const BAR: f64 = 14.0;
const GAP: f64 = 8.0;
const TITLE: f64 = 34.0;

/// Colour of our own dialect's codecs, and of all others.
const OURS: &str = "#2a9d8f";
const OTHERS: &str = "#8d99ae";

/// What a panel shows of a row.
type Figure = fn(&Row) -> f64;

/// Three panels of bars, for `medium_messages_response`: size, time to write, time to read. Shorter is better.
#[must_use]
pub fn svg(rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.message == MEDIUM).collect();
    let panels: [(&str, &str, Figure); 3] = [
        ("Size", "bytes", |row| bytes(row.bytes)),
        ("Time to encode", "ns", |row| row.encode_ns),
        ("Time to decode", "ns", |row| row.decode_ns),
    ];
    let panel_height = TITLE + bytes(rows.len()) * (BAR + GAP);
    let height = panel_height * bytes(panels.len()) + GAP;
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a string takes everything");
    line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">"#
    ));
    line(format_args!(r##"<rect width="100%" height="100%" fill="#ffffff"/>"##));
    for (panel, (title, unit, figure)) in panels.into_iter().enumerate() {
        let top = bytes(panel) * panel_height;
        line(format_args!(
            r##"<text x="{GAP}" y="{}" font-weight="bold" fill="#222222">{title}, {MEDIUM} ({unit}; shorter is better)</text>"##,
            top + 22.0
        ));
        let largest = rows.iter().map(|row| figure(row)).fold(1.0, f64::max);
        for (number, row) in rows.iter().enumerate() {
            let y = top + TITLE + bytes(number) * (BAR + GAP);
            // Room is left for the figure behind the longest bar.
            let width = figure(row) / largest * (WIDTH - LABEL - 80.0);
            let colour = if row.codec.ends_with('2') { OURS } else { OTHERS };
            line(format_args!(
                r##"<text x="{}" y="{}" text-anchor="end" fill="#222222">{}</text>"##,
                LABEL - 6.0,
                y + 11.5,
                row.codec
            ));
            line(format_args!(r#"<rect x="{LABEL}" y="{y}" width="{width:.1}" height="{BAR}" fill="{colour}"/>"#));
            line(format_args!(
                r##"<text x="{:.1}" y="{}" fill="#222222">{:.0}</text>"##,
                LABEL + width + 5.0,
                y + 11.5,
                figure(row)
            ));
        }
    }
    line(format_args!("</svg>"));
    out
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn bytes(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_has_a_bar_in_every_panel() {
        let row = |codec, bytes| Row { message: MEDIUM, codec, bytes, encode_ns: 10.0, decode_ns: 20.0 };
        let other = Row { message: "small_messages_response", ..row("samira2", 1) };
        let plot = svg(&[row("samira2", 100), row("prost", 200), other]);
        assert_eq!(plot.matches("<rect x=").count(), 6);
        assert_eq!(plot.matches(">samira2<").count(), 3);
        let full = format!("width=\"{:.1}\"", WIDTH - LABEL - 80.0);
        assert_eq!(plot.matches(&full).count(), 5, "the longest of each panel, and what equals it: {plot}");
        assert!(plot.starts_with("<svg ") && plot.ends_with("</svg>\n"));
    }
}
