//! What the data directory knows about this node.
//!
//! | file         | content                                                       |
//! |--------------|---------------------------------------------------------------|
//! | `node.json`  | ids and names; written last, so that it marks a whole identity |
//! | `node.key`   | this node's private key, mode 0600                            |
//! | `node.crt`   | its certificate                                               |
//! | `ca.crt`     | the cluster's certificate                                     |
//! | `ca.key`     | the cluster's private key, mode 0600, on voters only          |
//! | `joining.json` | id of a newcomer that has not been let in yet               |
//! | `log.db`, `state.db` | the databases                                         |
//! | `lock`       | held by the running process                                   |
//! | `admin.sock` | for `node status` and other administration, mode 0600         |

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use super::ca::{self, Authority, CaError};
use crate::admin::SOCKET;
use crate::quic::tls::{self, Credentials, Pin};
use crate::storage::trouble::DAMAGED;

/// Files that hold what this node has promised to others.
const DATABASES: [&str; 2] = ["log.db", "state.db"];

/// Bytes of the smallest SQLite database: one page.
const DATABASE_BYTES_MIN: u64 = 512;

/// Bytes in the path of a Unix socket: what the system's structure has room for, with a zero behind it.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The directory itself.
    #[error("cannot keep data in {path}: {source}; let this user write there, or choose another --data-dir")]
    Directory {
        /// What could not be made, written or locked.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A socket would not fit.
    #[error("the path {path} is too long: a socket's may have {max} bytes; choose a shorter --data-dir")]
    TooLong {
        /// Of the socket.
        path: PathBuf,
        /// Bytes.
        max: usize,
    },
    /// A file in it.
    #[error("cannot use {path}: {source}; let this user read and write it, or else {DAMAGED}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process runs on it.
    #[error("{path} is in use by another running node: stop that one first, or choose another --data-dir")]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// Nobody has lived in it.
    #[error("there is no node's data in {path}: give the --data-dir of a node that has been started")]
    Nobody {
        /// Which directory.
        path: PathBuf,
    },
    /// Content that makes no sense.
    #[error("{path} is damaged: {reason}; {DAMAGED}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Certificates.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The random source.
    #[error("the system's random source failed: {0}")]
    Random(#[from] getrandom::Error),
}

/// A locked data directory.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

/// Content of `node.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Random, never reused: a wiped node is a new node.
    pub node: u64,
    /// What its operator calls it.
    pub name: String,
    /// Random, part of every certificate's names.
    pub cluster_id: String,
    /// What the operator calls the cluster.
    pub cluster_name: String,
    /// Where the others were told to reach it: `HOST:PORT`.
    pub address: String,
    /// The same, if its operator chose it (`--advertise`): kept over starts without that flag.
    pub advertise: Option<String>,
    /// Whether this node founded the cluster and so has to initialise its log if that has not happened yet.
    pub founder: bool,
    /// Whether its databases have been made. From then on they hold promises to the others (votes, entries), and a node
    /// that has lost them must not take part under this identity.
    #[serde(default)]
    pub begun: bool,
    /// Name of the server on which an operator removed this node from the cluster, once it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_by: Option<String>,
}

/// What a founder is called and where it is reached.
#[derive(Debug, Clone)]
pub struct Names<'a> {
    /// Of the node.
    pub node: &'a str,
    /// Of the cluster.
    pub cluster: &'a str,
    /// See [`Identity::address`].
    pub address: String,
    /// See [`Identity::advertise`].
    pub advertise: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Joining {
    node: u64,
}

