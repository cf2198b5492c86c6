//! What fuzzing starts from: the goldens of every message, and the recordings of original clients. Read from the
//! repository each time, so that a new message is a new seed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wire::codec::Codec;

/// Bytes of one codec.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Single messages.
    pub frames: Vec<Vec<u8>>,
    /// All that was sent on one connection in one direction.
    pub streams: Vec<Vec<u8>>,
}

/// One line of a recording.
#[derive(Debug, Deserialize)]
struct Record {
    dir: String,
    hex: String,
    conn: String,
}

/// The root of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).expect("this crate lies three folders deep")
}

/// Inputs that once failed a target.
///
/// # Panics
/// When a file cannot be read.
#[must_use]
pub fn regressions(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = root().join("tests/fuzz/regressions").join(target);
    files(&folder, "").into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// The bytes of all goldens of one format: `json`, `samira1` or `postcard`.
///
/// # Panics
/// When there are none, or one is no hexdump.
#[must_use]
pub fn goldens(format: &str) -> Vec<Vec<u8>> {
    let found = files(&root().join("snapshots/wire"), &format!("__{format}.snap"));
    assert!(!found.is_empty(), "no goldens in {format}");
    found.iter().map(|path| hexdump(&String::from_utf8_lossy(&read(path)))).collect()
}

/// What clients sent and were sent, in recordings and goldens.
///
/// # Panics
/// When a file is missing or damaged.
#[must_use]
pub fn client_bytes(codec: Codec) -> Recorded {
    let (recording, golden) = match codec {
        Codec::Json => ("json-", "json"),
        Codec::Samira1 => ("samira-", "samira1"),
        Codec::Json2 => return of_goldens("json2"),
        Codec::Samira2 => return of_goldens("samira2"),
    };
    let mut recorded = Recorded { frames: goldens(golden), streams: Vec::new() };
    let transcripts = files(&root().join("wire/tests/transcripts"), ".jsonl");
    for path in transcripts.iter().filter(|path| name(path).starts_with(recording)) {
        let mut streams = BTreeMap::<(String, String), Vec<u8>>::new();
        for line in String::from_utf8_lossy(&read(path)).lines() {
            let record: Record = serde_json::from_str(line).expect("a recorded line");
            let bytes = hex(&record.hex);
            streams.entry((record.conn, record.dir)).or_default().extend_from_slice(&bytes);
            recorded.frames.push(bytes);
        }
        recorded.streams.extend(streams.into_values());
    }
    for frames in [&mut recorded.frames, &mut recorded.streams] {
        frames.sort();
        frames.dedup();
    }
    assert!(!recorded.streams.is_empty(), "no recordings of {codec:?}");
    recorded
}

/// The goldens of our own dialect, each alone and all behind each other: there are no recordings but them.
fn of_goldens(format: &str) -> Recorded {
    let frames = goldens(format);
    Recorded { streams: frames.chunks(8).map(<[Vec<u8>]>::concat).collect(), frames }
}

/// Files of a folder whose names end so, sorted; none when there is no folder.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.retain(|path| name(path).ends_with(ending) && path.is_file());
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The bytes of a golden: behind its header, each line has an offset, two spaces, and up to 16 pairs of digits.
fn hexdump(golden: &str) -> Vec<u8> {
    let body = golden.rsplit_once("---\n").map_or(golden, |(_, body)| body);
    let mut bytes = Vec::new();
    for line in body.lines() {
        let (offset, rest) = line.split_once("  ").expect("an offset and bytes");
        assert_eq!(usize::from_str_radix(offset, 16), Ok(bytes.len()), "a gap before {line}");
        let digits = rest.split("  ").next().unwrap_or_default();
        digits.split(' ').filter(|pair| !pair.is_empty()).for_each(|pair| bytes.extend(hex(pair)));
    }
    bytes
}

fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goldens_are_read_as_they_were_written() {
        let golden = "---\nsource: x\n---\n000000  01 ff        key\n000002  2d 2d  text \"--\"\n000004  00\n";
        assert_eq!(hexdump(golden), [1, 0xff, 0x2d, 0x2d, 0]);
    }
}
