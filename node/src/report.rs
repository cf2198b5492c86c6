//! Text for people: what the administrative commands print.

use std::fmt::Write;
use std::time::Duration;

use crate::admin::{MemberRemoved, MemberStatus, Members, NewCode, Status};
use crate::config::args::spelled;
use crate::config::resolved::Config;
use crate::storage::trouble;

/// An error with its causes, each once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Why a command or a node has failed, and what to do if a disk is behind it.
pub fn failure(error: &(dyn std::error::Error + 'static)) -> String {
    let text = chain(error);
    match trouble::remedy(error) {
        Some(remedy) if !text.contains(remedy) => format!("{text}; {remedy}"),
        _ => text,
    }
}

/// For `node status`.
pub fn status(status: &Status) -> String {
    let index = |index: Option<u64>| index.map_or_else(|| "-".to_owned(), |index| index.to_string());
    let mut text = format!("{} of cluster {} at {}\n", status.name, status.cluster, status.address);
    let mut fact = |what: &str, value: String| writeln!(text, "  {what:<13}{value}").expect("text grows");
    fact("role", format!("{}, term {}", status.role, status.term));
    fact("leader", status.leader.clone().unwrap_or_else(|| "none".to_owned()));
    if let Some(missing) = &status.waiting_for {
        fact("waiting", missing.clone());
    }
    for warning in &status.warnings {
        fact("WARNING", warning.clone());
    }
    fact(
        "log",
        format!(
            "last {}, committed {}, applied {}",
            index(status.last_log),
            index(status.committed),
            index(status.applied)
        ),
    );
    fact(
        "state",
        format!("{} at {}", &status.state_hash[..status.state_hash.len().min(16)], index(status.state_hash_at)),
    );
    fact("clients", status.clients.to_string());
    fact("client link", status.client_link.clone());
    fact("data", status.data_dir.display().to_string());
    text.push_str("members\n");
    member_rows(&mut text, &status.members, |_| String::new());
    text
}

/// One line per member, with `mark` behind it.
fn member_rows(text: &mut String, members: &[MemberStatus], mark: impl Fn(&MemberStatus) -> String) {
    let width = members.iter().map(|member| member.name.len()).max().unwrap_or(0);
    for member in members {
        let votes = if member.voter { "voter" } else { "learner" };
        let link = if member.connected { "" } else { ", not reached" };
        let mark = mark(member);
        writeln!(text, "  {:<width$}  {:<21}  {votes}{link}{mark}", member.name, member.address).expect("text grows");
        if let Some(trouble) = &member.trouble {
            writeln!(text, "    WARNING: {trouble}").expect("text grows");
        }
    }
}

/// For `node members list`.
pub fn members(members: &Members) -> String {
    let mut text = String::new();
    member_rows(&mut text, &members.members, |member| {
        let leads = members.leader.as_deref() == Some(&member.id);
        format!(", id {}{}", member.id, if leads { ", leader" } else { "" })
    });
    for former in &members.removed {
        writeln!(text, "  {} (id {}) was removed on {}", former.name, former.id, former.by).expect("text grows");
    }
    text
}

/// For `node members remove`.
pub fn removed(removed: &MemberRemoved) -> String {
    let MemberRemoved { name, id, voters } = removed;
    let mut text = format!(
        "{name} (id {id}) is removed for good: nobody listens to it any more, and its data directory can be deleted.\n\
         {voters} {} now.\n",
        if *voters == 1 { "server votes" } else { "servers vote" }
    );
    if *voters == 2 {
        text.push_str(TWO_VOTERS);
        text.push('\n');
    }
    text
}

/// Whoever has two servers should know.
const TWO_VOTERS: &str =
    "WARNING: two servers survive no failure at all: with either gone nothing can be written. Add a third.";

/// For `node join-code`.
pub fn join_code(code: &NewCode) -> String {
    format!(
        "{}\n\nOn the next machine, within {}:\n  node --peers {} --join-code {}",
        code.code,
        spelled(Duration::from_secs(code.expires_in_s)),
        code.peers,
        code.code
    )
}

/// For `node check`.
pub fn config(config: &Config) -> String {
    let peers = if config.peers.is_empty() { "none: founds a cluster".to_owned() } else { config.peers.join(", ") };
    format!(
        "The configuration is fine.\n  name          {}\n  cluster name  {}\n  listen        {}\n  advertise     {}\n  \
         data          {}\n  peers         {peers}\n  plaintext     {:?}\n  signup        {:?}\n  max clients   {}",
        config.name,
        config.cluster_name,
        config.listen,
        config.advertise.as_deref().unwrap_or("found out at start"),
        config.data_dir.display(),
        config.plaintext,
        config.signup,
        config.max_clients,
    )
}
