//! Colours by role: dark, light, and of high contrast. Nothing else names a colour.

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rgb(pub(crate) u8, pub(crate) u8, pub(crate) u8);

/// What each colour is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Palette {
    /// The window and the messages' background.
    pub(crate) surface: Rgb,
    /// The sidebar.
    pub(crate) panel: Rgb,
    /// Fields.
    pub(crate) raised: Rgb,
    /// Messages of others.
    pub(crate) bubble_in: Rgb,
    /// Messages of one's own.
    pub(crate) bubble_out: Rgb,
    /// The open conversation in the list.
    pub(crate) selected: Rgb,
    /// Separators, one pixel wide.
    pub(crate) line: Rgb,
    /// Text.
    pub(crate) text: Rgb,
    /// Text that matters less.
    pub(crate) text_dim: Rgb,
    /// The same on a message of one's own.
    pub(crate) text_dim_out: Rgb,
    /// Lines, links and marks that are to be seen.
    pub(crate) accent: Rgb,
    /// Links on a message of one's own.
    pub(crate) link_out: Rgb,
    /// Buttons and badges, with [`Palette::on_fill`] on them.
    pub(crate) accent_fill: Rgb,
    /// The same under the mouse.
    pub(crate) accent_hover: Rgb,
    /// Buttons that destroy something.
    pub(crate) danger_fill: Rgb,
    /// Text on filled buttons, badges and circles.
    pub(crate) on_fill: Rgb,
    /// Edges of fields with errors.
    pub(crate) danger: Rgb,
    /// Errors.
    pub(crate) danger_text: Rgb,
    /// Errors on a message of one's own.
    pub(crate) danger_text_out: Rgb,
    /// Good news under a field.
    pub(crate) good_text: Rgb,
    /// The banner.
    pub(crate) warning: Rgb,
    /// Text on it.
    pub(crate) warning_text: Rgb,
    /// People's circles.
    pub(crate) avatars: [Rgb; 8],
    /// The circle of somebody who is gone.
    pub(crate) avatar_gone: Rgb,
}

/// White letters can be read on all of them.
const AVATARS: [Rgb; 8] = [
    Rgb(0x6d, 0x4a, 0xff),
    Rgb(0xc2, 0x3f, 0x7c),
    Rgb(0x1f, 0x7d, 0x57),
    Rgb(0xa1, 0x5a, 0x12),
    Rgb(0x25, 0x6f, 0xc4),
    Rgb(0xb0, 0x3d, 0x3d),
    Rgb(0x0f, 0x79, 0x86),
    Rgb(0x7a, 0x5c, 0x2e),
];

/// For rooms with little light, and the one it begins with.
pub(crate) static DARK: Palette = Palette {
    surface: Rgb(0x16, 0x18, 0x1d),
    panel: Rgb(0x1b, 0x1e, 0x24),
    raised: Rgb(0x24, 0x28, 0x31),
    bubble_in: Rgb(0x26, 0x2b, 0x34),
    bubble_out: Rgb(0x2c, 0x4a, 0x80),
    selected: Rgb(0x25, 0x2b, 0x38),
    line: Rgb(0x2e, 0x33, 0x3d),
    text: Rgb(0xe6, 0xe8, 0xec),
    text_dim: Rgb(0x9a, 0xa2, 0xb0),
    text_dim_out: Rgb(0xc0, 0xcf, 0xec),
    accent: Rgb(0x6f, 0xa2, 0xff),
    link_out: Rgb(0xbf, 0xd6, 0xff),
    accent_fill: Rgb(0x2f, 0x6a, 0xdb),
    accent_hover: Rgb(0x29, 0x5f, 0xc6),
    danger_fill: Rgb(0xc2, 0x3b, 0x42),
    on_fill: Rgb(0xff, 0xff, 0xff),
    danger: Rgb(0xe5, 0x64, 0x6a),
    danger_text: Rgb(0xff, 0x8a, 0x8f),
    danger_text_out: Rgb(0xff, 0xb8, 0xbb),
    good_text: Rgb(0x6f, 0xd0, 0x9d),
    warning: Rgb(0x3a, 0x2f, 0x16),
    warning_text: Rgb(0xf0, 0xc6, 0x74),
    avatars: AVATARS,
    avatar_gone: Rgb(0x5b, 0x63, 0x70),
};

