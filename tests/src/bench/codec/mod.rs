//! Sizes of the original's benchmark messages, and the time to write and read them, in our codecs and in others'.
//!
//! The rules are those of the original's study: what is decoded equals what was encoded, absent defaults may be left out,
//! timestamps stay text. Encoding goes into a buffer that is used again and again. Decoding makes a struct whose texts borrow
//! from the bytes, except with prost, which knows only owned ones; lists are vectors everywhere.

mod messages;
mod plot;

use std::hint::black_box;
use std::time::Duration;

use prost::Message as _;
use serde::Serialize;
use wire::codec::Codec;

use self::messages::{full, proto, sparse};
use super::usage::round;
use crate::now;

pub use plot::svg;

/// One message in one codec.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Row {
    /// The message, as the study calls it.
    pub message: &'static str,
    /// The codec.
    pub codec: &'static str,
    /// Size of the message, without a frame around it.
    pub bytes: usize,
    /// Median time to write it, nanoseconds.
    pub encode_ns: f64,
    /// Median time to read it, nanoseconds.
    pub decode_ns: f64,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Measurements of which the median is taken.
    pub samples: usize,
    /// How long each takes, about.
    pub sample: Duration,
}

impl Effort {
    /// Enough that the medians are steady: ten seconds for everything. Samples are short, so that the system seldom runs
    /// something else in one.
    pub const FULL: Self = Self { samples: 1001, sample: Duration::from_micros(100) };
}

/// Some work that is measured, so many times at once, and what it took each time.
struct Lap<'a> {
    work: Box<dyn FnMut(u32) -> Duration + 'a>,
    times: u32,
    samples_ns: Vec<f64>,
}

impl<'a> Lap<'a> {
    fn new<R>(mut work: impl FnMut() -> R + 'a) -> Self {
        let work = move |times| {
            let began = now();
            for _ in 0..times {
                black_box(work());
            }
            began.elapsed()
        };
        Self { work: Box::new(work), times: 1, samples_ns: Vec::new() }
    }

    /// Finds out how often the work fits into one sample, which also warms it up.
    fn prepare(&mut self, sample: Duration) {
        while (self.work)(self.times) < sample && self.times < 1 << 24 {
            self.times *= 2;
        }
    }

    fn run(&mut self) {
        let elapsed = (self.work)(self.times);
        self.samples_ns.push(elapsed.as_secs_f64() * 1e9 / f64::from(self.times));
    }

    fn median_ns(&mut self) -> f64 {
        self.samples_ns.sort_by(f64::total_cmp);
        round(self.samples_ns[self.samples_ns.len() / 2], 1)
    }
}

/// One codec on one message.
struct Contestant<'a> {
    codec: &'static str,
    bytes: usize,
    encode: Lap<'a>,
    decode: Lap<'a>,
}

/// Measures all codecs on one message in turn, again and again: what else the machine does meanwhile hits all of them alike.
fn race(rows: &mut Vec<Row>, effort: Effort, message: &'static str, mut contestants: Vec<Contestant<'_>>) {
    for Contestant { encode, decode, .. } in &mut contestants {
        encode.prepare(effort.sample);
        decode.prepare(effort.sample);
    }
    for _ in 0..effort.samples {
        for Contestant { encode, decode, .. } in &mut contestants {
            encode.run();
            decode.run();
        }
    }
    rows.extend(contestants.into_iter().map(|Contestant { codec, bytes, mut encode, mut decode }| Row {
        message,
        codec,
        bytes,
        encode_ns: encode.median_ns(),
        decode_ns: decode.median_ns(),
    }));
}

/// What postcard lacks: a vector that is used again.
struct Append<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Append<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// One codec on one message: encodes `$value` with `$encode`, and decodes `$bytes` with `$decode`.
macro_rules! contestant {
    ($codec:expr, $value:expr, $type:ty, $encode:expr, $bytes:ident => $decode:expr) => {{
        let value = $value;
        let encode: fn(&$type, &mut Vec<u8>) = $encode;
        let mut buffer = Vec::new();
        encode(value, &mut buffer);
        let mut bytes = buffer.clone();
        {
            let $bytes = &mut bytes[..];
            let read: $type = $decode;
            assert!(read == *value, "{} reads another message", $codec);
        }
        assert!(bytes == buffer, "no text of these has to be unescaped in place");
        Contestant {
            codec: $codec,
            bytes: bytes.len(),
            encode: Lap::new(move || {
                buffer.clear();
                encode(black_box(value), &mut buffer);
                buffer.len()
            }),
            decode: Lap::new(move || {
                let $bytes = black_box(&mut bytes[..]);
                let read: $type = $decode;
                black_box(&read);
            }),
        }
    }};
}

