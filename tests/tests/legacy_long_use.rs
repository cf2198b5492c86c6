//! The original's client in long use: conversations that have outgrown its 2048 bytes long ago. What holds and what
//! cannot is told in docs/adr/0007-what-a-polling-page-is-sent.md.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use tests::cluster::{Cluster, Node};
use tests::legacy_client::Client;
use tests::legacy_page::{AfterDeletion, Counting, Original, Page};
use tests::oracle::stored_texts;
use wire::codec::Codec;
use wire::limits::LEGACY_REPLY_BYTES_MAX;

/// Two people with accounts and a history that no reply can hold.
struct Pair {
    /// The one whose page is looked at.
    me: Original,
    peer: Original,
    chat: String,
    sent: usize,
}

impl Pair {
    fn new(address: SocketAddr, codec: Codec, tag: &str, history: usize) -> Self {
        let (me, peer) = (format!("me-{tag}"), format!("peer-{tag}"));
        for name in [&me, &peer] {
            Client::connect(address, codec).unwrap().signup(name).unwrap();
        }
        let mut me = Original::login(address, codec, &me).unwrap();
        let peer = Original::login(address, codec, &peer).unwrap();
        let chat = me.start_chat(&peer.name).unwrap();
        let mut pair = Self { me, peer, chat, sent: 0 };
        for place in 0..history {
            pair.say(place % 2 == 0, 10);
        }
        pair
    }

    /// Sends the next message: its number, and text of that length behind it.
    fn say(&mut self, mine: bool, length: usize) -> String {
        let text = format!("{}:{}", self.sent, "x".repeat(length));
        self.sent += 1;
        let sender = if mine { &mut self.me } else { &mut self.peer };
        assert!(sender.send(&self.chat, &text).unwrap());
        text
    }

    fn open(&mut self, counting: Counting) -> Page {
        Page::open(&mut self.me, &self.peer.name, counting).unwrap()
    }

    /// The numbers of the messages that exist, in the database itself.
    fn exist(&self, node: &Node) -> BTreeSet<usize> {
        stored_texts(node, &self.chat).iter().map(|text| number(text).unwrap()).collect()
    }
}

/// The number of the message in a row; `None` for a line from the server itself.
fn number(content: &str) -> Option<usize> {
    content.split_once(':')?.0.parse().ok()
}

fn numbers(page: &Page) -> Vec<usize> {
    page.rows.iter().filter_map(|row| number(&row.content)).collect()
}

/// How often the page was told that it is full.
fn notices(page: &Page) -> usize {
    page.rows.iter().filter(|row| row.sender.is_empty() && row.content.contains("open it again")).count()
}

/// Asks until nothing new comes any more. A list that starts afresh shows nothing once.
fn read_on(pair: &mut Pair, page: &mut Page) {
    let mut silent = 0;
    while silent < 2 {
        silent = if page.poll(&mut pair.me).unwrap() == 0 { silent + 1 } else { 0 };
    }
}

