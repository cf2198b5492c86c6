//! Distances and sizes in pixels at 100 %, on a grid of four.

/// Between the edge of a panel and what is in it.
pub(crate) const PAD: i32 = 16;
/// Between things that belong together.
pub(crate) const GAP: i32 = 4;
/// Round corners of fields and buttons.
pub(crate) const FIELD_RADIUS: i32 = 8;
/// Round corners of messages.
pub(crate) const BUBBLE_RADIUS: i32 = 12;
/// Text.
pub(crate) const TEXT: i32 = 14;
/// Times, hints, errors.
pub(crate) const SMALL: i32 = 12;
/// The name of a page.
pub(crate) const TITLE: i32 = 25;
/// Between the tops of two lines of text.
pub(crate) const LINE: i32 = 20;
/// A person's circle.
pub(crate) const AVATAR: i32 = 36;
/// A field or button.
pub(crate) const FIELD: i32 = 40;
/// The bar above a conversation.
pub(crate) const HEADER: i32 = 60;
/// A line of the list in the sidebar.
pub(crate) const ROW: i32 = 58;
/// The sidebar beside a conversation.
pub(crate) const SIDEBAR: i32 = 300;
/// Windows narrower than this show one thing at a time.
pub(crate) const WIDE: i32 = 680;
/// A form on a page of its own.
pub(crate) const FORM: i32 = 340;
/// A message is at most this wide.
pub(crate) const BUBBLE: i32 = 560;
/// The bar at the bottom of the sidebar.
pub(crate) const TABS: i32 = 44;
/// Above and below what tells of a lost connection.
pub(crate) const BANNER_EDGE: i32 = 6;
