//! The settings page.

use client_fltk::command::Device;

use super::Setting;

/// Which colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    #[default]
    Dark,
    Light,
    /// Black and white, for eyes that need it.
    Contrast,
}

impl Theme {
    /// How it is kept on disk.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Contrast => "contrast",
        }
    }

    /// From what was kept; what is unknown is dark.
    pub(crate) fn named(name: &str) -> Self {
        let known = [Self::Light, Self::Contrast];
        known.into_iter().find(|theme| theme.name() == name.trim()).unwrap_or_default()
    }
}

/// What the settings page shows beside the account.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// What came of the last change: of which, whether it was done, and a sentence.
    pub(crate) said: Option<(Setting, bool, String)>,
    /// A change is on its way.
    pub(crate) waiting: Option<Setting>,
    /// Where this account is logged in.
    pub(crate) devices: Vec<Device>,
    /// Unread messages that go with the account, once that was asked; what then remains is to do it.
    pub(crate) loss: Option<u64>,
    /// The colours.
    pub(crate) theme: Theme,
}

impl Settings {
    /// What stands under a field, and whether it is good news.
    pub(crate) fn under(&self, setting: Setting) -> Option<(bool, &str)> {
        self.said.as_ref().filter(|said| said.0 == setting).map(|(_, done, text)| (*done, text.as_str()))
    }

    /// Says what came of a change.
    pub(crate) fn say(&mut self, setting: Setting, done: bool, text: impl Into<String>) {
        self.waiting = None;
        self.said = Some((setting, done, text.into()));
    }
}
