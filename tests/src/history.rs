//! A past that is longer than the log: whoever lacks it needs a copy of the state.

use wire::legacy::Request;
use wire::legacy::reply::Outcome;

use crate::cluster::Cluster;
use crate::legacy_client::Client;

/// Log entries after which the first ones are purged for sure: a snapshot is due, and what is kept behind it.
pub const ENTRIES_PURGED: u64 = 4096 + 8192 + 1024;

/// Sent without waiting for an answer.
const WINDOW: usize = 512;

/// Fills the conversation of `scribe` and `reader` as fast as one connection can.
///
/// # Panics
/// When a message is not stored.
pub fn fill(client: &mut Client, messages: usize) {
    let chat = client.start_chat("scribe", "reader").expect("both have accounts");
    let text = "x".repeat(100);
    let request = client.encode(&Request::SendChatMessage {
        chat_id: chat.as_str().into(),
        sender: "scribe".into(),
        content: text.as_str().into(),
    });
    let mut left = messages;
    while left > 0 {
        let window = left.min(WINDOW);
        client.send_bytes(&request.repeat(window)).expect("the node serves");
        for _ in 0..window {
            let outcome: Outcome<String> = client.receive().expect("the node answers");
            assert!(outcome.success, "{}", outcome.error_message);
        }
        left -= window;
    }
}

/// Writes that cannot be joined into one entry, because each waits for the one before, until the log has `entries`.
///
/// # Panics
/// When one is not stored.
pub fn lengthen_log(cluster: &Cluster, client: &mut Client, entries: u64) {
    let leader = &cluster.nodes[cluster.leader()];
    while leader.status().and_then(|status| status.last_log).unwrap_or(0) < entries {
        for limit in 1..=250 {
            client.set_limit("scribe", &limit.to_string()).expect("a limit is stored");
        }
    }
}
