//! Password hashing, on threads of its own: one hash takes tens of milliseconds and nine mebibytes.
//!
//! What clients send, the lowercase hexadecimal SHA-256 of the password, is the secret that is hashed here. The queue is
//! bounded, so that a flood of logins is told to come again instead of delaying everybody for ever.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::oneshot;

/// OWASP's Argon2id setting of small memory: KiB, passes, lanes.
const COST: (u32, u32, u32) = (9 * 1024, 4, 1);

/// Hashes that may wait. At about 15 ms each on two threads the last one is done after two seconds, well within the ten
/// that clients wait.
const QUEUE_MAX: usize = 256;

/// A hash that no password has, of the same cost: an unknown name is not told apart by its time.
const NOBODY: &str = "$argon2id$v=19$m=9216,t=4,p=1$bm9ib2R5IGlzIG5hbWVk$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a password was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PasswordError {
    /// Too many wait already.
    #[error("too many passwords are waiting to be hashed")]
    Busy,
    /// The threads have stopped, or the operating system has no randomness for a salt.
    #[error("passwords cannot be hashed")]
    Failed,
}

type Job = Box<dyn FnOnce(&Argon2<'_>) + Send>;

/// Handle to the password threads. They stop when the last handle is dropped.
#[derive(Debug, Clone)]
pub(super) struct Passwords {
    jobs: SyncSender<Job>,
}

impl Passwords {
    /// Starts the threads. Idle ones sleep in the kernel and hold no memory for hashing.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(super) fn start(threads: usize) -> io::Result<Passwords> {
        let (jobs, queue) = sync_channel::<Job>(QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(format!("password-{number}")).spawn(move || serve(&queue))?;
        }
        Ok(Passwords { jobs })
    }

    /// Hashes a new password, under a random salt, into PHC text form.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub(super) async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.run(move |argon2| {
            let mut salt = [0; 16];
            getrandom::fill(&mut salt).map_err(|_| PasswordError::Failed)?;
            let salt = SaltString::encode_b64(&salt).map_err(|_| PasswordError::Failed)?;
            let hash = argon2.hash_password(password.as_bytes(), &salt).map_err(|_| PasswordError::Failed)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether `password` is the one of `hash`. Without a hash (nobody has that name) the answer is no, after the same
    /// time.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        self.run(move |argon2| {
            let text = hash.as_deref().unwrap_or(NOBODY);
            let parsed = PasswordHash::new(text).map_err(|_| PasswordError::Failed)?;
            let right = argon2.verify_password(password.as_bytes(), &parsed).is_ok();
            Ok(right && hash.is_some())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'_>) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |argon2: &Argon2<'_>| {
            // Whoever asked may have left; then the work is saved.
            if !answer.is_closed() {
                let _ = answer.send(work(argon2));
            }
        });
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => PasswordError::Busy,
            TrySendError::Disconnected(_) => PasswordError::Failed,
        })?;
        answered.await.unwrap_or(Err(PasswordError::Failed))
    }
}

fn serve(queue: &Mutex<Receiver<Job>>) {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).expect("the cost is within Argon2's bounds");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    loop {
        // One thread waits for a job and the others for the lock; the lock is free again before the job runs.
        let next = queue.lock().expect("no holder of this lock can panic: it only receives").recv();
        match next {
            Ok(job) => job(&argon2),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_fits_its_hash() {
        let passwords = Passwords::start(2).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
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
    fn the_hash_of_nobody_costs_what_a_real_one_does() {
        let parsed = PasswordHash::new(NOBODY).unwrap();
        let params = Params::try_from(&parsed).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), COST);
        assert_eq!(parsed.hash.unwrap().len(), 32);
    }

    #[test]
    fn a_full_queue_is_busy() {
        let passwords = Passwords::start(1).unwrap();
        let (entered_tx, entered) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let block = Box::new(move |_: &Argon2<'_>| {
            entered_tx.send(()).unwrap();
            let _ = released.recv();
        });
        passwords.jobs.try_send(block).unwrap();
        entered.recv().unwrap();
        for _ in 0..QUEUE_MAX {
            passwords.jobs.try_send(Box::new(|_| {})).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(passwords.verify("x".into(), None)), Err(PasswordError::Busy));
        drop(release);
    }
}