/// Each codec and each reading once; they do not depend on each other.
fn combinations() -> [(&'static str, Codec, Counting); 2] {
    [("json", Codec::Json, Counting::Always), ("samira", Codec::Samira1, Counting::OnGrowth)]
}

#[test]
fn new_messages_keep_appearing_in_a_conversation_that_outgrew_a_reply() {
    let mut cluster = Cluster::empty();
    let address = cluster.add_node().address();
    for (tag, codec, counting) in combinations() {
        let mut pair = Pair::new(address, codec, tag, 30);
        let mut page = pair.open(counting);
        read_on(&mut pair, &mut page);
        let first = page.rows.len();
        for new in 0..15 {
            let text = pair.say(new % 3 == 0, 10 + new);
            assert_eq!(page.poll(&mut pair.me).unwrap(), 1, "{tag}: {text}");
            assert_eq!(page.rows.last().unwrap().content, text);
        }
        assert_eq!(numbers(&page), (30 - first..45).collect::<Vec<_>>(), "{tag}");
        assert_eq!((notices(&page), page.poll(&mut pair.me).unwrap()), (0, 0));
        let mut page = pair.open(counting);
        // Texts that are too long are cut, and what follows them is shown as well.
        for length in [150, 3000, 60_000, 10] {
            let text = pair.say(false, length);
            read_on(&mut pair, &mut page);
            let shown = &page.rows.last().unwrap().content;
            assert!(*shown == text || text.starts_with(shown.strip_suffix('…').unwrap()), "{tag}: {length}");
        }
        assert!(pair.me.longest_reply <= LEGACY_REPLY_BYTES_MAX);
    }
    cluster.stop();
}

#[test]
fn a_page_that_stays_open_for_hundreds_of_messages_goes_on_or_says_what_to_do() {
    let mut cluster = Cluster::empty();
    let address = cluster.add_node().address();
    for (tag, codec, counting) in combinations() {
        let mut pair = Pair::new(address, codec, tag, 16);
        let mut page = pair.open(counting);
        let first = numbers(&page)[0];
        for new in 0..120 {
            pair.say(new % 2 == 0, 15);
            page.poll(&mut pair.me).unwrap();
        }
        read_on(&mut pair, &mut page);
        let shown = numbers(&page);
        assert_eq!(notices(&page), 1, "{tag}");
        let last = *shown.last().unwrap();
        assert_eq!(shown, (first..=last).collect::<Vec<_>>(), "{tag}: in order, each once");
        match counting {
            Counting::Always => assert_eq!(last, 135, "{tag}"),
            // It cannot be told anything more, but was told so.
            Counting::OnGrowth => assert!(shown.len() >= 40, "{tag}: {}", shown.len()),
        }
        // Rows and list are at odds now: what could hit another message is refused.
        let before = pair.exist(&cluster.nodes[0]);
        let mine = page.rows.iter().position(|row| row.sender == pair.me.name).unwrap();
        assert!(!page.delete(&mut pair.me, mine, AfterDeletion::Reload).unwrap(), "{tag}");
        assert_eq!(pair.exist(&cluster.nodes[0]), before, "{tag}");
        // Opened again, it shows the newest and goes on.
        let mut page = pair.open(counting);
        assert_eq!(numbers(&page).last(), Some(&135), "{tag}");
        let text = pair.say(false, 15);
        page.poll(&mut pair.me).unwrap();
        assert_eq!(page.rows.last().unwrap().content, text);
        assert!(page.delete(&mut pair.me, page.rows.len() - 2, AfterDeletion::Reload).is_ok());
    }
    cluster.stop();
}

#[derive(Debug, Clone)]
enum Step {
    /// The peer, or the one with the page, sends something of this length.
    Say {
        mine: bool,
        length: usize,
    },
    Poll,
    /// The user deletes what stands in a row, counted from the end.
    Delete {
        row: prop::sample::Index,
    },
    /// The peer deletes one of their own newest messages.
    PeerDeletes {
        which: prop::sample::Index,
    },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![8 => 0..60_usize, 1 => 60..700_usize, 1 => 1500..5000_usize];
    let step = prop_oneof![
        6 => (any::<bool>(), length).prop_map(|(mine, length)| Step::Say { mine, length }),
        6 => Just(Step::Poll),
        2 => any::<prop::sample::Index>().prop_map(|row| Step::Delete { row }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::PeerDeletes { which }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// Whatever happens: rows appear in order and once each, and a deletion removes the message of its row, or nothing.
fn page_is_right(
    pair: &mut Pair,
    node: &Node,
    counting: Counting,
    after: AfterDeletion,
    steps: &[Step],
) -> TestCaseResult {
    let mut page = pair.open(counting);
    for step in steps {
        match step {
            Step::Say { mine, length } => drop(pair.say(*mine, *length)),
            Step::Poll => drop(page.poll(&mut pair.me).unwrap()),
            Step::Reopen => page = pair.open(counting),
            Step::Delete { row } => {
                if page.rows.is_empty() {
                    continue;
                }
                let row = row.index(page.rows.len());
                let meant = number(&page.rows[row].content);
                let mine = page.rows[row].sender == pair.me.name;
                let exist_before = pair.exist(node);
                let mut expected = exist_before.clone();
                if page.delete(&mut pair.me, row, after).unwrap()
                    && let Some(meant) = meant
                {
                    // What its sender has deleted meanwhile is as good as deleted.
                    expected.remove(&meant);
                    prop_assert!(mine || !exist_before.contains(&meant), "{meant}");
                } else if after == AfterDeletion::RemoveRow && meant.is_none() {
                    // The page took away a line that the server keeps; nobody knows what is where now.
                    page = pair.open(counting);
                }
                // A reloaded page may have placeholders for rows; then what they stand for is meant.
                let exist = pair.exist(node);
                if meant.is_some() {
                    prop_assert!(exist == expected || !mine && exist.is_subset(&expected), "{row} {meant:?}");
                }
            }
            Step::PeerDeletes { which } => {
                let (peer, me) = (pair.peer.name.clone(), pair.me.name.clone());
                let mut theirs = Page::open(&mut pair.peer, &me, counting).unwrap();
                let rows: Vec<usize> = (0..theirs.rows.len()).filter(|&row| theirs.rows[row].sender == peer).collect();
                if !rows.is_empty() {
                    theirs.delete(&mut pair.peer, rows[which.index(rows.len())], AfterDeletion::Reload).unwrap();
                }
            }
        }
        let shown = numbers(&page);
        prop_assert!(shown.is_sorted_by(|one, other| one < other), "{shown:?}");
    }
    read_on(pair, &mut page);
    let (shown, exist) = (numbers(&page), pair.exist(node));
    prop_assert!(shown.is_sorted_by(|one, other| one < other), "{shown:?}");
    if let (Some(&newest), Some(&first)) = (exist.last(), shown.first())
        && (counting == Counting::Always || notices(&page) == 0)
        && after == AfterDeletion::RemoveRow
    {
        let missing: Vec<_> =
            exist.iter().filter(|&number| (first..=newest).contains(number) && !shown.contains(number)).collect();
        prop_assert!(missing.is_empty(), "{missing:?} are not shown");
    }
    Ok(())
}

#[test]
fn whatever_happens_rows_are_in_order_and_deletions_hit_what_they_mean() {
    let mut cluster = Cluster::empty();
    let address = cluster.add_node().address();
    let run = Cell::new(0);
    for (tag, codec, counting) in combinations() {
        for after in [AfterDeletion::Reload, AfterDeletion::RemoveRow] {
            let config = Config { cases: 4, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
            // The same every time: what fails here has to fail again.
            TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
                .run(&steps(), |steps| {
                    run.set(run.get() + 1);
                    let mut pair = Pair::new(address, codec, &format!("{tag}-{}", run.get()), 24);
                    page_is_right(&mut pair, &cluster.nodes[0], counting, after, &steps)
                })
                .unwrap();
        }
    }
    cluster.stop();
}
