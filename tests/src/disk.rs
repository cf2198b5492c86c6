//! A bad disk under a node: see the crate `diskfaults` for what can go wrong, and how rules say it.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use crate::cluster::{Cluster, Node, built_library};

/// Remembers unflushed writes from the start, and never strikes: rules that let the power fail later need it.
const REMEMBER: &str = "* flush 1000000000 cut-before";

/// Starts a cluster whose nodes all have a disk that can go bad, in their order.
///
/// # Panics
/// See [`Cluster::start`].
pub fn cluster_on_bad_disks(count: usize) -> (Cluster, Vec<BadDisk>) {
    let mut disks = Vec::new();
    let cluster = Cluster::start_prepared(count, |node| disks.push(BadDisk::under(node)));
    (cluster, disks)
}

/// The disk of one node. Gone bad or mended while it runs; in place from its next start on.
#[derive(Debug)]
pub struct BadDisk {
    rules: PathBuf,
}

impl BadDisk {
    /// Puts one under a node that does not run yet. It is good until told otherwise.
    ///
    /// # Panics
    /// When the test's directory cannot be written, or the library does not build.
    pub fn under(node: &mut Node) -> Self {
        fs::create_dir_all(&node.dir).expect("the test's directory can be written");
        let directory = node.dir.canonicalize().expect("it was just made");
        let rules = directory.with_extension("rules");
        let mut set = |key: &str, value: OsString| node.env.push((key.into(), value));
        set("LD_PRELOAD", built_library("diskfaults").into());
        set("DISKFAULTS_DIR", directory.into());
        set("DISKFAULTS_RULES", rules.clone().into());
        let disk = BadDisk { rules };
        disk.mend();
        disk
    }

    /// From now on this goes wrong. Counting starts anew; what has struck before is forgotten.
    ///
    /// # Panics
    /// When the test's directory cannot be written.
    pub fn set(&self, rules: &str) {
        // Under another name first: the node must never read half a rule.
        let whole = self.rules.with_extension("whole");
        fs::write(&whole, format!("{rules}\n{REMEMBER}\n")).expect("the test's directory can be written");
        let _ = fs::remove_file(self.struck_file());
        fs::rename(&whole, &self.rules).expect("the test's directory can be written");
    }

    /// From now on nothing goes wrong.
    ///
    /// # Panics
    /// See [`BadDisk::set`].
    pub fn mend(&self) {
        self.set("");
    }

    /// What has gone wrong since the rules were last set, one line each.
    pub fn struck(&self) -> Vec<String> {
        let text = fs::read_to_string(self.struck_file()).unwrap_or_default();
        text.lines().map(Into::into).collect()
    }

    fn struck_file(&self) -> PathBuf {
        let mut name = self.rules.clone().into_os_string();
        name.push(".fired");
        name.into()
    }
}