/// Every codec on one message.
macro_rules! contest {
    ($rows:ident, $effort:ident, $message:expr, $owned:expr, $kind:ident) => {{
        let owned = &$owned;
        let (sparse, full) = (&sparse::$kind::of(owned), &full::$kind::of(owned));
        macro_rules! ours {
            ($codec:expr, $name:expr, $value:expr, $type:ty) => {
                contestant!(
                    $name,
                    $value,
                    $type,
                    |value, out| $codec.encode_to_vec(value, out).expect("it has a form"),
                    bytes => $codec.decode(bytes).expect("we wrote it")
                )
            };
        }
        let contestants = vec![
            ours!(Codec::Samira2, "samira2", sparse, sparse::$kind<'_>),
            ours!(Codec::Samira1, "samira1", full, full::$kind<'_>),
            ours!(Codec::Json2, "json2", sparse, sparse::$kind<'_>),
            contestant!(
                "serde_json",
                sparse,
                sparse::$kind<'_>,
                |value, out| serde_json::to_writer(out, value).expect("it has a form"),
                bytes => serde_json::from_slice(bytes).expect("it wrote it")
            ),
            contestant!(
                "prost",
                owned,
                proto::$kind,
                |value, out| value.encode(out).expect("a vector grows"),
                bytes => proto::$kind::decode(&*bytes).expect("it wrote it")
            ),
            contestant!(
                "rmp",
                sparse,
                sparse::$kind<'_>,
                |value, out| rmp_serde::encode::write_named(out, value).expect("it has a form"),
                bytes => rmp_serde::from_slice(bytes).expect("it wrote it")
            ),
            contestant!(
                "postcard",
                full,
                full::$kind<'_>,
                |value, out| postcard::serialize_with_flavor(value, Append(out)).expect("it has a form"),
                bytes => postcard::from_bytes(bytes).expect("it wrote it")
            ),
        ];
        race(&mut $rows, $effort, $message, contestants);
    }};
}

/// Measures every codec on every message.
#[must_use]
pub fn run(effort: Effort) -> Vec<Row> {
    let mut rows = Vec::new();
    contest!(rows, effort, "small_messages_response", messages::small(), Messages);
    contest!(rows, effort, MEDIUM, messages::medium(), Messages);
    contest!(rows, effort, "large_messages_response", messages::large(), Messages);
    contest!(rows, effort, "chats_response", messages::chats(), Chats);
    contest!(rows, effort, "users_response", messages::users(), Users);
    rows
}

/// The message that people look at first.
const MEDIUM: &str = "medium_messages_response";

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages are the study's: two of the codecs have the sizes that it found. Ours is no larger than the best of them.
    #[test]
    fn sizes_are_those_of_the_study() {
        let rows = run(Effort { samples: 1, sample: Duration::ZERO });
        let bytes = |message: &str, codec: &str| {
            let row = rows.iter().find(|row| row.message == message && row.codec == codec);
            row.expect("every codec on every message").bytes
        };
        for (message, samira1, protobuf) in [
            ("small_messages_response", 221, 67),
            ("medium_messages_response", 1231, 621),
            ("large_messages_response", 8981, 6121),
            ("chats_response", 2089, 630),
            ("users_response", 1251, 894),
        ] {
            assert_eq!(bytes(message, "samira1"), samira1, "{message}");
            assert_eq!(bytes(message, "prost"), protobuf, "{message}");
            assert!(bytes(message, "samira2") <= protobuf, "{message}: {} bytes", bytes(message, "samira2"));
            assert!(bytes(message, "json2") <= bytes(message, "serde_json"), "{message}");
        }
    }
}
