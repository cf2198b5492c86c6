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
    /// Enough that the median is steady: some seconds for everything.
    pub const FULL: Self = Self { samples: 101, sample: Duration::from_millis(1) };

    /// Nanoseconds that `work` takes: the median over the samples of their mean.
    fn time<R>(self, mut work: impl FnMut() -> R) -> f64 {
        let mut lap = |times: u32| {
            let began = now();
            for _ in 0..times {
                black_box(work());
            }
            began.elapsed()
        };
        let mut times = 1;
        while lap(times) < self.sample && times < 1 << 24 {
            times *= 2;
        }
        let mut samples: Vec<f64> =
            (0..self.samples).map(|_| lap(times).as_secs_f64() * 1e9 / f64::from(times)).collect();
        samples.sort_by(f64::total_cmp);
        round(samples[samples.len() / 2], 1)
    }
}

/// One codec on one message: encodes `$value` with `$encode`, and decodes `$bytes` with `$decode`.
macro_rules! row {
    ($rows:ident, $effort:ident, $message:expr, $codec:expr, $value:expr, $type:ty, $encode:expr, $bytes:ident => $decode:expr) => {{
        let value = $value;
        let encode: fn(&$type, &mut Vec<u8>) = $encode;
        let mut buffer = Vec::new();
        encode(value, &mut buffer);
        let mut bytes = buffer.clone();
        {
            let $bytes = &mut bytes[..];
            let read: $type = $decode;
            assert!(read == *value, "{} reads another {}", $codec, $message);
        }
        assert!(bytes == buffer, "no text of these has to be unescaped in place");
        let encode_ns = $effort.time(|| {
            buffer.clear();
            encode(black_box(value), &mut buffer);
            buffer.len()
        });
        let decode_ns = $effort.time(|| {
            let $bytes = black_box(&mut bytes[..]);
            let read: $type = $decode;
            black_box(&read);
        });
        $rows.push(Row { message: $message, codec: $codec, bytes: buffer.len(), encode_ns, decode_ns });
    }};
}

/// Every codec on one message.
macro_rules! rows {
    ($rows:ident, $effort:ident, $message:expr, $owned:expr, $kind:ident) => {{
        let owned = $owned;
        let (sparse, full) = (&sparse::$kind::of(&owned), &full::$kind::of(&owned));
        macro_rules! ours {
            ($codec:expr, $name:expr, $value:expr, $type:ty) => {
                row!(
                    $rows,
                    $effort,
                    $message,
                    $name,
                    $value,
                    $type,
                    |value, out| $codec.encode_to_vec(value, out).expect("it has a form"),
                    bytes => $codec.decode(bytes).expect("we wrote it")
                )
            };
        }
        ours!(Codec::Samira2, "samira2", sparse, sparse::$kind<'_>);
        ours!(Codec::Samira1, "samira1", full, full::$kind<'_>);
        ours!(Codec::Json2, "json2", sparse, sparse::$kind<'_>);
        row!(
            $rows,
            $effort,
            $message,
            "serde_json",
            sparse,
            sparse::$kind<'_>,
            |value, out| serde_json::to_writer(out, value).expect("it has a form"),
            bytes => serde_json::from_slice(bytes).expect("it wrote it")
        );
        row!(
            $rows,
            $effort,
            $message,
            "prost",
            &owned,
            proto::$kind,
            |value, out| value.encode(out).expect("a vector grows"),
            bytes => proto::$kind::decode(&*bytes).expect("it wrote it")
        );
        row!(
            $rows,
            $effort,
            $message,
            "rmp",
            sparse,
            sparse::$kind<'_>,
            |value, out| rmp_serde::encode::write_named(out, value).expect("it has a form"),
            bytes => rmp_serde::from_slice(bytes).expect("it wrote it")
        );
        row!(
            $rows,
            $effort,
            $message,
            "postcard",
            full,
            full::$kind<'_>,
            |value, out| {
                // Its fastest way: into a slice that is known to be large enough.
                out.resize(16 << 10, 0);
                let len = postcard::to_slice(value, out).expect("there is room").len();
                out.truncate(len);
            },
            bytes => postcard::from_bytes(bytes).expect("it wrote it")
        );
    }};
}

/// Measures every codec on every message.
#[must_use]
pub fn run(effort: Effort) -> Vec<Row> {
    let mut rows = Vec::new();
    rows!(rows, effort, "small_messages_response", messages::small(), Messages);
    rows!(rows, effort, MEDIUM, messages::medium(), Messages);
    rows!(rows, effort, "large_messages_response", messages::large(), Messages);
    rows!(rows, effort, "chats_response", messages::chats(), Chats);
    rows!(rows, effort, "users_response", messages::users(), Users);
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