impl DataDir {
    /// Makes the directory if it is missing (mode 0700) and locks it.
    ///
    /// # Errors
    /// It cannot be made, written or locked.
    pub fn open(path: &Path) -> Result<Self, IdentityError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            |source| IdentityError::Directory { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))?;
        let path = path.canonicalize().map_err(at(path))?;
        let socket = path.join(SOCKET);
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(IdentityError::TooLong { path: socket, max: SOCKET_PATH_BYTES_MAX });
        }
        let lock_path = path.join("lock");
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDir { path, lock }),
            Err(fs::TryLockError::WouldBlock) => Err(IdentityError::InUse { path }),
            Err(fs::TryLockError::Error(source)) => Err(IdentityError::Directory { path: lock_path, source }),
        }
    }

    /// Whether it is still the directory that was opened: a running process keeps deleted files, and all that it writes to them
    /// is gone with it.
    pub fn is_in_place(&self) -> bool {
        let place = |found: fs::Metadata| (found.dev(), found.ino());
        match (self.lock.metadata().map(place), fs::metadata(self.file("lock")).map(place)) {
            (Ok(held), Ok(found)) => held == found,
            (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
            (Err(_), Ok(_)) => true,
        }
    }

    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Who this node is, if it is anybody yet.
    ///
    /// # Errors
    /// The file is unreadable or damaged, or missing beside databases: founding another cluster there would bury this one.
    pub fn identity(&self) -> Result<Option<Identity>, IdentityError> {
        let identity = self.read_json::<Identity>("node.json")?;
        for name in DATABASES {
            let size = fs::metadata(self.file(name)).ok().map(|found| found.len());
            match &identity {
                // SQLite would begin such a file anew.
                Some(identity) if identity.begun && size.is_none_or(|size| size < DATABASE_BYTES_MIN) => {
                    let what = if size.is_none() { "missing" } else { "empty or cut off" };
                    return Err(self.damaged(name, format!("it is {what}, and this server had begun to fill it")));
                }
                None if size.is_some() => {
                    return Err(self.damaged("node.json", format!("it is missing, and there is a {name}")));
                }
                _ => {}
            }
        }
        Ok(identity)
    }

    /// Notes that the databases exist, once they do.
    ///
    /// # Errors
    /// Files.
    pub fn begun(&self, identity: &Identity) -> Result<(), IdentityError> {
        if identity.begun { Ok(()) } else { self.keep(&Identity { begun: true, ..identity.clone() }) }
    }

    /// Founds a cluster: makes its CA and this node's identity.
    ///
    /// # Errors
    /// Randomness, certificates or files.
    pub fn found(&self, names: Names<'_>) -> Result<Identity, IdentityError> {
        let node = self.new_node_id()?;
        let mut id = [0; 8];
        getrandom::fill(&mut id)?;
        let cluster_id = data_encoding::HEXLOWER.encode(&id);
        let authority = Authority::found(&cluster_id)?;
        let key = KeyPair::generate().map_err(CaError::from)?;
        let certificate = authority.sign(&ca::request(&key)?, node, &cluster_id)?;
        self.write("ca.key", 0o600, authority.key_pem().as_bytes())?;
        self.write("node.key", 0o600, key.serialize_pem().as_bytes())?;
        self.write_certificates(authority.certificate(), &certificate)?;
        let identity = Identity {
            node,
            name: names.node.to_owned(),
            cluster_id,
            cluster_name: names.cluster.to_owned(),
            address: names.address,
            advertise: names.advertise,
            founder: true,
            begun: false,
            removed_by: None,
        };
        self.write_json("node.json", &identity)?;
        Ok(identity)
    }

    /// Id and certificate request of a node that wants to join. The same on every attempt, so that an attempt whose
    /// answer was lost can be repeated with the same code.
    ///
    /// # Errors
    /// Randomness or files.
    pub fn prepare_to_join(&self) -> Result<(u64, Vec<u8>), IdentityError> {
        let joining = match self.read_json::<Joining>("joining.json")? {
            Some(joining) => joining,
            None => {
                let key = KeyPair::generate().map_err(CaError::from)?;
                self.write("node.key", 0o600, key.serialize_pem().as_bytes())?;
                let joining = Joining { node: self.new_node_id()? };
                self.write_json("joining.json", &joining)?;
                joining
            }
        };
        Ok((joining.node, ca::request(&self.key_pair("node.key")?)?))
    }

    /// Whether a newcomer has begun here that was not let in yet.
    ///
    /// # Errors
    /// Files are damaged.
    pub fn is_joining(&self) -> Result<bool, IdentityError> {
        Ok(self.read_json::<Joining>("joining.json")?.is_some())
    }

    /// Certificate and key with which a newcomer answers probes: of the key in its request, signed by itself.
    ///
    /// # Errors
    /// Files.
    pub fn newcomer_credentials(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), IdentityError> {
        let pair = self.key_pair("node.key")?;
        let certificate = ca::self_signed(&pair)?;
        let key = PrivateKeyDer::from_pem_slice(pair.serialize_pem().as_bytes())
            .map_err(|error| self.damaged("node.key", error.to_string()))?;
        Ok((certificate, key))
    }

    /// Keeps a changed identity.
    ///
    /// # Errors
    /// Files.
    pub fn keep(&self, identity: &Identity) -> Result<(), IdentityError> {
        self.write_json("node.json", identity)
    }

    /// Keeps another address of this node.
    ///
    /// # Errors
    /// Files.
    pub fn keep_address(&self, address: &str) -> Result<(), IdentityError> {
        // As it stands now: others may have changed it since this process began.
        match self.read_json::<Identity>("node.json")? {
            Some(identity) => self.keep(&Identity { address: address.to_owned(), ..identity }),
            None => Ok(()),
        }
    }

    /// Takes over what the cluster answered.
    ///
    /// # Errors
    /// Files.
    pub fn admitted(
        &self,
        identity: &Identity,
        ca: &CertificateDer<'_>,
        certificate: &CertificateDer<'_>,
    ) -> Result<(), IdentityError> {
        self.write_certificates(ca, certificate)?;
        self.write_json("node.json", identity)?;
        // Only tidiness: with node.json in place it is never read again.
        let _ = fs::remove_file(self.file("joining.json"));
        Ok(())
    }

    /// What this node proves itself with.
    ///
    /// # Errors
    /// Files are missing or damaged, or do not belong together.
    pub fn credentials(&self, identity: &Identity) -> Result<Credentials, IdentityError> {
        let (pair, ca, certificate) =
            (self.key_pair("node.key")?, self.certificate("ca.crt")?, self.certificate("node.crt")?);
        if Pin::of_certificate(&certificate) != Some(Pin::of_key(&pair.subject_public_key_info())) {
            return Err(self.damaged("node.key", "it is not the key of node.crt".into()));
        }
        if !tls::is_issued_by(&certificate, &ca) {
            return Err(self.damaged("node.crt", "it was not issued by ca.crt".into()));
        }
        if !tls::is_node(&certificate, identity.node, &identity.cluster_id) {
            return Err(self.damaged("node.crt", "it is not the certificate of the node in node.json".into()));
        }
        let key = PrivateKeyDer::from_pem_slice(pair.serialize_pem().as_bytes())
            .map_err(|error| self.damaged("node.key", error.to_string()))?;
        Ok(Credentials { cluster_id: identity.cluster_id.clone(), ca, certificate, key })
    }

    /// The pin of the cluster's key.
    ///
    /// # Errors
    /// The certificate is missing or damaged.
    pub fn pin(&self) -> Result<Pin, IdentityError> {
        Pin::of_certificate(&self.certificate("ca.crt")?).ok_or_else(|| self.damaged("ca.crt", "no certificate".into()))
    }

    /// The cluster's authority, if this node keeps its key.
    ///
    /// # Errors
    /// Files are damaged.
    pub fn authority(&self) -> Result<Option<Authority>, IdentityError> {
        if !self.file("ca.key").exists() {
            return Ok(None);
        }
        let key = self.key_pair("ca.key")?;
        if Pin::of_key(&key.subject_public_key_info()) != self.pin()? {
            return Err(self.damaged("ca.key", "it is not the key of ca.crt".into()));
        }
        Ok(Some(Authority::from_parts(self.certificate("ca.crt")?, key)))
    }

    /// Keeps the cluster's key, received from another voter, after checking that it is the right one.
    ///
    /// # Errors
    /// It is not, or files.
    pub fn keep_authority(&self, key_pem: &str) -> Result<(), IdentityError> {
        let key = KeyPair::from_pem(key_pem).map_err(CaError::from)?;
        if Pin::of_key(&key.subject_public_key_info()) != self.pin()? {
            return Err(self.damaged("ca.key", "the received key is not the cluster's".into()));
        }
        self.write("ca.key", 0o600, key_pem.as_bytes())
    }

    fn new_node_id(&self) -> Result<u64, IdentityError> {
        let mut id = [0; 8];
        getrandom::fill(&mut id)?;
        // Positive in every language that reads the state database, and never the 0 that means "nobody".
        Ok((u64::from_be_bytes(id) >> 1).max(1))
    }

    fn key_pair(&self, name: &str) -> Result<KeyPair, IdentityError> {
        KeyPair::from_pem(&self.read_text(name)?).map_err(|error| self.damaged(name, error.to_string()))
    }

    fn certificate(&self, name: &str) -> Result<CertificateDer<'static>, IdentityError> {
        CertificateDer::from_pem_slice(self.read_text(name)?.as_bytes())
            .map_err(|error| self.damaged(name, error.to_string()))
    }

    fn write_certificates(&self, ca: &CertificateDer<'_>, node: &CertificateDer<'_>) -> Result<(), IdentityError> {
        self.write("ca.crt", 0o644, certificate_pem(ca).as_bytes())?;
        self.write("node.crt", 0o644, certificate_pem(node).as_bytes())
    }

    fn damaged(&self, name: &str, reason: String) -> IdentityError {
        IdentityError::Damaged { path: self.file(name), reason }
    }

    fn read_text(&self, name: &str) -> Result<String, IdentityError> {
        let path = self.file(name);
        fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData => self.damaged(name, source.to_string()),
            _ => IdentityError::File { path, source },
        })
    }

    fn read_json<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, IdentityError> {
        match self.read_text(name) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| self.damaged(name, error.to_string())),
            Err(IdentityError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), IdentityError> {
        let text = serde_json::to_string_pretty(value).expect("plain structs have a JSON form");
        self.write(name, 0o600, text.as_bytes())
    }

    /// Replaces a file as a whole and on disk: a crash leaves the old or the new content.
    fn write(&self, name: &str, mode: u32, content: &[u8]) -> Result<(), IdentityError> {
        let (path, temporary) = (self.file(name), self.file(&format!("{name}.new")));
        let write = || {
            // A leftover of a crash may have another mode.
            match fs::remove_file(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| IdentityError::File { path: path.clone(), source })
    }
}

