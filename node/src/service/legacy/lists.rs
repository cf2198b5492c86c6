//! Which users a list is about.

use wire::names::Pattern;

use super::room::Form;
use crate::storage::query::{QueryError, StateReader};

/// Some of all users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    /// What their names look like.
    pub(super) pattern: Pattern,
    /// Who is left out.
    pub(super) exclude: String,
    /// How many are passed over.
    pub(super) skip: usize,
    /// How many are shown at most.
    pub(super) count: usize,
}

impl Selection {
    /// Their names, as many as could fit a reply.
    pub(super) fn names(&self, reader: &StateReader, form: Form) -> Result<Vec<String>, QueryError> {
        let Selection { pattern, exclude, skip, count } = self;
        reader.names(pattern, exclude, *skip, (*count).min(form.names_max()))
    }
}
