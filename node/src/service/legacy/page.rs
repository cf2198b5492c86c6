//! One chat page of a client, as far as the server can know it: what stands at each place of the list it was last sent,
//! and in each row it shows.
//!
//! The original's page asks once a second, shows `list[count:]`, remembers the count, and names messages for deletion by
//! place. A list that only ever holds what fits a reply would neither grow (so nothing new would be shown) nor keep its
//! places (so the wrong message would be deleted). Hence, as long as a page is open:
//!
//! * a place keeps its message, also when that is deleted by somebody else; only what was deleted through the page itself
//!   leaves, as it did with the original;
//! * new messages are appended; for what does not fit any more in front of them a placeholder stands in;
//! * when not even placeholders fit, the list starts afresh, shorter. Pages that also remember a smaller count go on by
//!   themselves; those that do not have been told, before the last row, to open the chat again;
//! * from then on a place may mean two messages, the row's or the list's. Such a deletion is refused.
//!
//! docs/adr/0007-what-a-polling-page-is-sent.md has the reasons and what was rejected.

use crate::limits::PAGE_ROWS_MAX;

/// A message by its number, or something that is none.
pub(super) type Slot = Option<u64>;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// Of which conversation.
    pub(super) conversation: u64,
    /// The list last sent.
    list: Vec<Slot>,
    /// The rows on the screen, once they differ from the list.
    rows: Option<Vec<Slot>>,
    /// The newest message that is in a row.
    newest: u64,
    /// How many messages at the end of the list are in no row yet.
    pending: usize,
    /// The page was told that it is full.
    told: bool,
    /// What it has asked to delete since the last list.
    asked: Vec<u64>,
}

/// A place that could mean two different messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous;

impl Page {
    /// A page that was just opened and has shown this list.
    pub(super) fn opened(conversation: u64, numbers: Vec<u64>) -> Page {
        Page {
            conversation,
            newest: numbers.last().copied().unwrap_or(0),
            list: numbers.into_iter().map(Some).collect(),
            rows: None,
            pending: 0,
            told: false,
            asked: Vec::new(),
        }
    }

    /// Places that are remembered.
    pub(super) fn places(&self) -> usize {
        self.list.len() + self.rows.as_ref().map_or(0, Vec::len)
    }

    /// The list to go on from. What was sent but is in no row yet leaves the end, so that it can be appended behind the
    /// count that the client remembers.
    pub(super) fn resume(&mut self) -> &[Slot] {
        let pending = std::mem::take(&mut self.pending);
        if pending > 0 {
            self.list.truncate(self.list.len() - pending);
            self.list.splice(..0, std::iter::repeat_n(None, pending));
        }
        &self.list
    }

    /// The newest message that is in a row; what is newer has to be appended.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Whether the page was told that it is full.
    pub(super) fn is_told(&self) -> bool {
        self.told
    }

    /// A message was appended.
    pub(super) fn append(&mut self, number: u64) {
        self.newest = number;
        self.push(Some(number));
    }

    /// The notice that the page is full was appended.
    pub(super) fn append_notice(&mut self) {
        self.told = true;
        self.push(None);
    }

    fn push(&mut self, slot: Slot) {
        self.list.push(slot);
        if let Some(rows) = self.rows.as_mut().filter(|rows| rows.len() < PAGE_ROWS_MAX) {
            rows.push(slot);
        }
    }

    /// The list starts afresh with these messages.
    pub(super) fn restart(&mut self, numbers: Vec<u64>) {
        self.pending = numbers.iter().filter(|&&number| number > self.newest).count();
        let old = std::mem::replace(&mut self.list, numbers.into_iter().map(Some).collect());
        self.rows.get_or_insert(old);
    }

    /// The page asks to delete these messages of its own.
    pub(super) fn ask_deletion(&mut self, numbers: &[u64]) {
        for number in numbers {
            if !self.asked.contains(number) {
                self.asked.push(*number);
            }
        }
    }

    /// What it has asked to delete since the last list.
    pub(super) fn asked(&self) -> &[u64] {
        &self.asked
    }

    /// Before the next list: of what the page has asked to delete, these messages are gone, and so are their places.
    pub(super) fn close_up(&mut self, gone: &[u64]) {
        let stays = |slot: &Slot| !slot.is_some_and(|number| gone.contains(&number));
        self.list.retain(stays);
        if let Some(rows) = &mut self.rows {
            rows.retain(stays);
        }
        self.asked.clear();
    }

    /// The messages at these places. Places without a message, such as those behind the end, are passed over, as the
    /// original did.
    ///
    /// # Errors
    /// One of them could mean two different messages: that of the list or that of the row; and after a deletion, before the
    /// next list, the places may have closed up on the screen or not.
    pub(super) fn at(&self, places: &[usize]) -> Result<Vec<u64>, Ambiguous> {
        let readings = [Some(&self.list), self.rows.as_ref()];
        let mut numbers = Vec::new();
        for &place in places {
            let mut meant = None;
            for slots in readings.into_iter().flatten() {
                let mut closed_up =
                    slots.iter().filter(|slot| !slot.is_some_and(|number| self.asked.contains(&number)));
                for slot in [slots.get(place), closed_up.nth(place)].into_iter().flatten() {
                    if *meant.get_or_insert(slot) != slot {
                        return Err(Ambiguous);
                    }
                }
            }
            numbers.extend(meant.copied().flatten());
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_until_the_page_itself_deletes() {
        let mut page = Page::opened(1, vec![4, 6, 7]);
        page.append(9);
        assert_eq!(page.at(&[0, 3, 4, usize::MAX]), Ok(vec![4, 9]));
        page.ask_deletion(&[6, 6]);
        assert_eq!(page.at(&[0]), Ok(vec![4]));
        assert_eq!(page.at(&[2]), Err(Ambiguous), "7, or 9 if the row of 6 is gone on the screen");
        assert_eq!(page.at(&[3]), Ok(vec![9]), "there can be no such place but in the list");
        page.close_up(&[6]);
        assert_eq!((page.at(&[1, 2, 3]), page.asked()), (Ok(vec![7, 9]), &[][..]));
    }

    #[test]
    fn after_a_fresh_start_only_places_that_can_mean_one_message_are_taken() {
        let mut page = Page::opened(1, (1..=5).collect());
        page.append_notice();
        page.restart(vec![4, 5, 6]);
        assert_eq!(page.at(&[0]), Err(Ambiguous), "row 1 or message 4");
        assert_eq!(page.at(&[3, 5]), Ok(vec![4]), "the list ends before, and the notice is no message");
        assert_eq!(page.resume(), [None, Some(4), Some(5)]);
        assert_eq!(page.newest(), 5);
        page.append(6);
        assert_eq!(page.at(&[6]), Ok(vec![6]), "only a row");
        assert_eq!(page.at(&[3]), Err(Ambiguous), "row 4 or message 6");
    }

    #[test]
    fn rows_are_remembered_up_to_a_bound() {
        let mut page = Page::opened(1, vec![1]);
        page.append_notice();
        page.restart(vec![1]);
        for number in 2..2 * PAGE_ROWS_MAX as u64 {
            page.append(number);
        }
        assert_eq!(page.rows.as_ref().map(Vec::len), Some(PAGE_ROWS_MAX));
    }
}
