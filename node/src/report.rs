//! Text for people: what the administrative commands print.

use std::fmt::Write;
use std::time::Duration;

use crate::admin::{FormerMember, MemberRemoved, MemberStatus, Members, NewCode, QuorumStatus, Status};
use crate::cluster::export::Exported;
use crate::config::args::spelled;
use crate::config::resolved::{CodeSource, Config};
use crate::raft::leader::TWO_VOTERS;
use crate::service::legacy::timestamp::Timestamp;
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

/// For `node authority export`: PEM, with lines in front that readers of PEM skip.
pub fn authority(exported: &Exported) -> String {
    let Exported { cluster, server_name, pin, certificate } = exported;
    format!(
        "# The certificate authority of the cluster {cluster}, pin {pin}. Trust it alone, and expect the name\n\
         # {server_name} in a server's certificate, whatever address was dialled.\n{certificate}"
    )
}

/// For `node status`.
pub fn status(status: &Status) -> String {
    let index = |index: Option<u64>| index.map_or_else(|| "-".to_owned(), |index| index.to_string());
    let mut text =
        format!("{} of cluster {} (id {}) at {}\n", status.name, status.cluster, status.cluster_id, status.address);
    let repeated = repeated(&status.members);
    let mut fact = |what: &str, value: String| writeln!(text, "  {what:<13}{value}").expect("text grows");
    fact("role", format!("{}, term {}", status.role, status.term));
    let leader = match (&status.leader, &status.leader_id) {
        (Some(name), Some(id)) if repeated(name) => format!("{name} (id {id})"),
        (Some(name), _) => name.clone(),
        (None, _) => "none".to_owned(),
    };
    fact("leader", leader);
    if let Some(missing) = &status.waiting_for {
        fact("waiting", missing.clone());
    }
    // What is wrong with a member is said beside it.
    let beside: Vec<String> = status.members.iter().filter_map(MemberStatus::warning).collect();
    for warning in status.warnings.iter().filter(|warning| !beside.contains(warning)) {
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
    text.push_str("members");
    quorum(&mut text, &status.quorum);
    member_rows(&mut text, &status.members, |member| match repeated(&member.name) {
        true => format!(", id {}", member.id),
        false => String::new(),
    });
    warn(&mut text, &status.quorum);
    text
}

/// Whether a name is that of more than one member: machines may share a host name.
fn repeated(members: &[MemberStatus]) -> impl Fn(&str) -> bool {
    move |name| members.iter().filter(|member| member.name == name).count() > 1
}

/// Behind the word for the members.
fn quorum(text: &mut String, quorum: &QuorumStatus) {
    match quorum.voters {
        0 => text.push('\n'),
        1 => text.push_str(": 1 votes\n"),
        voters => {
            writeln!(text, ": {voters} vote; to write it needs {} of {voters}", quorum.needed).expect("text grows")
        }
    }
}

fn warn(text: &mut String, quorum: &QuorumStatus) {
    if let Some(warning) = &quorum.warning {
        writeln!(text, "WARNING: {warning}").expect("text grows");
    }
}

/// A moment, to the second, UTC.
fn moment(ms: u64) -> String {
    let shown = Timestamp(ms).to_string();
    let to_the_second = shown.split('.').next().unwrap_or_default();
    format!("{} UTC", to_the_second.replace('T', " "))
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
        if let Some(note) = &member.note {
            writeln!(text, "    {note}").expect("text grows");
        }
    }
}

/// For `node members list`.
pub fn members(members: &Members) -> String {
    let mut text = "members".to_owned();
    quorum(&mut text, &members.quorum);
    member_rows(&mut text, &members.members, |member| {
        let leads = members.leader.as_deref() == Some(&member.id);
        format!(", id {}{}", member.id, if leads { ", leader" } else { "" })
    });
    for former in &members.removed {
        let FormerMember { id, name, by, time_ms } = former;
        writeln!(text, "  {name} (id {id}) was removed on {by} at {}", moment(*time_ms)).expect("text grows");
    }
    warn(&mut text, &members.quorum);
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
        writeln!(text, "WARNING: {TWO_VOTERS}").expect("text grows");
    }
    text
}

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
    let peers = match (config.peers.is_empty(), &config.expect_cluster) {
        (false, _) => config.peers.join(", "),
        (true, None) => "none: founds a cluster, if the data directory is empty".to_owned(),
        (true, Some(_)) => "none: starts only with a data directory that holds a server".to_owned(),
    };
    let code = match &config.join_code {
        None => "none".to_owned(),
        Some(CodeSource::Given(_)) => "given".to_owned(),
        Some(CodeSource::File(path)) => format!("read from {} when it is needed", path.display()),
    };
    let cluster = config.expect_cluster.as_deref().unwrap_or("any");
    format!(
        "The configuration is fine.\n  name          {}\n  cluster name  {}\n  listen        {}\n  advertise     {}\n  \
         data          {}\n  peers         {peers}\n  join code     {code}\n  expects       cluster {cluster}\n  plaintext     {:?}\n  signup        {:?}\n  max clients   {}",
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
