//! A node that stood still (SIGSTOP, a machine that slept) finds requests in its sockets that their clients have long given
//! up. To come back with a token twice would look like theft, and end the device.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use tests::chat_client::Client;
use tests::cluster::Cluster;
use tests::legacy_client::password;
use tests::{now, wait_for, wait_until};
use wire::chat::item::Token;
use wire::chat::reply::Session;
use wire::chat::request::{Resume, Signup};
use wire::chat::{Code, Reply, Request};
use wire::codec::Codec;

/// Longer than a node may be late without noticing that it stood still.
const STANDSTILL: Duration = Duration::from_secs(4);

/// A device and its newest token.
#[derive(Clone, Copy)]
struct Device {
    device: u64,
    token: Option<Token>,
}

fn of_session(session: &Session<'_>) -> Device {
    Device { device: session.device, token: session.token }
}

impl Device {
    fn signed_up(address: SocketAddr) -> Device {
        let password = password("ann");
        let signup = Request::Signup(Signup { username: "ann", password: &password, ..Signup::default() });
        let mut client = Client::connect(address, Codec::Samira2).unwrap();
        let session = client.ask(signup, |reply| match reply {
            Reply::Session(session) => Ok(of_session(&session)),
            other => bail!("{other:?}"),
        });
        session.unwrap()
    }

    fn request(&self) -> Request<'static> {
        Request::Resume(Resume { device: self.device, token: self.token, ..Resume::default() })
    }

    /// Comes back at a node, on a connection of its own.
    fn come_back(&mut self, address: SocketAddr) {
        *self = wait_for("a session with a majority", || {
            let mut client = Client::connect(address, Codec::Samira2).unwrap();
            let answer = client.ask(self.request(), |reply| match reply {
                Reply::Session(session) if session.stale => Ok(None),
                Reply::Session(session) => Ok(Some(of_session(&session))),
                Reply::Error(error) if error.code == Code::Unavailable => Ok(None),
                other => bail!("{other:?}"),
            });
            answer.unwrap()
        });
    }
}

#[test]
fn a_thawed_node_logs_nobody_out() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let (elsewhere, frozen) = (cluster.nodes[leader].address(), &cluster.nodes[(leader + 1) % 3]);
    let mut ann = Device::signed_up(elsewhere);
    for stays in [false, true] {
        let mut left = Client::connect(frozen.address(), Codec::Samira2).unwrap();
        frozen.freeze();
        let since = now();
        let asked = left.send(ann.request()).unwrap();
        let left = stays.then_some(left);
        // The second time shows the successor of that token, which is worth nothing from then on.
        ann.come_back(elsewhere);
        ann.come_back(elsewhere);
        // A client that has gone without a word leaves nothing but the time by which to tell.
        wait_until("the standstill", || !stays || since.elapsed() > STANDSTILL);
        frozen.thaw();
        if let Some(mut left) = left {
            let answer = left.answer(asked, |reply| match reply {
                Reply::Error(error) => Ok(error.code),
                other => bail!("{other:?}"),
            });
            assert_eq!(answer.unwrap(), Code::Unavailable);
        }
        ann.come_back(frozen.address());
        ann.come_back(elsewhere);
    }
    cluster.stop();
}
