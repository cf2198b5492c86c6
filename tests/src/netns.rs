//! Separate machines without separate machines: Linux network namespaces, each with its own addresses, joined by a
//! bridge that can be split.
//!
//! A namespace lives as long as a process in it, so each is held by a process that ends when the test does, even when
//! that is killed: nothing has a name and nothing is left behind. It takes root, or a system that lets everybody make
//! user namespaces: then the test runs itself again inside one, where it is root.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::not_run;

/// Tells a test that it runs inside a user namespace already.
const INSIDE: &str = "SAMIRA_TEST_INSIDE";

/// Network of the [`Lan`]: machine `n` is 10.77.0.n.
const NETWORK: [u8; 3] = [10, 77, 0];

/// The same over IPv6: machine `n` is fd77::n.
const NETWORK6: u16 = 0xfd77;

/// Runs the test called `name`, whose whole body is `body`, where namespaces can be made. Says so loudly where they can
/// not.
///
/// # Panics
/// When the test fails inside.
pub fn on_separate_machines(name: &str, body: impl FnOnce()) {
    let made = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let missing = if !made(Command::new("ip").arg("-V")) {
        "the program `ip` is missing (Debian: apt-get install iproute2)"
    } else if made(Command::new("unshare").args(["--net", "true"])) {
        return body();
    } else if std::env::var_os(INSIDE).is_none()
        && made(Command::new("unshare").args(["--map-root-user", "--net", "true"]))
    {
        let mut again = Command::new("unshare");
        again.args(["--map-root-user", "--net", "--"]).arg(std::env::current_exe().expect("a program has a path"));
        let status = again.args([name, "--exact", "--nocapture"]).env(INSIDE, "1").status().expect("unshare runs");
        assert!(status.success(), "{name} failed inside a user namespace: {status}");
        return;
    } else {
        "network namespaces can be made neither as this user nor in a user namespace"
    };
    not_run(name, missing);
}

