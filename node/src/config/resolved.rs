//! One checked configuration.

use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use super::args::{LegacyGrpc, LogFormat, Plaintext, RunArgs, Signup};
use super::file::File;
use crate::cluster::code::{CodeError, JoinCode};
use crate::cluster::valid_name;
use crate::limits::{ADDRESS_BYTES_MAX, JOIN_CODE_FILE_BYTES_MAX, MAX_CLIENTS_DEFAULT};
use crate::quic::dial::is_link_local;

/// Where the original listened, so that its clients find us.
pub const PORT_DEFAULT: u16 = 5555;

/// Everything the server needs to know from its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What to call this server.
    pub name: String,
    /// Whether its operator chose that name; if not, it comes from the host, and others may have the same.
    pub named: bool,
    /// What to call a cluster it founds.
    pub cluster_name: String,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where others reach it, if the operator says so.
    pub advertise: Option<String>,
    /// Where to keep everything.
    pub data_dir: PathBuf,
    /// Servers to join; empty to found a cluster.
    pub peers: Vec<String>,
    /// The code to join with.
    pub join_code: Option<CodeSource>,
    /// Id of the cluster that this server founds none beside.
    pub expect_cluster: Option<String>,
    /// Who may speak without TLS.
    pub plaintext: Plaintext,
    /// Who may make accounts.
    pub signup: Signup,
    /// How callers of the original's gRPC package are known.
    pub legacy_grpc: LegacyGrpc,
    /// Client connections at once.
    pub max_clients: usize,
    /// Start from data that looks like an older copy.
    pub trust_data: bool,
    /// Stands for an older release in tests.
    pub test_rule_level: Option<u16>,
    /// How to log.
    pub log: LogFormat,
}

/// Where the code to join with comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeSource {
    /// The command line or the environment.
    Given(JoinCode),
    /// A file, or standard input if it is `-`. Read when it is needed: a member needs no code.
    File(PathBuf),
}

impl CodeSource {
    /// The code, if it is here without asking: a member needs none.
    pub fn at_hand(&self) -> Option<JoinCode> {
        match self {
            CodeSource::File(path) if path.as_os_str() == "-" => None,
            source => source.code().ok(),
        }
    }

    /// The code.
    ///
    /// # Errors
    /// The file cannot be read or holds no code.
    pub fn code(&self) -> Result<JoinCode, ConfigError> {
        let path = match self {
            CodeSource::Given(code) => return Ok(code.clone()),
            CodeSource::File(path) => path,
        };
        let read = |mut source: Box<dyn io::Read>| {
            let mut text = String::new();
            // A code is a line; a device that never ends must not fill the memory.
            io::Read::take(&mut source, JOIN_CODE_FILE_BYTES_MAX).read_to_string(&mut text).map(|_| text)
        };
        let text = if path.as_os_str() == "-" {
            read(Box::new(io::stdin()))
        } else {
            std::fs::File::open(path).and_then(|file| read(Box::new(file)))
        };
        let text = text.map_err(|source| ConfigError::CodeFile { path: path.clone(), source })?;
        text.trim().parse().map_err(|source| ConfigError::CodeInFile { path: path.clone(), source })
    }
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}; see what --config or SAMIRA_CONFIG says")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file makes no sense.
    #[error("the configuration file {path} is wrong: {reason}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// The listening address.
    #[error("--listen {value:?} is not an address to listen on; give ADDR:PORT, for example 0.0.0.0:5555 or [::]:5555")]
    Listen {
        /// As given.
        value: String,
    },
    /// An address of a server.
    #[error("{flag} {value:?} is not HOST:PORT; an IPv6 address stands in brackets, like [fd00::1]:5555")]
    Address {
        /// Which flag.
        flag: &'static str,
        /// As given.
        value: String,
    },
    /// A link-local address that others shall use.
    #[error(
        "--advertise {value:?} means this machine only on its own cable, so it is of no use to the other servers; give \
         another of its addresses, or a name"
    )]
    OneCable {
        /// As given.
        value: String,
    },
    /// The name of the server or the cluster.
    #[error("{flag} {value:?}: 1 to 64 letters, digits, dots, dashes and underscores are allowed")]
    Name {
        /// Which flag.
        flag: &'static str,
        /// As given.
        value: String,
    },
    /// The join code.
    #[error("--join-code: {0}")]
    Code(#[from] CodeError),
    /// A code without the cluster it is for.
    #[error(
        "--join-code and --join-code-file need --peers HOST:PORT, a server of the cluster to join: without it this server \
         would found a cluster of its own"
    )]
    CodeWithoutPeers,
    /// Two codes.
    #[error("give --join-code or --join-code-file, not both")]
    TwoCodes,
    /// The file with the code.
    #[error("--join-code-file {path}: {source}")]
    CodeFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// What is in the file.
    #[error("--join-code-file {path}: {source}")]
    CodeInFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CodeError,
    },
    /// No id of a cluster.
    #[error("--expect-cluster {value:?} is no id of a cluster: give the 16 digits that `node status` shows")]
    Cluster {
        /// As given.
        value: String,
    },
    /// Nobody could connect.
    #[error("--max-clients must be at least 1")]
    NoClients,
}