/// For daylight.
pub(crate) static LIGHT: Palette = Palette {
    surface: Rgb(0xff, 0xff, 0xff),
    panel: Rgb(0xf4, 0xf5, 0xf7),
    raised: Rgb(0xee, 0xf0, 0xf3),
    bubble_in: Rgb(0xec, 0xee, 0xf2),
    bubble_out: Rgb(0xd6, 0xe4, 0xff),
    selected: Rgb(0xe3, 0xe9, 0xf5),
    line: Rgb(0xdb, 0xde, 0xe4),
    text: Rgb(0x1b, 0x1e, 0x24),
    text_dim: Rgb(0x58, 0x5f, 0x6b),
    text_dim_out: Rgb(0x43, 0x50, 0x69),
    accent: Rgb(0x1f, 0x59, 0xc9),
    link_out: Rgb(0x1b, 0x4d, 0xb0),
    accent_fill: Rgb(0x2f, 0x6a, 0xdb),
    accent_hover: Rgb(0x29, 0x5f, 0xc6),
    danger_fill: Rgb(0xc2, 0x3b, 0x42),
    on_fill: Rgb(0xff, 0xff, 0xff),
    danger: Rgb(0xc9, 0x2a, 0x33),
    danger_text: Rgb(0xb3, 0x1f, 0x28),
    danger_text_out: Rgb(0x9c, 0x16, 0x1f),
    good_text: Rgb(0x1a, 0x6e, 0x43),
    warning: Rgb(0xff, 0xf0, 0xcc),
    warning_text: Rgb(0x6b, 0x4a, 0x00),
    avatars: AVATARS,
    avatar_gone: Rgb(0x5b, 0x63, 0x70),
};

/// For eyes that need more: all text has seven times the light of its ground or a seventh of it, and edges can be seen.
pub(crate) static CONTRAST: Palette = Palette {
    surface: Rgb(0x00, 0x00, 0x00),
    panel: Rgb(0x00, 0x00, 0x00),
    raised: Rgb(0x10, 0x10, 0x10),
    bubble_in: Rgb(0x26, 0x26, 0x26),
    bubble_out: Rgb(0x00, 0x32, 0x6e),
    selected: Rgb(0x00, 0x32, 0x6e),
    line: Rgb(0xb4, 0xb4, 0xb4),
    text: Rgb(0xff, 0xff, 0xff),
    text_dim: Rgb(0xe6, 0xe6, 0xe6),
    text_dim_out: Rgb(0xe6, 0xee, 0xff),
    accent: Rgb(0xff, 0xdc, 0x1e),
    link_out: Rgb(0xff, 0xe9, 0x7a),
    accent_fill: Rgb(0x00, 0x4a, 0xa8),
    accent_hover: Rgb(0x00, 0x3a, 0x86),
    danger_fill: Rgb(0x9b, 0x00, 0x10),
    on_fill: Rgb(0xff, 0xff, 0xff),
    danger: Rgb(0xff, 0x6e, 0x6e),
    danger_text: Rgb(0xff, 0x9c, 0x9c),
    danger_text_out: Rgb(0xff, 0xc4, 0xc4),
    good_text: Rgb(0x7d, 0xff, 0xa8),
    warning: Rgb(0x33, 0x28, 0x00),
    warning_text: Rgb(0xff, 0xee, 0x9c),
    avatars: [
        Rgb(0x3d, 0x1f, 0xb8),
        Rgb(0x8a, 0x12, 0x50),
        Rgb(0x0a, 0x52, 0x36),
        Rgb(0x6e, 0x3a, 0x00),
        Rgb(0x0d, 0x4a, 0x94),
        Rgb(0x8a, 0x1c, 0x1c),
        Rgb(0x05, 0x50, 0x58),
        Rgb(0x57, 0x3e, 0x10),
    ],
    avatar_gone: Rgb(0x40, 0x48, 0x54),
};

