//! Where a cluster is, and how it is known again: the text that people paste.
//!
//! `samira://HOST:PORT#PIN` is what a server prints. `HOST:PORT`, `HOST` and lists with commas are understood too; an
//! IPv6 address stands in brackets when a port follows.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use sha2::{Digest, Sha256};

use crate::limits::{ADDRESSES_MAX, HOST_BYTES_MAX};

/// The port when none is named.
pub const PORT_DEFAULT: u16 = 5555;

const SCHEME: &str = "samira://";

/// The first half of SHA-256 over the public key (SubjectPublicKeyInfo, DER) of the cluster's CA. The node makes the same
/// from the same key: 26 letters and digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin(pub [u8; 16]);

impl Pin {
    /// Of a public key in DER.
    #[must_use]
    pub fn of_key(spki: &[u8]) -> Self {
        let mut pin = [0; 16];
        pin.copy_from_slice(&Sha256::digest(spki)[..16]);
        Self(pin)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_lowercase())
    }
}

impl FromStr for Pin {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let bytes = BASE32_NOPAD_NOCASE.decode(text.as_bytes()).map_err(|_| LinkError::Pin)?;
        bytes.try_into().map(Self).map_err(|_| LinkError::Pin)
    }
}

/// One place to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Address {
    /// Whether it is certain, without asking anybody, that it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let refuse = || LinkError::Address(text.chars().take(HOST_BYTES_MAX).collect());
        let (host, port) = if let Some(inner) = text.strip_prefix('[') {
            let (host, rest) = inner.split_once(']').ok_or_else(refuse)?;
            if !is_ipv6(host) {
                return Err(refuse());
            }
            match rest {
                "" => (host, None),
                _ => (host, Some(rest.strip_prefix(':').ok_or_else(refuse)?)),
            }
        } else if is_ipv6(text) {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let port = match port {
            None => PORT_DEFAULT,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => match port.parse() {
                Ok(0) | Err(_) => return Err(LinkError::Port(port.chars().take(8).collect())),
                Ok(port) => port,
            },
            Some(port) => return Err(LinkError::Port(port.chars().take(8).collect())),
        };
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '%');
        if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.chars().all(fits) {
            return Err(refuse());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// An IPv6 address, possibly of one interface (`fe80::1%eth0`).
fn is_ipv6(host: &str) -> bool {
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    address.parse::<std::net::Ipv6Addr>().is_ok()
}

/// Where a cluster is, and how it is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// At least one, at most [`ADDRESSES_MAX`], each once.
    pub addresses: Vec<Address>,
    /// Whose servers they must be.
    pub pin: Option<Pin>,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pin.is_some() {
            f.write_str(SCHEME)?;
        }
        for (at, address) in self.addresses.iter().enumerate() {
            write!(f, "{}{address}", if at == 0 { "" } else { "," })?;
        }
        match self.pin {
            Some(pin) => write!(f, "#{pin}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        let schemed = text.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME));
        let rest = match text.split_once("://") {
            Some(_) if schemed => &text[SCHEME.len()..],
            Some((scheme, _)) => return Err(LinkError::Scheme(scheme.chars().take(16).collect())),
            None => text,
        };
        let (hosts, pin) = match rest.split_once('#') {
            Some((hosts, pin)) => (hosts, Some(pin.parse()?)),
            None => (rest, None),
        };
        let mut addresses: Vec<Address> = Vec::new();
        for host in hosts.trim_end_matches('/').split(',').map(str::trim).filter(|host| !host.is_empty()) {
            let address = host.parse()?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match addresses.len() {
            0 => Err(LinkError::Empty),
            1..=ADDRESSES_MAX => Ok(Self { addresses, pin }),
            _ => Err(LinkError::TooMany),
        }
    }
}

/// Text that is no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nothing in it.
    #[error("no address in it: paste the client link that the server printed (samira://HOST:PORT#PIN)")]
    Empty,
    /// Another scheme.
    #[error("{0}:// is nothing this program speaks: a client link begins with samira://")]
    Scheme(String),
    /// A host that cannot be one.
    #[error("`{0}` is no address: HOST:PORT, HOST or [IPV6]:PORT is expected")]
    Address(String),
    /// A port that cannot be one.
    #[error("`{0}` is no port: a number from 1 to 65535 is expected")]
    Port(String),
    /// A pin that cannot be one.
    #[error("what follows # is no pin: 26 letters and digits (a-z, 2-7) are expected; copy the whole link")]
    Pin,
    /// A list that is too long.
    #[error("too many addresses: one that works is enough, the others are learned (at most {ADDRESSES_MAX})")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "abcdefghijklmnopqrstuvwxya";

    #[test]
    fn links_and_what_is_understood() {
        let check = |text: &str, expected: &str| {
            let link: Link = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(link.to_string(), expected, "{text}");
            assert_eq!(expected.parse(), Ok(link), "what is printed is read back");
        };
        check("samira://10.0.0.1:5556#abcdefghijklmnopqrstuvwxya", &format!("samira://10.0.0.1:5556#{PIN}"));
        check("SAMIRA://Ship.lan#ABCDEFGHIJKLMNOPQRSTUVWXYA", &format!("samira://Ship.lan:5555#{PIN}"));
        check("samira://a,b:6/", "a:5555,b:6");
        check("  host:1 ", "host:1");
        check("host", "host:5555");
        check("a:1, b:2,a:1,", "a:1,b:2");
        check("::1", "[::1]:5555");
        check("[::1]", "[::1]:5555");
        check("[fe80::1%eth0]:7,127.0.0.1:8", "[fe80::1%eth0]:7,127.0.0.1:8");
        check(&format!("a,b#{PIN}"), &format!("samira://a:5555,b:5555#{PIN}"));
    }

    #[test]
    fn what_is_no_link_says_why() {
        let check = |text: &str, expected: LinkError| assert_eq!(text.parse::<Link>(), Err(expected), "{text}");
        check("", LinkError::Empty);
        check("samira://", LinkError::Empty);
        check(",", LinkError::Empty);
        check("http://a:1", LinkError::Scheme("http".into()));
        check("a:0", LinkError::Port("0".into()));
        check("a:65536", LinkError::Port("65536".into()));
        check("a:+5", LinkError::Port("+5".into()));
        check("a:b:c", LinkError::Port("b:c".into()));
        check("a:", LinkError::Port(String::new()));
        check("[a]:5", LinkError::Address("[a]:5".into()));
        check("[::1", LinkError::Address("[::1".into()));
        check("[::1]5", LinkError::Address("[::1]5".into()));
        check(":5", LinkError::Address(":5".into()));
        check("a b", LinkError::Address("a b".into()));
        check("a#short", LinkError::Pin);
        check("a#", LinkError::Pin);
        let many: Vec<_> = (0..=ADDRESSES_MAX).map(|host| format!("h{host}")).collect();
        check(&many.join(","), LinkError::TooMany);
        check(&"x".repeat(HOST_BYTES_MAX + 1), LinkError::Address("x".repeat(HOST_BYTES_MAX)));
    }

    #[test]
    fn this_machine_is_known_without_asking() {
        let check = |text: &str, expected| {
            assert_eq!(text.parse::<Address>().map(|address| address.is_loopback()), Ok(expected), "{text}");
        };
        check("localhost", true);
        check("127.3.2.1:9", true);
        check("::1", true);
        check("::ffff:127.0.0.1", true);
        check("10.0.0.1", false);
        check("localhost.example", false);
    }
}