impl Config {
    /// Puts flags (clap has put the environment under them), file and defaults together and checks them.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn resolve(args: RunArgs) -> Result<Self, ConfigError> {
        let file = args.config.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let listen = args.listen.or(file.listen).unwrap_or_else(|| format!("[::]:{PORT_DEFAULT}"));
        let listen = listen
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next())
            .ok_or(ConfigError::Listen { value: listen })?;
        let advertise = args.advertise.or(file.advertise);
        let peers = args.peers.or(file.peers).unwrap_or_default();
        let name = args.name.or(file.name);
        let named = name.is_some();
        let name = name.unwrap_or_else(|| default_name(listen.port()));
        let join_code = match (args.join_code, args.join_code_file) {
            (Some(_), Some(_)) => return Err(ConfigError::TwoCodes),
            (Some(code), None) => Some(CodeSource::Given(code.parse()?)),
            (None, named) => named.or(file.join_code_file).map(CodeSource::File),
        };
        if join_code.is_some() && peers.is_empty() {
            return Err(ConfigError::CodeWithoutPeers);
        }
        let expect_cluster = args.expect_cluster.or(file.expect_cluster).map(cluster_id).transpose()?;
        let cluster_name = args.cluster_name.or(file.cluster_name).unwrap_or_else(|| "samira".to_owned());
        for (flag, value) in
            advertise.iter().map(|value| ("--advertise", value)).chain(peers.iter().map(|value| ("--peers", value)))
        {
            if !is_host_port(value) {
                return Err(ConfigError::Address { flag, value: value.clone() });
            }
        }
        if let Some(value) = advertise.as_ref().filter(|value| is_of_one_cable(value)) {
            return Err(ConfigError::OneCable { value: value.clone() });
        }
        for (flag, value) in [("--name", &name), ("--cluster-name", &cluster_name)] {
            if !valid_name(value) {
                return Err(ConfigError::Name { flag, value: value.clone() });
            }
        }
        let max_clients = args.max_clients.or(file.max_clients).unwrap_or(MAX_CLIENTS_DEFAULT);
        if max_clients == 0 {
            return Err(ConfigError::NoClients);
        }
        Ok(Config {
            name,
            named,
            cluster_name,
            listen,
            advertise,
            data_dir: data_dir(args.data_dir.or(file.data_dir)),
            peers,
            join_code,
            expect_cluster,
            plaintext: args.plaintext.or(file.plaintext).unwrap_or(Plaintext::Loopback),
            signup: args.signup.or(file.signup).unwrap_or(Signup::Open),
            legacy_grpc: args.legacy_grpc.or(file.legacy_grpc).unwrap_or(LegacyGrpc::Address),
            max_clients,
            trust_data: args.trust_data,
            test_rule_level: args.test_rule_level,
            log: args.log.or(file.log).unwrap_or(LogFormat::Pretty),
        })
    }
}

/// The id of a cluster, in the form in which it is compared.
fn cluster_id(value: String) -> Result<String, ConfigError> {
    let id = value.trim().to_ascii_lowercase();
    if id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(id)
    } else {
        Err(ConfigError::Cluster { value })
    }
}

/// The data directory, or its default.
pub fn data_dir(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| PathBuf::from("samira-data"))
}

/// Whether `value` is `HOST:PORT` with a port that can be dialled.
pub fn is_host_port(value: &str) -> bool {
    value.len() <= ADDRESS_BYTES_MAX
        && value
            .rsplit_once(':')
            .is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// Without brackets nobody could tell where an IPv6 address ends.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|ip| ip.split('%').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok())),
        None => !host.is_empty() && !host.contains([':', '%', ']']),
    }
}

/// Whether an address means something on one cable only.
fn is_of_one_cable(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let ip = host.split('%').next().unwrap_or(host).parse::<IpAddr>();
    host.contains('%') || ip.is_ok_and(is_link_local)
}

