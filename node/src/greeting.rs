//! What a starting node tells the person in front of it. Pure text, held by a golden.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

/// Facts for the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Of this node.
    pub name: String,
    /// Of the cluster.
    pub cluster: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Non-loopback addresses of this machine it is reached at.
    pub interfaces: Vec<SocketAddr>,
    /// Where the other servers reach it.
    pub address: String,
    /// Role and term.
    pub role: (String, u64),
    /// Name and address of the leader.
    pub leader: Option<(String, String)>,
    /// A sentence for an operator, when the cluster can lose no server now.
    pub warning: Option<String>,
    /// Whether this start has founded the cluster.
    pub founded: bool,
    /// Id of the cluster.
    pub cluster_id: String,
    /// Where it keeps everything.
    pub data_dir: PathBuf,
    /// Pin of the cluster's key, for clients.
    pub pin: String,
    /// How this program was called.
    pub program: String,
    /// A fresh join code, if one could be made.
    pub join_code: Option<String>,
    /// A free port on this machine for a further node.
    pub next_port: Option<u16>,
}

impl Greeting {
    /// The text, lines ended.
    pub fn text(&self) -> String {
        let mut lines = vec![format!("Samira server {} of cluster {}", self.name, self.cluster)];
        let mut fact = |what: &str, value: String| lines.push(format!("  {what:<14}{value}"));
        fact("listening on", format!("{} (TCP for clients, UDP for servers)", self.listen));
        for address in &self.interfaces {
            fact("reached at", address.to_string());
        }
        fact("role", format!("{}, term {}", self.role.0, self.role.1));
        fact(
            "leader",
            match &self.leader {
                Some((name, address)) => format!("{name} at {address}"),
                None => "none yet".to_owned(),
            },
        );
        fact("protocols", "SAMIRA/2, JSON/2, SAMIRA/1, JSON, gRPC; TLS".to_owned());
        fact("data", self.data_dir.display().to_string());
        fact("client link", client_link(&self.address, &self.pin));
        if let Some(warning) = &self.warning {
            lines.push(format!("  WARNING       {warning}"));
        }
        if let Some(code) = &self.join_code {
            let program = shell_word(&self.program);
            let peer = &self.address;
            if !self.listen.ip().is_loopback() {
                lines.push("To add a server, run on the next machine:".to_owned());
                lines.push(format!("  {program} --peers {peer} --join-code {code}"));
            }
            if let Some(port) = self.next_port {
                let listen = SocketAddr::new(self.listen.ip(), port);
                let data = shell_word(&format!("samira-data-{port}"));
                lines.push("To add one on this machine, run in another terminal:".to_owned());
                lines
                    .push(format!("  {program} --listen {listen} --data-dir {data} --peers {peer} --join-code {code}"));
            }
            lines.push("The code lets one server in, within 15 minutes; `node join-code` makes another.".to_owned());
        } else {
            let (program, data) = (shell_word(&self.program), shell_word(&self.data_dir.display().to_string()));
            lines.push(format!(
                "To add a server: `{program} join-code --data-dir {data}` prints the line to run on the next machine."
            ));
        }
        lines.join("\n") + "\n"
    }

    /// The same facts for programs.
    pub fn json(&self) -> Value {
        let leader = self.leader.as_ref();
        json!({
            "event": "started", "name": self.name, "cluster": self.cluster, "cluster_id": self.cluster_id,
            "founded": self.founded, "listen": self.listen, "interfaces": self.interfaces, "address": self.address,
            "role": self.role.0, "term": self.role.1, "leader": leader.map(|(name, _)| name),
            "leader_address": leader.map(|(_, address)| address), "data_dir": self.data_dir,
            "client_link": client_link(&self.address, &self.pin), "warning": self.warning, "join_code": self.join_code,
        })
    }
}

/// What a client is given to find a cluster and to know it again.
pub fn client_link(address: &str, pin: &str) -> String {
    format!("samira://{address}#{pin}")
}

/// `word` so that a shell reads it back as one word.
fn shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting() -> Greeting {
        Greeting {
            name: "alpha".into(),
            cluster: "lab".into(),
            listen: ([0, 0, 0, 0], 5555).into(),
            interfaces: vec![([192, 168, 1, 5], 5555).into()],
            address: "192.168.1.5:5555".into(),
            role: ("leader".into(), 1),
            leader: Some(("alpha".into(), "192.168.1.5:5555".into())),
            warning: None,
            founded: true,
            cluster_id: "0123456789abcdef".into(),
            data_dir: "/srv/samira".into(),
            pin: "abcdefghijklmnopqrstuvwxyz".into(),
            program: "node".into(),
            join_code: Some("abcdefghijklmnopqrstuvwxyz-aaaaaaaaaaaaaaaa".into()),
            next_port: Some(5556),
        }
    }

    #[test]
    fn a_founder_tells_how_to_go_on() {
        let expected = "\
Samira server alpha of cluster lab
  listening on  0.0.0.0:5555 (TCP for clients, UDP for servers)
  reached at    192.168.1.5:5555
  role          leader, term 1
  leader        alpha at 192.168.1.5:5555
  protocols     SAMIRA/2, JSON/2, SAMIRA/1, JSON, gRPC; TLS
  data          /srv/samira
  client link   samira://192.168.1.5:5555#abcdefghijklmnopqrstuvwxyz
To add a server, run on the next machine:
  node --peers 192.168.1.5:5555 --join-code abcdefghijklmnopqrstuvwxyz-aaaaaaaaaaaaaaaa
To add one on this machine, run in another terminal:
  node --listen 0.0.0.0:5556 --data-dir samira-data-5556 --peers 192.168.1.5:5555 --join-code abcdefghijklmnopqrstuvwxyz-aaaaaaaaaaaaaaaa
The code lets one server in, within 15 minutes; `node join-code` makes another.
";
        assert_eq!(greeting().text(), expected);
    }

    #[test]
    fn a_loopback_server_does_not_promise_other_machines() {
        let local = Greeting { listen: ([127, 0, 0, 1], 5555).into(), interfaces: Vec::new(), ..greeting() }.text();
        assert!(!local.contains("next machine"), "{local}");
        assert!(local.contains("--listen 127.0.0.1:5556"), "{local}");
    }

    #[test]
    fn a_warning_is_shown_and_a_missing_code_is_not_printed() {
        let warning = Some("two servers survive no failure at all".to_owned());
        let text = Greeting { warning, join_code: None, leader: None, ..greeting() }.text();
        assert!(text.contains("WARNING       two") && text.contains("none yet"), "{text}");
        assert!(!text.contains("--join-code") && text.contains("`node join-code --data-dir /srv/samira`"), "{text}");
    }

    #[test]
    fn odd_program_paths_are_quoted() {
        assert_eq!(shell_word("/opt/my node"), "'/opt/my node'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word("target/debug/node"), "target/debug/node");
    }
}
