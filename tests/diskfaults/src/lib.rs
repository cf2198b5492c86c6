//! A bad disk, for tests: a library that is loaded (`LD_PRELOAD`) into the real, unchanged `node` and stands between it and
//! the calls that write and flush its files.
//!
//! Two environment variables of the process say what it works on:
//!
//! * `DISKFAULTS_DIR`: the node's data directory; files elsewhere, its log file and its sockets are left alone.
//! * `DISKFAULTS_RULES`: a file of the test that says what goes wrong, see [`rules`]. It is read again before each call, so
//!   that a test can change its mind. What has gone wrong is added, one line each, to a file beside it that ends in
//!   `.fired`.
//!
//! A process that is killed loses nothing: what it has written is in the kernel. So the library can also cut the power: it
//! remembers what every write since the last flush has replaced, and puts that back before it kills the process, see
//! [`power`]. What survives is then exactly what was flushed.
//!
//! All calls on watched files run one after the other. Files that are mapped into memory are not seen; SQLite maps only
//! the index of its write-ahead log, which means nothing after a crash.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "functions of the C library cannot be replaced without; each use says why it is sound")]

mod power;
mod rules;
mod sys;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, OnceLock, PoisonError};

use libc::{iovec, off_t, size_t, ssize_t};

use self::power::Power;
use self::rules::{Action, Operation, Rules};
use self::sys::Watched;

/// What the process was started with.
struct Settings {
    directory: Vec<u8>,
    rules: Vec<u8>,
    fired: Vec<u8>,
}

fn settings() -> Option<&'static Settings> {
    static SETTINGS: OnceLock<Option<Settings>> = OnceLock::new();
    SETTINGS
        .get_or_init(|| {
            let rules = sys::environment(c"DISKFAULTS_RULES")?;
            let mut fired = rules.clone();
            fired.extend(b".fired");
            Some(Settings { directory: sys::environment(c"DISKFAULTS_DIR")?, rules, fired })
        })
        .as_ref()
}

/// The disk, as far as it has to remember anything.
struct Disk {
    rules: Rules,
    power: Power,
}

static DISK: Mutex<Disk> = Mutex::new(Disk { rules: Rules::none(), power: Power::new() });

/// One call on its way to the disk.
struct Call<'a> {
    fd: c_int,
    operation: Operation,
    /// Bytes from `offset` on that the call replaces; `None` for the end of the file.
    range: Option<(Option<off_t>, usize)>,
    /// For a write, how to do only the first half of it.
    half: Option<&'a dyn Fn()>,
}

/// Does `real`, unless a rule for this file says otherwise.
fn through(call: &Call<'_>, real: impl FnOnce() -> ssize_t) -> ssize_t {
    let Some(settings) = settings() else { return real() };
    let Some(file) = sys::watched(call.fd, &settings.directory) else { return real() };
    let mut disk = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    let disk = &mut *disk;
    if let Some(text) = sys::read_file(&settings.rules) {
        disk.rules.read(&text);
    }
    let grows = call.range.is_some_and(|(offset, count)| {
        offset.unwrap_or(file.length).saturating_add(off_t::try_from(count).unwrap_or(off_t::MAX)) > file.length
    });
    let struck = disk.rules.strike(&file.name, call.operation, grows);
    let Some((line, action)) = struck else { return disk.carry_out(call, &file, real) };
    sys::append(&settings.fired, line.as_bytes());
    match action {
        Action::Fail(errno) => sys::fail(errno),
        Action::KillBefore => sys::die(),
        Action::KillAfter => {
            disk.carry_out(call, &file, real);
            sys::die()
        }
        Action::CutBefore(keep) => disk.power.cut(keep),
        Action::CutAfter(keep) => {
            disk.carry_out(call, &file, real);
            disk.power.cut(keep)
        }
        Action::Tear => {
            if let Some(half) = call.half {
                half();
            }
            sys::die()
        }
    }
}

impl Disk {
    fn carry_out(&mut self, call: &Call<'_>, file: &Watched, real: impl FnOnce() -> ssize_t) -> ssize_t {
        if let Some((offset, count)) = call.range
            && self.rules.power_may_fail()
        {
            self.power.before_write(call.fd, file, offset.unwrap_or(file.length), count);
        }
        let result = real();
        if call.operation == Operation::Flush && result == 0 {
            self.power.flushed(file);
        }
        result
    }
}

fn write_call<'a>(fd: c_int, offset: Option<off_t>, count: usize, half: &'a dyn Fn()) -> Call<'a> {
    Call { fd, operation: Operation::Write, range: Some((offset, count)), half: Some(half) }
}

/// Stands for the C library's function of that name.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    let half = || {
        sys::pwrite(fd, bytes, count / 2, offset);
    };
    through(&write_call(fd, Some(offset), count, &half), || sys::pwrite(fd, bytes, count, offset))
}

/// Stands for the C library's function of that name.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn pwrite(fd: c_int, bytes: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    // SAFETY: the same contract; off_t has 64 bits wherever this is built.
    unsafe { pwrite64(fd, bytes, count, offset) }
}

/// Stands for the C library's function of that name. What it does to files that were opened for appending or writing
/// only cannot be undone, so a power cut loses nothing of it.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    let half = || {
        sys::write(fd, bytes, count / 2);
    };
    through(&write_call(fd, sys::position(fd), count, &half), || sys::write(fd, bytes, count))
}

/// Stands for the C library's function of that name.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn writev(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t {
    through(&write_call(fd, None, 1, &|| ()), || sys::writev(fd, pieces, count))
}

/// Stands for the C library's function of that name.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn pread64(fd: c_int, bytes: *mut c_void, count: size_t, offset: off_t) -> ssize_t {
    let call = Call { fd, operation: Operation::Read, range: None, half: None };
    through(&call, || sys::pread(fd, bytes, count, offset))
}

/// Stands for the C library's function of that name.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    let range = sys::length(fd).map(|old| {
        let (from, to) = (old.min(length), old.max(length));
        (Some(from), usize::try_from(to - from).unwrap_or(0))
    });
    let call = Call { fd, operation: Operation::Write, range, half: None };
    narrow(through(&call, || sys::ftruncate(fd, length)))
}

/// Stands for the C library's function of that name.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { ftruncate64(fd, length) }
}

/// Stands for the C library's function of that name.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    let call = Call { fd, operation: Operation::Flush, range: None, half: None };
    narrow(through(&call, || sys::fdatasync(fd)))
}

/// Stands for the C library's function of that name.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    let call = Call { fd, operation: Operation::Flush, range: None, half: None };
    narrow(through(&call, || sys::fsync(fd)))
}

/// The C library's function of that name, for the rules: [`mod@std::env`] takes a lock that the interrupted code may hold.
fn getenv(name: &CStr) -> *const c_char {
    // SAFETY: the name ends with a zero byte.
    unsafe { libc::getenv(name.as_ptr()) }
}

/// These functions answer 0 or -1.
fn narrow(result: ssize_t) -> c_int {
    if result < 0 { -1 } else { 0 }
}