fn default_name(port: u16) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().split('.').next().filter(|host| valid_name(host)).unwrap_or("node");
    match port {
        PORT_DEFAULT | 0 => host.to_owned(),
        port => format!("{host}-{port}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn with_file(content: &str, args: RunArgs) -> Result<Config, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        Config::resolve(RunArgs { config: Some(file.path().to_owned()), ..args })
    }

    #[test]
    fn flags_go_over_the_file_and_the_file_over_defaults() {
        let content = "listen = '127.0.0.1:7000'\nmax_clients = 3\nname = 'from-file'";
        let config = with_file(content, RunArgs { name: Some("flag".into()), ..RunArgs::default() }).unwrap();
        assert_eq!((config.name.as_str(), config.max_clients), ("flag", 3));
        assert_eq!(config.listen, ([127, 0, 0, 1], 7000).into());
        assert_eq!((config.plaintext, config.cluster_name.as_str()), (Plaintext::Loopback, "samira"));
    }

    #[test]
    fn unknown_keys_are_errors_that_name_the_key() {
        let error = with_file("lissten = 'x'", RunArgs::default()).unwrap_err();
        assert!(error.to_string().contains("lissten"), "{error}");
    }

    #[test]
    fn wrong_values_are_named() {
        let wrong = |args: RunArgs, word: &str| {
            let error = Config::resolve(args).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        let default = RunArgs::default;
        wrong(RunArgs { listen: Some("5555".into()), ..default() }, "--listen");
        wrong(RunArgs { advertise: Some("host".into()), ..default() }, "--advertise");
        wrong(RunArgs { advertise: Some("host:0".into()), ..default() }, "--advertise");
        wrong(RunArgs { advertise: Some("fd00::1:5555".into()), ..default() }, "brackets");
        wrong(RunArgs { advertise: Some("[fe80::1]:5555".into()), ..default() }, "own cable");
        wrong(RunArgs { advertise: Some("[fe80::1%eth0]:5555".into()), ..default() }, "own cable");
        wrong(RunArgs { advertise: Some("169.254.3.4:5555".into()), ..default() }, "own cable");
        wrong(RunArgs { peers: Some(vec!["a:1".into(), ":2".into()]), ..default() }, "--peers");
        wrong(RunArgs { name: Some("a b".into()), ..default() }, "--name");
        wrong(RunArgs { cluster_name: Some(String::new()), ..default() }, "--cluster-name");
        wrong(RunArgs { join_code: Some("x".into()), ..default() }, "--join-code");
        wrong(RunArgs { max_clients: Some(0), ..default() }, "--max-clients");
        wrong(RunArgs { expect_cluster: Some("samira".into()), ..default() }, "--expect-cluster");
        wrong(RunArgs { join_code_file: Some("x".into()), ..default() }, "--peers");
    }

    #[test]
    fn a_code_is_one_and_has_somewhere_to_go() {
        let code = JoinCode::generate(crate::quic::tls::Pin([1; 16])).unwrap();
        let args = || RunArgs { join_code: Some(code.to_string()), ..RunArgs::default() };
        let refused = |args| Config::resolve(args).unwrap_err();
        assert!(matches!(refused(args()), ConfigError::CodeWithoutPeers));
        let peers = Some(vec!["a:1".to_owned()]);
        let both = RunArgs { peers: peers.clone(), join_code_file: Some("x".into()), ..args() };
        assert!(matches!(refused(both), ConfigError::TwoCodes));
        let config = Config::resolve(RunArgs { peers: peers.clone(), ..args() }).unwrap();
        assert_eq!(config.join_code.unwrap().code().unwrap(), code);
        // A file is read when it is needed, and not before.
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let named = RunArgs { peers, join_code_file: Some(file.path().to_owned()), ..RunArgs::default() };
        let source = Config::resolve(named).unwrap().join_code.unwrap();
        assert!(matches!(source.code(), Err(ConfigError::CodeInFile { .. })));
        writeln!(file, " {code}").unwrap();
        assert_eq!(source.code().unwrap(), code);
        drop(file);
        assert!(matches!(source.code(), Err(ConfigError::CodeFile { .. })));
    }

    #[test]
    fn the_id_of_a_cluster_is_read_in_any_case() {
        let config = with_file("expect_cluster = '0123456789ABCDEF'", RunArgs::default()).unwrap();
        assert_eq!(config.expect_cluster.as_deref(), Some("0123456789abcdef"));
    }
}
