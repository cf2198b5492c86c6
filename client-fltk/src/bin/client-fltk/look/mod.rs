//! How everything looks: [`palette`] has the colours by role, [`paint`] the shapes, [`text`] how a message becomes lines,
//! [`sizes`] the distances.

pub(crate) mod paint;
pub(crate) mod palette;
pub(crate) mod sizes;
pub(crate) mod text;
pub(crate) mod toolkit;

pub(crate) use palette::{Palette, Rgb};
