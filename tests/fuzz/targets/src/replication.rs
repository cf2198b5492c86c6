//! What nodes say to each other and store, as every type that is decoded from foreign bytes.
//!
//! The first byte of the input chooses the type.

use wire::replication::command::{Batch, Command, Outcome};
use wire::replication::entry::{Entry, LogId, Membership};
use wire::replication::join::{JoinReply, JoinRequest};
use wire::replication::rpc::{Hello, PeerReply, PeerRequest, SnapshotHeader, Vote};
use wire::replication::{VERSION, decode, decode_prefix, encode};

use crate::{request, seeds};

/// What decodes has one canonical form, no longer than what it was decoded from, which decodes to the same. Two types,
/// because what is read again borrows from other bytes.
macro_rules! check {
    ($kind:ty) => {
        |bytes: &[u8]| {
            if let Err(error) = decode::<$kind>(bytes) {
                request::placed(error, bytes);
            }
            if let Ok((value, rest)) = decode_prefix::<$kind>(bytes) {
                let canonical = encode(&value);
                assert!(canonical.len() <= bytes.len() - rest.len(), "longer than what it was read from");
                assert_eq!(decode::<$kind>(&canonical).as_ref(), Ok(&value));
                assert_eq!(decode::<$kind>(bytes).is_ok(), rest.is_empty());
            }
        }
    };
}

/// Checks for each type, in the order in which the first byte counts them; new ones are appended.
const CHECKS: &[fn(&[u8])] = &[
    check!(PeerRequest<'_>),
    check!(PeerReply),
    check!(Hello),
    check!(Entry<'_>),
    check!(JoinRequest),
    check!(JoinReply),
    batch,
    check!(Command<'_>),
    check!(Outcome),
    check!(Membership),
    check!(SnapshotHeader),
    check!(Option<LogId>),
    check!(Vote),
];

/// Decodes the input as one of the types.
pub fn run(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    CHECKS[usize::from(kind) % CHECKS.len()](bytes);
}

/// Every golden, as each of the types.
pub fn seeds() -> Vec<Vec<u8>> {
    let goldens = seeds::goldens("postcard");
    let kinds = 0..u8::try_from(CHECKS.len()).expect("a handful of types");
    kinds.flat_map(|kind| goldens.iter().map(move |golden| [&[kind], &golden[..]].concat())).collect()
}

/// A batch, and the commands inside, which stay encoded until they are applied.
fn batch(bytes: &[u8]) {
    check!(Batch<'_>)(bytes);
    let Ok(batch) = decode::<Batch<'_>>(bytes) else { return };
    for run in batch.runs {
        // They stand one behind the other, without a version of their own.
        let mut rest = run.commands.to_vec();
        while !rest.is_empty() {
            rest.insert(0, VERSION);
            check!(Command<'_>)(&rest);
            match decode_prefix::<Command<'_>>(&rest) {
                Ok((_, behind)) => rest = behind.to_vec(),
                Err(_) => break,
            }
        }
    }
}
