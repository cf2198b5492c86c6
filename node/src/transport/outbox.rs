//! The bounded send queue of one connection. Pure: it never sees a socket, the writer is handed in.
//!
//! Invariants: `bytes` is the sum of what is queued minus `head`; `head` is smaller than the first piece; an empty
//! outbox holds no heap memory.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

use crate::limits::{OUTBOX_BYTES_MAX, WRITE_PIECES_MAX};

/// Encoded replies on their way to one client, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that are already out.
    head: usize,
    bytes: usize,
}

/// The client lets more pile up than [`OUTBOX_BYTES_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// How far a flush came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flushed {
    /// Bytes the writer took.
    pub(super) written: usize,
    /// The writer takes no more for now.
    pub(super) blocked: bool,
}

impl Outbox {
    /// Bytes not yet written.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything is out.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Queues one reply; an empty one is nothing.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit; the queue is then as before.
    pub(super) fn push(&mut self, reply: Vec<u8>) -> Result<(), Overflow> {
        if reply.len() > OUTBOX_BYTES_MAX - self.bytes {
            return Err(Overflow);
        }
        if !reply.is_empty() {
            self.bytes += reply.len();
            self.pieces.push_back(reply);
        }
        Ok(())
    }

    /// Writes until everything is out or the writer would block. A single reply goes out in one `write`, several are
    /// joined by `writev`.
    ///
    /// # Errors
    /// Those of the writer, except `WouldBlock` and `Interrupted`; a writer that takes nothing is `WriteZero`.
    pub(super) fn flush(&mut self, to: &mut impl Write) -> io::Result<Flushed> {
        let mut written = 0;
        while let Some(first) = self.pieces.front() {
            let result = if self.pieces.len() == 1 {
                to.write(&first[self.head..])
            } else {
                let mut slices = [IoSlice::new(&[]); WRITE_PIECES_MAX];
                slices[0] = IoSlice::new(&first[self.head..]);
                let mut count = 1;
                for (slice, piece) in slices[1..].iter_mut().zip(self.pieces.iter().skip(1)) {
                    *slice = IoSlice::new(piece);
                    count += 1;
                }
                to.write_vectored(&slices[..count])
            };
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    written += taken;
                    self.advance(taken);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed { written, blocked: true });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed { written, blocked: false })
    }

    fn advance(&mut self, taken: usize) {
        self.bytes -= taken;
        self.head += taken;
        while let Some(first) = self.pieces.front()
            && self.head >= first.len()
        {
            self.head -= first.len();
            self.pieces.pop_front();
        }
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
    }

    #[cfg(test)]
    pub(super) fn holds_heap(&self) -> bool {
        self.pieces.capacity() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most `room` bytes in total and `gulp` in one call.
    struct Slow {
        room: usize,
        gulp: usize,
        calls: usize,
        got: Vec<u8>,
    }

    impl Slow {
        fn new(room: usize, gulp: usize) -> Self {
            Self { room, gulp, calls: 0, got: Vec::new() }
        }
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            let taken = bytes.len().min(self.gulp).min(self.room);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= taken;
            self.got.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let joined: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            self.write(&joined)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn filled(replies: &[&[u8]]) -> Outbox {
        let mut outbox = Outbox::default();
        for reply in replies {
            outbox.push(reply.to_vec()).expect("fits");
        }
        outbox
    }

    #[test]
    fn several_replies_leave_in_one_call_and_free_the_queue() {
        let mut outbox = filled(&[b"one", b"", b"two", b"three"]);
        let mut to = Slow::new(100, 100);
        assert_eq!(outbox.flush(&mut to).unwrap(), Flushed { written: 11, blocked: false });
        assert_eq!((to.got.as_slice(), to.calls), (b"onetwothree".as_slice(), 1));
        assert!(outbox.is_empty() && !outbox.holds_heap());
    }

    #[test]
    fn every_split_of_the_output_keeps_the_bytes_in_order() {
        for gulp in 1..=11 {
            for room in 0..=11 {
                let mut outbox = filled(&[b"one", b"two", b"three"]);
                let mut to = Slow::new(room, gulp);
                assert_eq!(outbox.flush(&mut to).unwrap(), Flushed { written: room, blocked: room < 11 });
                assert_eq!(outbox.bytes(), 11 - room);
                to.room = 11;
                outbox.flush(&mut to).unwrap();
                assert_eq!(to.got, b"onetwothree", "gulp {gulp} room {room}");
            }
        }
    }

    #[test]
    fn more_replies_than_one_call_takes_all_leave() {
        let mut outbox = Outbox::default();
        for _ in 0..3 * WRITE_PIECES_MAX {
            outbox.push(b"ab".to_vec()).unwrap();
        }
        let mut to = Slow::new(usize::MAX, usize::MAX);
        outbox.flush(&mut to).unwrap();
        assert_eq!(to.got, b"ab".repeat(3 * WRITE_PIECES_MAX));
        assert_eq!(to.calls, 3);
    }

    #[test]
    fn the_bound_holds_at_n_and_fails_at_n_plus_one() {
        let mut outbox = filled(&[b"x"]);
        assert_eq!(outbox.push(vec![0; OUTBOX_BYTES_MAX]), Err(Overflow));
        assert_eq!(outbox.push(vec![0; OUTBOX_BYTES_MAX - 1]), Ok(()));
        assert_eq!(outbox.push(vec![0]), Err(Overflow));
        assert_eq!(outbox.bytes(), OUTBOX_BYTES_MAX);
    }

    #[test]
    fn a_writer_that_takes_nothing_is_an_error() {
        struct Zero;
        impl Write for Zero {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Ok(0)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(filled(&[b"x"]).flush(&mut Zero).unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
