//! Password hashing, on a thread of its own: one hash takes tens of milliseconds and nine mebibytes.
//!
//! What clients send, the lowercase hexadecimal SHA-256 of the password, is the secret that is hashed here. The queue is
//! bounded, so that a flood of logins is told to come again instead of delaying everybody for ever. One thread, so that
//! consensus keeps a core of a small machine to itself whatever comes.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread;

use argon2::password_hash::{Ident, Output, ParamsString, PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::oneshot;

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

type Job = Box<dyn FnOnce(&mut Hasher) + Send>;

/// Handle to the password thread. It stops when the last handle is dropped.
#[derive(Debug, Clone)]
pub(super) struct Passwords {
    jobs: SyncSender<Job>,
}

impl Passwords {
    /// Starts the thread. While it has nothing to do it sleeps in the kernel and holds no memory for hashing.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start() -> io::Result<Passwords> {
        let (jobs, queue) = sync_channel::<Job>(QUEUE_MAX);
        thread::Builder::new().name("password".into()).spawn(move || serve(&queue))?;
        Ok(Passwords { jobs })
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
        let job = Box::new(move |hasher: &mut Hasher| {
            // Whoever asked may have left; then the work is saved.
            if !answer.is_closed() {
                let _ = answer.send(work(hasher));
            }
        });
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => PasswordError::Busy,
            TrySendError::Disconnected(_) => PasswordError::Failed,
        })?;
        answered.await.unwrap_or(Err(PasswordError::Failed))
    }
}

fn serve(queue: &Receiver<Job>) {
    let mut hasher = Hasher { memory: Vec::new() };
    loop {
        let next = match queue.try_recv() {
            Err(TryRecvError::Empty) => {
                hasher.memory = Vec::new();
                queue.recv().map_err(|_| TryRecvError::Disconnected)
            }
            next => next,
        };
        match next {
            Ok(job) => job(&mut hasher),
            Err(_) => return,
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
        let (entered_tx, entered) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let block = Box::new(move |_: &mut Hasher| {
            entered_tx.send(()).unwrap();
            let _ = released.recv();
        });
        passwords.jobs.try_send(block).unwrap();
        entered.recv().unwrap();
        for _ in 0..QUEUE_MAX {
            passwords.jobs.try_send(Box::new(|_| {})).unwrap();
        }
        assert_eq!(block_on(passwords.verify("x".into(), None)), Err(PasswordError::Busy));
        drop(release);
    }
}
