//! From names to a standing connection: every address that a name stands for is tried, one shortly after the other.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::limits::{DIAL_STAGGER, DIAL_TARGETS_MAX, RESOLVES_MAX};
use crate::listen::unmapped;

/// Look-ups of names under way. One that hangs holds a thread until the system gives up, whoever still waits for it.
static RESOLVES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(RESOLVES_MAX)));

/// Whether an address means something on one cable only, so that it is of no use to a machine on another.
pub fn is_link_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Host and port; an IPv6 address stands in brackets, and may name its interface (`[fe80::1%eth0]:5555`).
pub fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    Some((bare.unwrap_or(host), port.parse().ok()?))
}

/// An address that needs no look-up.
pub fn literal(address: &str) -> Option<SocketAddr> {
    address.parse().ok().map(unmapped)
}

/// Every address that `HOST:PORT` stands for now, the two families in turn.
///
/// # Errors
/// There is none.
pub async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some(literal) = literal(address) {
        return Ok(vec![literal]);
    }
    let Some((host, port)) = split(address) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not HOST:PORT"));
    };
    let seat = RESOLVES.clone().acquire_owned().await.map_err(io::Error::other)?;
    let host = host.to_owned();
    let looked_up = move || {
        let _seat = seat;
        (host.as_str(), port).to_socket_addrs().map(|found| found.map(unmapped).collect::<Vec<_>>())
    };
    let found = tokio::task::spawn_blocking(looked_up).await.map_err(io::Error::other)??;
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name stands for no address"));
    }
    Ok(in_turn(found))
}

/// The families in turn, beginning with that of the first address: where one of them leads nowhere, only every other attempt
/// is lost.
fn in_turn(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut of_first, mut of_other): (VecDeque<_>, VecDeque<_>) =
        found.into_iter().partition(|address| address.is_ipv6() == first);
    let mut turns = Vec::with_capacity(of_first.len() + of_other.len());
    while !of_first.is_empty() || !of_other.is_empty() {
        turns.extend(of_first.pop_front());
        turns.extend(of_other.pop_front());
    }
    let mut known = Vec::new();
    turns.retain(|address| !known.contains(address) && (known.push(*address), true).1);
    turns
}

/// What came of a look-up or of an attempt.
enum Step<T> {
    Found(String, io::Result<Vec<SocketAddr>>),
    Tried(SocketAddr, io::Result<T>),
}

/// Tries everything that `candidates` stand for and returns the first success, with its address. The next attempt begins
/// [`DIAL_STAGGER`] after the one before, or at once when that has failed; look-ups go on beside the attempts. The others
/// end with the first success.
///
/// # Errors
/// All have failed: what each said.
pub async fn first<T, F>(candidates: &[String], attempt: impl Fn(SocketAddr) -> F) -> io::Result<(T, SocketAddr)>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut steps = JoinSet::new();
    for candidate in candidates {
        let candidate = candidate.clone();
        match literal(&candidate) {
            Some(address) => drop(steps.spawn(async move { Step::Found(candidate, Ok(vec![address])) })),
            None => drop(steps.spawn(async move {
                let found = resolve(&candidate).await;
                Step::Found(candidate, found)
            })),
        }
    }
    let mut waiting = VecDeque::new();
    let mut known = Vec::new();
    let mut said = Vec::new();
    let mut under_way = 0_usize;
    loop {
        if under_way == 0
            && let Some(next) = waiting.pop_front()
        {
            begin(&mut steps, next, &attempt);
            under_way += 1;
        }
        let step = tokio::select! {
            step = steps.join_next() => step,
            () = tokio::time::sleep(DIAL_STAGGER), if !waiting.is_empty() => {
                if let Some(next) = waiting.pop_front() {
                    begin(&mut steps, next, &attempt);
                    under_way += 1;
                }
                continue;
            }
        };
        match step {
            None => return Err(io::Error::other(said.join("; "))),
            Some(Err(error)) => return Err(io::Error::other(error)),
            Some(Ok(Step::Found(_, Ok(found)))) => {
                for address in found {
                    if known.len() < DIAL_TARGETS_MAX && !known.contains(&address) {
                        known.push(address);
                        waiting.push_back(address);
                    }
                }
            }
            Some(Ok(Step::Found(candidate, Err(error)))) => said.push(format!("{candidate}: {error}")),
            Some(Ok(Step::Tried(address, Ok(done)))) => return Ok((done, address)),
            Some(Ok(Step::Tried(address, Err(error)))) => {
                under_way -= 1;
                said.push(format!("{address}: {error}"));
                if let Some(next) = waiting.pop_front() {
                    begin(&mut steps, next, &attempt);
                    under_way += 1;
                }
            }
        }
    }
}

