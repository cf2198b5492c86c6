//! Password hashing, on a thread of its own: one hash takes tens of milliseconds and nine mebibytes.
//!
//! What clients send, the lowercase hexadecimal SHA-256 of the password, is the secret that is hashed here. The queue is
//! bounded, so that a flood of logins is told to come again instead of delaying everybody for ever. One thread, so that
//! consensus keeps a core of a small machine to itself whatever comes.
//!
//! Whoever is impatient hangs up and comes back with the same password. Were those who have left served in their turn,
//! nobody who is still there would be, so everybody would hang up, for ever. Therefore those come last who send nothing
//! any more ([`Passwords::asked_by`]), and they are the first to be turned away.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;

use argon2::password_hash::{Ident, Output, ParamsString, PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::oneshot;
use wire::limits::PASSWORD_DIGITS;

/// OWASP's Argon2id setting of small memory: KiB, passes, lanes.
const COST: (u32, u32, u32) = (9 * 1024, 4, 1);

/// Hashes that may wait. At about 25 ms each the last one is done after some three seconds, well within the ten that
/// clients wait.
const QUEUE_MAX: usize = 128;

/// Blocks of a kibibyte that are reserved; those not needed are never touched and so cost no memory. Allocators map an
/// area this large separately (glibc: above 32 MiB in any case) and hand it back to the system when it is dropped;
/// smaller ones stay with the process for good.
const RESERVED_BLOCKS: usize = 33 * 1024;

/// A hash that no password has, of the same cost: an unknown name is not told apart by its time.
const NOBODY: &str = "$argon2id$v=19$m=9216,t=4,p=1$bm9ib2R5IGlzIG5hbWVk$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What a client hears that sends something else than [`is_digest`] takes.
pub(super) const NO_DIGEST: &str = "a password is sent as 64 lowercase hexadecimal digits: the SHA-256 of its UTF-8 text in \
                                    normal form C, and never in clear";

/// Whether this is what clients send of a password.
pub(super) fn is_digest(password: &str) -> bool {
    password.len() == PASSWORD_DIGITS && password.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Why a password was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PasswordError {
    /// Too many wait already.
    #[error("too many passwords are waiting to be hashed")]
    Busy,
    /// The thread has stopped, a stored hash is damaged, or the operating system has no randomness for a salt.
    #[error("passwords cannot be hashed")]
    Failed,
}

type Work = Box<dyn FnOnce(&mut Hasher) + Send>;

/// A password that waits.
struct Job {
    work: Work,
    asker: Option<Weak<()>>,
}

impl Job {
    /// Nobody is known to wait for it any more.
    fn is_left(&self) -> bool {
        self.asker.as_ref().is_some_and(|asker| asker.strong_count() == 0)
    }
}

/// What waits for the thread.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding this lock")
    }

    fn push(&self, job: Job) -> Result<(), PasswordError> {
        let mut state = self.lock();
        if state.closed {
            return Err(PasswordError::Failed);
        }
        if state.jobs.len() >= QUEUE_MAX {
            let left = state.jobs.iter().position(Job::is_left).ok_or(PasswordError::Busy)?;
            state.jobs.remove(left);
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }
}

/// Ends the thread when the last handle is gone.
struct Handle(Arc<Queue>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_one();
    }
}

/// Handle to the password thread. It stops when the last handle is dropped.
#[derive(Clone)]
pub(super) struct Passwords {
    handle: Arc<Handle>,
    /// Who asks; none: somebody who does not leave.
    asker: Option<Weak<()>>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(..)")
    }
}

impl Passwords {
    /// Starts the thread. While it has nothing to do it sleeps in the kernel and holds no memory for hashing.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start() -> io::Result<Passwords> {
        let queue = Arc::new(Queue::default());
        let served = Arc::clone(&queue);
        thread::Builder::new().name("password".into()).spawn(move || serve(&served))?;
        Ok(Passwords { handle: Arc::new(Handle(queue)), asker: None })
    }

    /// The same, for somebody who may leave: once `asker` is dropped, everybody else comes first.
    pub(super) fn asked_by(mut self, asker: &Arc<()>) -> Passwords {
        self.asker = Some(Arc::downgrade(asker));
        self
    }

    /// Hashes a new password, under a random salt, into PHC text form.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub(super) async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.run(move |hasher| hasher.hash(&password).ok_or(PasswordError::Failed)).await
    }

    /// Whether `password` is the one of `hash`. Without a hash (nobody has that name) the answer is no, after the same
    /// time.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        self.run(move |hasher| {
            let right = hasher.verify(&password, hash.as_deref().unwrap_or(NOBODY)).ok_or(PasswordError::Failed)?;
            Ok(right && hash.is_some())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Hasher) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move |hasher: &mut Hasher| {
            // The task that asked may have ended; then the work is saved.
            if !answer.is_closed() {
                let _ = answer.send(work(hasher));
            }
        });
        self.handle.0.push(Job { work, asker: self.asker.clone() })?;
        // Pushed out by somebody who was still there.
        answered.await.unwrap_or(Err(PasswordError::Busy))
    }
}

fn serve(queue: &Queue) {
    let mut hasher = Hasher { memory: Vec::new() };
    let mut state = queue.lock();
    loop {
        let first = state.jobs.iter().position(|job| !job.is_left()).unwrap_or(0);
        if let Some(job) = state.jobs.remove(first) {
            drop(state);
            (job.work)(&mut hasher);
            state = queue.lock();
        } else if state.closed {
            return;
        } else {
            hasher.memory = Vec::new();
            state = queue.changed.wait(state).expect("nobody panics while holding this lock");
        }
    }
}

/// Argon2id with its working memory, kept from one hash to the next.
struct Hasher {
    memory: Vec<Block>,
}

