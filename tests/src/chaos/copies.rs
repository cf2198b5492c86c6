//! Copies of data directories: put back later, or started beside the original.
//!
//! A copy is older than what its member has promised since. A member that comes back with one must not take part: it would
//! vote and acknowledge as if it had promised nothing. It has to say so and stop, and then a blank one takes its place.

use std::fs;
use std::path::{Path, PathBuf};

use super::campaign::Campaign;
use super::pass;
use super::schedule::Step;
use crate::cluster::Node;
use crate::{proxy, wait_until};

/// A directory larger than this is not copied.
const COPY_BYTES_MAX: u64 = 1 << 30;

/// Entries that a node acknowledges after it was copied and before the copy comes into use.
const PROMISED_SINCE: u64 = 30;

/// Parts of what a node says before it stops on such a copy, or beside its original.
const WORDS: [&str; 2] = ["older than what this server has promised", "another server uses this identity"];

impl Campaign<'_> {
    /// Puts a copy back in place of a directory that went on, and replaces the member when it has stopped.
    pub(super) fn restore(&mut self, victim: usize, step: &Step) {
        let Some(copy) = self.copied(victim, step) else { return };
        let node = &self.cluster.nodes[victim];
        self.watch.remove(node);
        self.end(&[node], if step.choice.is_multiple_of(2) { Node::kill } else { Node::stop });
        pass(step.then);
        fs::remove_dir_all(&node.dir).expect("the test's directory can be written");
        fs::rename(&copy, &node.dir).expect("the test's directory can be written");
        self.network.open(node.address());
        let from = node.printed().len();
        let _ready = node.spawn(None);
        wait_until(&format!("{} to stop on an older copy of its directory", node.name), || !node.is_running());
        stopped_with_words(node, from);
        self.network.close(node.address());
        self.replace_ended(victim);
    }

    /// Starts a copy beside the original, until one of them has stopped, and replaces the original if it was that one.
    pub(super) fn clone_member(&mut self, victim: usize, step: &Step) {
        let Some(copy) = self.copied(victim, step) else { return };
        let node = &self.cluster.nodes[victim];
        let mut clone = Node::new(copy.parent().expect("it lies in the cluster's directory"), &node.name);
        clone.dir = copy;
        clone.env.clone_from(&node.env);
        let (from, of_clone) = (node.printed().len(), clone.printed().len());
        let _ready = clone.spawn(None);
        wait_until(&format!("{} or a copy of it to stop", node.name), || !clone.is_running() || !node.is_running());
        if clone.is_running() {
            clone.kill();
        } else {
            stopped_with_words(&clone, of_clone);
        }
        if !node.is_running() {
            stopped_with_words(node, from);
            self.watch.remove(node);
            self.network.close(node.address());
            self.replace_ended(victim);
        }
    }

    fn replace_ended(&mut self, victim: usize) {
        self.remove(victim);
        let name = self.new_name();
        proxy::add_node(&mut self.cluster, &mut self.network, &name);
        self.watch_newest();
    }

    /// A copy of a node's directory, taken while it stood still, after which it has promised more.
    fn copied(&self, victim: usize, step: &Step) -> Option<PathBuf> {
        let node = &self.cluster.nodes[victim];
        let bytes = bytes_below(&node.dir);
        self.event(&format_args!("{}: {}, {} MB", step.fault, node.name, bytes >> 20));
        if bytes > COPY_BYTES_MAX {
            self.event(&"  not tried: the directory is too large");
            return None;
        }
        let copy = node.dir.with_extension("copy");
        node.freeze();
        copy_directory(&node.dir, &copy);
        node.thaw();
        let newest = || node.status().and_then(|status| status.last_log).unwrap_or(0);
        let at_copy = newest();
        wait_until(&format!("{} to promise more", node.name), || newest() > at_copy + PROMISED_SINCE);
        pass(step.hold);
        Some(copy)
    }
}

fn stopped_with_words(node: &Node, from: usize) {
    let printed = node.printed();
    let said = printed.get(from..).unwrap_or_default();
    let names_it = WORDS.iter().any(|words| said.contains(words));
    assert!(names_it, "{} stopped, but with none of {WORDS:?}:\n{said}", node.name);
}

fn bytes_below(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    files.filter_map(|file| file.metadata().ok()).map(|found| found.len()).sum()
}

/// Plain files only: sockets belong to a process.
fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the test's directory can be written");
    for entry in fs::read_dir(from).expect("a node has a directory").filter_map(Result::ok) {
        let kind = entry.file_type().expect("it is there");
        if kind.is_dir() {
            copy_directory(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("a frozen node leaves its files alone");
        }
    }
}