fn certificate_pem(certificate: &CertificateDer<'_>) -> String {
    let text = data_encoding::BASE64.encode(certificate);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quic::tls::is_node;

    fn names() -> Names<'static> {
        Names { node: "a", cluster: "lab", address: "h:1".into(), advertise: None }
    }

    #[test]
    fn founder_and_newcomer_hold_certificates_of_one_authority() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = DataDir::open(first.path()).unwrap();
        let identity = first.found(names()).unwrap();
        assert_eq!(first.identity().unwrap().as_ref(), Some(&identity));
        let credentials = first.credentials(&identity).unwrap();
        assert!(is_node(&credentials.certificate, identity.node, &identity.cluster_id));
        assert!(!is_node(&credentials.certificate, identity.node + 1, &identity.cluster_id));

        let second = DataDir::open(second.path()).unwrap();
        let (node, csr) = second.prepare_to_join().unwrap();
        assert_eq!(second.prepare_to_join().unwrap().0, node, "a repeated attempt is the same node");
        let authority = first.authority().unwrap().unwrap();
        let certificate = authority.sign(&csr, node, &identity.cluster_id).unwrap();
        assert!(authority.sign(&csr[..csr.len() - 1], node, &identity.cluster_id).is_err());
        let joined = Identity { node, name: "b".into(), founder: false, ..identity.clone() };
        second.admitted(&joined, authority.certificate(), &certificate).unwrap();
        assert_eq!(second.pin().unwrap(), first.pin().unwrap());
        assert!(second.authority().unwrap().is_none());
        second.keep_authority(&authority.key_pem()).unwrap();
        assert!(second.authority().unwrap().is_some());
        assert!(second.keep_authority(&Authority::found("x").unwrap().key_pem()).is_err());
    }

    #[test]
    fn a_directory_serves_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let held = DataDir::open(directory.path()).unwrap();
        assert!(matches!(DataDir::open(directory.path()), Err(IdentityError::InUse { .. })));
        drop(held);
        DataDir::open(directory.path()).unwrap();
    }

    #[test]
    fn keys_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path()).unwrap();
        data.found(names()).unwrap();
        for name in ["node.key", "ca.key", "node.json"] {
            assert_eq!(fs::metadata(data.file(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }
}