impl Palette {
    /// The colour of somebody's circle: always the same for a name.
    pub(crate) fn avatar(&self, name: &str) -> Rgb {
        // FNV-1a, mixed once more: names are short.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        self.avatars[(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % self.avatars.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, WCAG 2.2.
    fn luminance(Rgb(red, green, blue): Rgb) -> f64 {
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    fn contrast(one: Rgb, other: Rgb) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// WCAG AA: text of ordinary size, and what is no text but has to be seen.
    const TEXT_MIN: f64 = 4.5;
    /// WCAG AAA.
    const TEXT_MIN_CONTRAST: f64 = 7.0;
    const SHAPE_MIN: f64 = 3.0;

    #[test]
    fn everything_can_be_read() {
        let palettes =
            [("dark", &DARK, TEXT_MIN), ("light", &LIGHT, TEXT_MIN), ("contrast", &CONTRAST, TEXT_MIN_CONTRAST)];
        for (name, p, text_min) in palettes {
            let grounds = [
                ("surface", p.surface),
                ("panel", p.panel),
                ("raised", p.raised),
                ("selected", p.selected),
                ("bubble_in", p.bubble_in),
            ];
            let texts = [("text", p.text), ("text_dim", p.text_dim), ("accent", p.accent)];
            let mut pairs: Vec<_> =
                grounds.iter().flat_map(|ground| texts.iter().map(move |text| (*text, *ground))).collect();
            pairs.extend([
                (("text", p.text), ("bubble_out", p.bubble_out)),
                (("text_dim_out", p.text_dim_out), ("bubble_out", p.bubble_out)),
                (("link_out", p.link_out), ("bubble_out", p.bubble_out)),
                (("on_fill", p.on_fill), ("accent_fill", p.accent_fill)),
                (("on_fill", p.on_fill), ("accent_hover", p.accent_hover)),
                (("on_fill", p.on_fill), ("danger_fill", p.danger_fill)),
                (("on_fill", p.on_fill), ("avatar_gone", p.avatar_gone)),
                (("danger_text", p.danger_text), ("surface", p.surface)),
                (("danger_text_out", p.danger_text_out), ("bubble_out", p.bubble_out)),
                (("good_text", p.good_text), ("surface", p.surface)),
                (("warning_text", p.warning_text), ("warning", p.warning)),
                (("accent", p.accent), ("warning", p.warning)),
            ]);
            pairs.extend(p.avatars.iter().map(|&avatar| (("on_fill", p.on_fill), ("avatar", avatar))));
            for ((text, one), (ground, other)) in pairs {
                let contrast = contrast(one, other);
                assert!(contrast >= text_min, "{name}: {text} on {ground}: {contrast:.2}");
            }
            for (shape, one) in [("danger", p.danger), ("accent", p.accent)] {
                let contrast = contrast(one, p.surface);
                assert!(contrast >= SHAPE_MIN, "{name}: {shape}: {contrast:.2}");
            }
        }
    }

    #[test]
    fn edges_are_seen_where_the_contrast_is_high() {
        for ground in [CONTRAST.surface, CONTRAST.panel, CONTRAST.raised] {
            assert!(contrast(CONTRAST.line, ground) >= TEXT_MIN);
        }
    }

    #[test]
    fn a_name_has_its_colour_and_names_differ() {
        assert_eq!(DARK.avatar("sam"), DARK.avatar("sam"));
        let colours = ["ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"].map(|name| DARK.avatar(name));
        let distinct = colours.iter().enumerate().filter(|(at, colour)| !colours[..*at].contains(colour)).count();
        assert!(distinct >= 4, "{distinct}");
    }
}