fn begin<T, F>(steps: &mut JoinSet<Step<T>>, address: SocketAddr, attempt: &impl Fn(SocketAddr) -> F)
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let trying = attempt(address);
    drop(steps.spawn(async move { Step::Tried(address, trying.await) }));
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_and_ports_are_told_apart() {
        assert_eq!(split("name:1"), Some(("name", 1)));
        assert_eq!(split("[::1]:2"), Some(("::1", 2)));
        assert_eq!(split("[fe80::1%eth0]:2"), Some(("fe80::1%eth0", 2)));
        assert_eq!((split("name"), split("name:x")), (None, None));
        assert_eq!(literal("[::ffff:127.0.0.1]:3"), Some(at("127.0.0.1:3")), "the same machine has one spelling");
        assert_eq!(literal("localhost:3"), None);
    }

    #[test]
    fn addresses_of_one_cable_are_known() {
        for (text, expected) in [
            ("fe80::1", true),
            ("169.254.7.7", true),
            ("::ffff:169.254.7.7", true),
            ("10.0.0.1", false),
            ("fd00::1", false),
        ] {
            assert_eq!(is_link_local(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn families_take_turns() {
        let found = ["[::1]:1", "[::2]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "1.0.0.3:1"].map(at);
        let expected = ["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "1.0.0.3:1"].map(at);
        assert_eq!(in_turn(found.to_vec()), expected);
    }

    #[tokio::test]
    async fn a_silent_address_costs_a_moment_and_a_refused_one_nothing() {
        let tried = Arc::new(Mutex::new(Vec::new()));
        let begun = tokio::time::Instant::now();
        let candidates = ["1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1", "1.0.0.1:1"].map(str::to_owned);
        let record = tried.clone();
        let (found, address) = first(&candidates, move |address| {
            record.lock().unwrap().push((address, begun.elapsed()));
            async move {
                match address.to_string().as_str() {
                    "1.0.0.1:1" => std::future::pending().await,
                    "1.0.0.2:1" => Err(io::ErrorKind::ConnectionRefused.into()),
                    _ => Ok("here"),
                }
            }
        })
        .await
        .unwrap();
        assert_eq!((found, address), ("here", at("1.0.0.3:1")));
        let tried = tried.lock().unwrap();
        let order: Vec<String> = tried.iter().map(|(address, _)| address.to_string()).collect();
        assert_eq!(order, ["1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1"], "each once");
        assert!(tried[0].1 < tried[1].1 && tried[1].1 >= DIAL_STAGGER, "{tried:?}");
    }

    #[tokio::test]
    async fn what_each_address_said_is_told() {
        let candidates = ["1.0.0.1:1", "1.0.0.2:1"].map(str::to_owned);
        let error = first(&candidates, |_| async { Err::<(), _>(io::ErrorKind::ConnectionRefused.into()) }).await;
        let said = error.unwrap_err().to_string();
        assert!(said.contains("1.0.0.1:1: ") && said.contains("1.0.0.2:1: "), "{said}");
        assert!(first(&[], |_| async { Ok(()) }).await.is_err());
    }
}
