//! The program's icon: a speech bubble with three dots, painted here so that no file has to be shipped.

use fltk::enums::ColorDepth;
use fltk::image::RgbImage;

use crate::look::Rgb;
use crate::look::palette::DARK;

/// Pixels on each side; desktops make others from it.
const SIDE: i32 = 64;

/// The icon, or nothing if FLTK does not want it.
pub(super) fn icon() -> Option<RgbImage> {
    let pixels = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| pixel(x, y)));
    let bytes: Vec<u8> = pixels.flatten().collect();
    RgbImage::new(&bytes, SIDE, SIDE, ColorDepth::Rgba8).ok()
}

fn pixel(x: i32, y: i32) -> [u8; 4] {
    let solid = |Rgb(red, green, blue): Rgb| [red, green, blue, 255];
    let within = |centre: (i32, i32), radius: i32| (x - centre.0).pow(2) + (y - centre.1).pow(2) <= radius.pow(2);
    if [20, 32, 44].into_iter().any(|dot| within((dot, 28), 4)) {
        return solid(DARK.on_fill);
    }
    // A rounded rectangle, and a tail below its left end.
    let (left, right, top, bottom, radius) = (4, 59, 6, 50, 14);
    let (near_x, near_y) = (x.clamp(left + radius, right - radius), y.clamp(top + radius, bottom - radius));
    let tail = (14..=30).contains(&x) && y >= bottom - 2 && y - bottom <= 30 - x && y <= 60;
    if within((near_x, near_y), radius) || tail { solid(DARK.accent_fill) } else { [0; 4] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_bubble_on_nothing() {
        assert_eq!(pixel(0, 0), [0; 4]);
        assert_eq!(pixel(10, 30)[3], 255);
        assert_eq!(pixel(32, 28), [255; 4]);
        assert_eq!(pixel(15, 58)[3], 255, "the tail");
    }
}
