//! Asks the desktop to show that the window wants to be looked at. FLTK has no word for it, so the hint is set as the
//! window managers' conventions (ICCCM 4.1.2.4) have it.

use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::properties::WmHints;
use x11rb::rust_connection::RustConnection;

/// A connection of its own to the display, made when it is needed for the first time.
#[derive(Default)]
pub(super) struct Attention {
    display: Option<RustConnection>,
}

impl Attention {
    /// Wants attention, or does not any more. Where the display does not listen nothing happens: it is only a hint.
    pub(super) fn want(&mut self, window: usize, wanted: bool) {
        if self.display.is_none() {
            self.display = x11rb::connect(None).ok().map(|(display, _)| display);
        }
        let Some(display) = &self.display else { return };
        if u32::try_from(window).is_ok_and(|window| set(display, window, wanted).is_err()) {
            // Another one may do better the next time.
            self.display = None;
        }
    }
}

fn set(display: &RustConnection, window: u32, wanted: bool) -> Result<(), ReplyError> {
    let known = WmHints::get(display, window)?.reply()?;
    WmHints { urgent: wanted, ..known.unwrap_or_default() }.set(display, window)?;
    display.flush()?;
    Ok(())
}