impl Hasher {
    fn hash(&mut self, password: &str) -> Option<String> {
        let (memory, passes, lanes) = COST;
        let params = Params::new(memory, passes, lanes, None).ok()?;
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).ok()?;
        let output = self.derive(&params, password, &salt)?;
        let salt = SaltString::encode_b64(&salt).ok()?;
        let hash = PasswordHash {
            algorithm: Ident::from(Algorithm::Argon2id),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).ok()?,
            salt: Some(salt.as_salt()),
            hash: Some(output),
        };
        Some(hash.to_string())
    }

    fn verify(&mut self, password: &str, hash: &str) -> Option<bool> {
        let hash = PasswordHash::new(hash).ok()?;
        if Algorithm::try_from(hash.algorithm) != Ok(Algorithm::Argon2id) || hash.version != Some(Version::V0x13.into())
        {
            return None;
        }
        let params = Params::try_from(&hash).ok()?;
        let mut salt = [0; 64];
        let salt = hash.salt?.decode_b64(&mut salt).ok()?;
        let output = self.derive(&params, password, salt)?;
        // Outputs compare in constant time.
        Some(output == hash.hash?)
    }

    fn derive(&mut self, params: &Params, password: &str, salt: &[u8]) -> Option<Output> {
        let blocks = params.block_count();
        self.memory.reserve_exact(RESERVED_BLOCKS.saturating_sub(self.memory.len()));
        self.memory.resize(blocks, Block::new());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        argon2
            .hash_password_into_with_memory(password.as_bytes(), salt, &mut output, &mut self.memory[..blocks])
            .ok()?;
        Output::new(&output).ok()
    }
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher, PasswordVerifier};

    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// Keeps the thread busy until what is returned is dropped.
    fn kept_busy(queue: &Queue) -> std::sync::mpsc::Sender<()> {
        let (free, busy) = std::sync::mpsc::channel();
        let (begun, has_begun) = std::sync::mpsc::channel();
        let work = Box::new(move |_: &mut Hasher| {
            begun.send(()).unwrap();
            let _ = busy.recv();
        });
        queue.push(Job { work, asker: None }).unwrap();
        has_begun.recv().unwrap();
        free
    }

    #[test]
    fn only_the_right_password_fits_its_hash() {
        let passwords = Passwords::start().unwrap();
        block_on(async {
            let hash = passwords.hash("secret".into()).await.unwrap();
            assert!(hash.starts_with("$argon2id$v=19$m=9216,t=4,p=1$"), "{hash}");
            assert_ne!(hash, passwords.hash("secret".into()).await.unwrap(), "salts differ");
            assert_eq!(passwords.verify("secret".into(), Some(hash.clone())).await, Ok(true));
            assert_eq!(passwords.verify("Secret".into(), Some(hash)).await, Ok(false));
            assert_eq!(passwords.verify("secret".into(), None).await, Ok(false));
            assert_eq!(passwords.verify("secret".into(), Some("damaged".into())).await, Err(PasswordError::Failed));
        });
    }

    #[test]
    fn who_has_left_comes_last_and_makes_room() {
        let passwords = Passwords::start().unwrap();
        let queue = &passwords.handle.0;
        // Until everybody has asked.
        let free = kept_busy(queue);
        let (order, done) = std::sync::mpsc::channel();
        let (here, gone) = (Arc::new(()), Arc::new(()));
        let ask = |name: usize, asker: &Arc<()>| {
            let order = order.clone();
            let work = Box::new(move |_: &mut Hasher| order.send(name).unwrap());
            queue.push(Job { work, asker: Some(Arc::downgrade(asker)) })
        };
        for name in 0..QUEUE_MAX {
            ask(name, if name < 3 { &gone } else { &here }).unwrap();
        }
        assert_eq!(ask(QUEUE_MAX, &here), Err(PasswordError::Busy), "everybody is still there");
        drop(gone);
        // In the place of one who has left.
        ask(QUEUE_MAX, &here).unwrap();
        drop((free, order));
        assert_eq!(done.iter().collect::<Vec<_>>(), (3..=QUEUE_MAX).chain(1..3).collect::<Vec<_>>());
    }

    #[test]
    fn hashes_are_those_of_the_library() {
        let mut hasher = Hasher { memory: Vec::new() };
        let ours = hasher.hash("secret").unwrap();
        let library = Argon2::default();
        assert_eq!(library.verify_password(b"secret", &PasswordHash::new(&ours).unwrap()), Ok(()));
        let (memory, passes, lanes) = (64, 2, 1);
        let params = Params::new(memory, passes, lanes, None).unwrap();
        let library = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt = SaltString::encode_b64(b"some salt").unwrap();
        let theirs = library.hash_password(b"secret", &salt).unwrap();
        assert_eq!(hasher.verify("secret", &theirs.to_string()), Some(true));
        assert_eq!(hasher.verify("other", &theirs.to_string()), Some(false));
    }

    #[test]
    fn the_hash_of_nobody_costs_what_a_real_one_does() {
        let parsed = PasswordHash::new(NOBODY).unwrap();
        let params = Params::try_from(&parsed).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), COST);
        assert_eq!(parsed.hash.unwrap().len(), Params::DEFAULT_OUTPUT_LEN);
        assert_eq!(Hasher { memory: Vec::new() }.verify("anything", NOBODY), Some(false));
    }

    #[test]
    fn a_full_queue_is_busy() {
        let passwords = Passwords::start().unwrap();
        let queue = &passwords.handle.0;
        let _free = kept_busy(queue);
        for _ in 0..QUEUE_MAX {
            queue.push(Job { work: Box::new(|_| {}), asker: None }).unwrap();
        }
        assert_eq!(block_on(passwords.verify("x".into(), None)), Err(PasswordError::Busy));
    }
}
