//! The public part of the cluster's authority, for programs that check certificates the usual way and know nothing of pins.

use std::path::Path;
use std::{fs, io};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use super::identity::{Identity, IdentityError};
use crate::quic::tls::{Pin, cluster_name};

/// What a client needs to check a node's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Name of the cluster.
    pub cluster: String,
    /// The name that every node's certificate carries, whatever its address.
    pub server_name: String,
    /// The pin that stands in client links.
    pub pin: String,
    /// The authority's certificate as PEM. Its key is no part of it.
    pub certificate: String,
}

/// Reads it from a data directory, whether its node runs or not.
///
/// # Errors
/// There is no node in the directory, or its files are damaged.
pub fn export(directory: &Path) -> Result<Exported, IdentityError> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read_to_string(&path).map_err(|source| IdentityError::File { path, source })
    };
    let damaged = |name: &str, reason: String| IdentityError::Damaged { path: directory.join(name), reason };
    let identity = match read("node.json") {
        Err(IdentityError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(IdentityError::Nobody { path: directory.to_owned() });
        }
        read => read?,
    };
    let identity: Identity =
        serde_json::from_str(&identity).map_err(|error| damaged("node.json", error.to_string()))?;
    let certificate = read("ca.crt")?;
    let pin = CertificateDer::from_pem_slice(certificate.as_bytes()).ok().and_then(|found| Pin::of_certificate(&found));
    let pin = pin.ok_or_else(|| damaged("ca.crt", "no certificate".into()))?.to_string();
    let server_name = cluster_name(&identity.cluster_id);
    Ok(Exported { cluster: identity.cluster_name, server_name, pin, certificate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::identity::{DataDir, Names};

    #[test]
    fn the_certificate_is_exported_beside_a_running_node_and_the_key_is_not() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(export(directory.path()), Err(IdentityError::Nobody { .. })));
        let data = DataDir::open(directory.path()).unwrap();
        let names = Names { node: "a", cluster: "lab", address: "h:1".into(), advertise: None };
        let identity = data.found(names).unwrap();
        let exported = export(directory.path()).unwrap();
        assert_eq!(exported.cluster, "lab");
        assert_eq!(exported.server_name, format!("{}.samira", identity.cluster_id));
        assert_eq!(exported.pin, data.pin().unwrap().to_string());
        let found = CertificateDer::from_pem_slice(exported.certificate.as_bytes()).unwrap();
        assert_eq!(found, data.credentials(&identity).unwrap().ca);
        assert!(!format!("{exported:?}").contains("PRIVATE"));
    }
}
