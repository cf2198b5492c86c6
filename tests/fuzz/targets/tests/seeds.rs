//! Every target over all that fuzzing starts from, whole, cut and damaged: what libFuzzer would find in its first
//! second is found by `cargo test`.

use fuzz_targets::{TARGETS, Target, seeds};
use proptest::prelude::*;

/// Cuts and flips per seed, and bytes of a seed up to which each bit is flipped: long recordings would otherwise take
/// most of the time and show what short ones show.
const PLACES_MAX: usize = 64;
const SHORT_BYTES: usize = 96;

/// Runs `target`, and names the input when it fails.
fn check(target: &Target, what: &str, input: &[u8]) {
    if std::panic::catch_unwind(|| (target.run)(input)).is_err() {
        panic!("{}: {what} fails: {input:02x?}", target.name);
    }
}

/// Every offset of a short input, some of a long one.
fn places(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(len.div_ceil(PLACES_MAX).max(1))
}

fn seeds_of(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    let seeds = (target.seeds)();
    assert!(seeds.len() > 20, "{} seeds", seeds.len());
    for seed in seeds {
        check(target, "a seed", &seed);
        for at in places(seed.len()) {
            check(target, "a cut seed", &seed[..at]);
            let mut flipped = seed.clone();
            let bits = if seed.len() <= SHORT_BYTES { 0..8 } else { at % 8..at % 8 + 1 };
            for bit in bits {
                flipped[at] = seed[at] ^ 1 << bit;
                check(target, "a damaged seed", &flipped);
            }
        }
    }
    for (path, input) in seeds::regressions(name) {
        check(target, &path.display().to_string(), &input);
    }
}

#[test]
fn splitter() {
    seeds_of("splitter");
}

#[test]
fn json() {
    seeds_of("json");
}

#[test]
fn samira() {
    seeds_of("samira");
}

#[test]
fn json2() {
    seeds_of("json2");
}

#[test]
fn samira2() {
    seeds_of("samira2");
}

#[test]
fn replication() {
    seeds_of("replication");
}

#[test]
fn sniffer() {
    seeds_of("sniffer");
}

#[test]
fn session() {
    seeds_of("session");
}

proptest! {
    #[test]
    fn noise(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        for target in TARGETS {
            check(target, "noise", &input);
        }
    }

    /// Noise made of what JSON is made of gets further than noise of bytes.
    #[test]
    fn noise_that_looks_like_json(input in "[\u{0}-\u{7f}é🔥]?[{}\\[\\]\":,\\\\u0-9eE.+a-fIN tnrul-]{0,60}") {
        for target in TARGETS {
            check(target, "noise", input.as_bytes());
        }
    }
}