/// A namespace and the process that holds it.
#[derive(Debug)]
struct Namespace {
    holder: Child,
    file: File,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It has ended already if the test is being killed.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Namespace {
    fn new() -> Self {
        let namespace = Namespace::held(&["--net"], "echo up; exec cat", "net");
        namespace.ip("link set lo up");
        namespace
    }

    /// Of a kind that /proc calls `kind`, held by a shell that runs `script` and says that it is there.
    fn held(unshare: &[&str], script: &str, kind: &str) -> Self {
        let mut holder = Command::new("unshare")
            .args(unshare)
            .args(["--", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        // Before that it may still be in our namespace.
        let mut up = [0; 3];
        holder.stdout.as_mut().expect("asked for").read_exact(&mut up).expect("a namespace can be made");
        let file = File::open(format!("/proc/{}/ns/{kind}", holder.id())).expect("it runs");
        Namespace { holder, file }
    }

    /// Runs `ip` inside.
    fn ip(&self, words: &str) {
        let output = self.command("ip").args(words.split_whitespace()).output().expect("nsenter runs");
        assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.holder.id().to_string()).args(["--net", "--", program]);
        command
    }
}

/// One machine: addresses of its own, its own loopback, and one cable to the switch.
#[derive(Debug, Clone)]
pub struct Machine {
    namespace: Arc<Namespace>,
    /// If names mean something else there than here.
    namespace_of_files: Option<Arc<OwnFiles>>,
    number: u8,
}

/// A view of the file system in which `/etc/hosts` is another file.
#[derive(Debug)]
struct OwnFiles {
    namespace: Namespace,
    _hosts: tempfile::NamedTempFile,
}

impl OwnFiles {
    fn new(hosts: tempfile::NamedTempFile) -> Self {
        let mount = format!("mount --bind {} /etc/hosts && echo up; exec cat", hosts.path().display());
        OwnFiles { namespace: Namespace::held(&["--mount"], &mount, "mnt"), _hosts: hosts }
    }
}

impl Machine {
    /// Its address on the [`Lan`].
    pub fn ip(&self) -> Ipv4Addr {
        let [a, b, c] = NETWORK;
        Ipv4Addr::new(a, b, c, self.number)
    }

    /// Its address on the [`Lan`] over IPv6, once it has one ([`Machine::add_ipv6`]).
    pub fn ip6(&self) -> Ipv6Addr {
        Ipv6Addr::new(NETWORK6, 0, 0, 0, 0, 0, 0, self.number.into())
    }

    /// Gives it a further address: on the LAN's interface, or on one that leads nowhere.
    ///
    /// # Panics
    /// When the system does not do it.
    pub fn add_address(&self, address: &str, interface: &str) {
        if interface != "eth0" {
            self.namespace.ip(&format!("link add {interface} type bridge"));
            self.namespace.ip(&format!("link set {interface} up"));
        }
        // An address of IPv6 is of no use while the system looks whether somebody else has it.
        let flags = if address.contains(':') { "nodad" } else { "" };
        self.namespace.ip(&format!("address add {address} dev {interface} {flags}"));
    }

    /// Gives it [`Machine::ip6`]. Machines of a new LAN speak the older protocol only.
    ///
    /// # Panics
    /// When the system does not do it.
    pub fn add_ipv6(&self) {
        self.add_address(&format!("{}/64", self.ip6()), "eth0");
    }

    /// The address it has on the LAN by itself, good on that cable only; it takes a moment to become usable.
    ///
    /// # Panics
    /// When the system gives it none.
    pub fn link_local(&self) -> Ipv6Addr {
        let found = || {
            let mut command = self.namespace.command("ip");
            command.args(["-6", "-o", "address", "show", "dev", "eth0", "scope", "link"]);
            let output = command.output().expect("nsenter runs");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let (_, rest) = text.split_once("inet6 ").filter(|_| !text.contains("tentative"))?;
            rest.split('/').next()?.parse().ok()
        };
        crate::wait_for("a link-local address", found)
    }

    /// Gives it another address on the LAN instead of [`Machine::ip`] or the one that it was given last.
    ///
    /// # Panics
    /// When the system does not do it.
    pub fn renumber(&self, from: Ipv4Addr, to: Ipv4Addr) {
        self.namespace.ip(&format!("address del {from}/24 dev eth0"));
        self.namespace.ip(&format!("address add {to}/24 dev eth0"));
        self.namespace.ip(&default_route());
    }

    /// What names mean there, in lines of `/etc/hosts`. From the next start of a program on.
    ///
    /// # Panics
    /// When the test's directory cannot be written.
    pub fn set_hosts(&mut self, lines: &str) {
        let mut hosts = tempfile::NamedTempFile::new().expect("a temporary directory");
        hosts.write_all(lines.as_bytes()).expect("a temporary file can be written");
        self.namespace_of_files = Some(Arc::new(OwnFiles::new(hosts)));
    }

    /// A command that will run there: it enters the machine's network between fork and exec.
    pub fn prepare(&self, command: &mut Command) {
        let namespace = self.namespace.clone();
        crate::cluster::before_exec(command, move || enter(&namespace.file));
        if let Some(files) = self.namespace_of_files.clone() {
            crate::cluster::before_exec(command, move || {
                let namespace = files.namespace.file.as_fd();
                Ok(move_into_link_name_space(namespace, Some(LinkNameSpaceType::Mount))?)
            });
        }
    }

    /// Runs `work` on a thread of this machine. Connections made there stay there, whoever uses them later.
    ///
    /// # Panics
    /// When `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = &self.namespace.file;
        thread::scope(|scope| {
            let handle = scope.spawn(|| {
                enter(file).expect("a thread may enter what its process made");
                work()
            });
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn default_route() -> String {
    let [a, b, c] = NETWORK;
    format!("route replace default via {a}.{b}.{c}.254")
}

fn enter(namespace: &File) -> std::io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Machines on one switch.
#[derive(Debug)]
pub struct Lan {
    /// Their numbers start at 1.
    pub machines: Vec<Machine>,
    switch: Namespace,
}

impl Lan {
    /// So many machines that reach each other.
    ///
    /// # Panics
    /// When the system does not make them; see [`on_separate_machines`].
    pub fn new(machines: u8) -> Self {
        let switch = Namespace::new();
        for bridge in ["main", "island"] {
            switch.ip(&format!("link add {bridge} type bridge"));
            switch.ip(&format!("link set {bridge} up"));
        }
        let machines = (1..=machines).map(|number| {
            let machine = Machine { namespace: Arc::new(Namespace::new()), namespace_of_files: None, number };
            let holder = machine.namespace.holder.id();
            switch.ip(&format!("link add port{number} type veth peer name eth0 netns {holder}"));
            switch.ip(&format!("link set port{number} master main"));
            switch.ip(&format!("link set port{number} up"));
            machine.namespace.ip(&format!("address add {}/24 dev eth0", machine.ip()));
            machine.namespace.ip("link set eth0 up");
            // As a machine has that could reach the world.
            machine.namespace.ip(&default_route());
            machine
        });
        Lan { machines: machines.collect(), switch }
    }

    /// Cuts these machines, by their places in the list, off from the others: silently, as a broken switch would.
    ///
    /// # Panics
    /// When the system does not do it.
    pub fn cut_off(&self, machines: &[usize]) {
        self.plug(machines, "island");
    }

    /// Connects these machines with the others again.
    ///
    /// # Panics
    /// When the system does not do it.
    pub fn reconnect(&self, machines: &[usize]) {
        self.plug(machines, "main");
    }

    fn plug(&self, machines: &[usize], bridge: &str) {
        for &machine in machines {
            self.switch.ip(&format!("link set port{} master {bridge}", self.machines[machine].number));
        }
    }
}
