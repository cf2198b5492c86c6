//! A wrong clock, for tests: a library that is loaded (`LD_PRELOAD`) into the real, unchanged `node` and stands between it
//! and the calls that ask for the time of day. Clocks that only go on, which measure how long something took, stay right.
//!
//! `CLOCKFAULTS_FILE` names a file of eight bytes: the nanoseconds, a signed number in the machine's byte order, by which the
//! time of day is moved. It is mapped into memory, so a test changes the clock of a running node by writing to it.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "functions of the C library cannot be replaced without; each use says why it is sound")]

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use libc::{clockid_t, time_t, timespec, timeval};

const NANOS: i64 = 1_000_000_000;

/// By how much the time of day is moved, in nanoseconds.
fn offset() -> i64 {
    static OFFSET: OnceLock<Option<&'static AtomicI64>> = OnceLock::new();
    OFFSET.get_or_init(map).map_or(0, |offset| offset.load(Ordering::Relaxed))
}

/// The file, shared with the test for as long as the process lives.
fn map() -> Option<&'static AtomicI64> {
    // SAFETY: the name ends with a zero byte; nobody changes the environment of a node.
    let path = unsafe { libc::getenv(c"CLOCKFAULTS_FILE".as_ptr()) };
    if path.is_null() {
        return None;
    }
    // SAFETY: the path is a string that ends with a zero byte.
    let file = unsafe { libc::open(path, libc::O_RDONLY | libc::O_CLOEXEC) };
    // SAFETY: the system chooses the place; a wrong descriptor is refused.
    let mapped =
        unsafe { libc::mmap(std::ptr::null_mut(), size_of::<i64>(), libc::PROT_READ, libc::MAP_SHARED, file, 0) };
    if mapped == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: a page was mapped, aligned for everything, and it is never unmapped; whoever writes it writes eight bytes at
    // once.
    Some(unsafe { &*mapped.cast::<AtomicI64>() })
}

/// The true time, asked of the kernel itself.
fn true_time(clock: clockid_t, into: *mut timespec) -> c_int {
    // SAFETY: the caller of the replaced function vouches for the pointer, which the kernel checks as well.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, into) as c_int }
}

fn moved() -> timespec {
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    true_time(libc::CLOCK_REALTIME, &raw mut now);
    let nanos = now.tv_sec.saturating_mul(NANOS).saturating_add(now.tv_nsec).saturating_add(offset());
    timespec { tv_sec: nanos.div_euclid(NANOS), tv_nsec: nanos.rem_euclid(NANOS) }
}

/// Stands for the C library's function of that name.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, into: *mut timespec) -> c_int {
    if clock != libc::CLOCK_REALTIME && clock != libc::CLOCK_REALTIME_COARSE {
        return true_time(clock, into);
    }
    // SAFETY: the caller vouches for the pointer.
    unsafe { into.write(moved()) };
    0
}

/// Stands for the C library's function of that name.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn gettimeofday(into: *mut timeval, _zone: *mut c_void) -> c_int {
    let now = moved();
    if !into.is_null() {
        // SAFETY: the caller vouches for the pointer.
        unsafe { into.write(timeval { tv_sec: now.tv_sec, tv_usec: now.tv_nsec / 1000 }) };
    }
    0
}

/// Stands for the C library's function of that name.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn time(into: *mut time_t) -> time_t {
    let now = moved().tv_sec;
    if !into.is_null() {
        // SAFETY: the caller vouches for the pointer.
        unsafe { into.write(now) };
    }
    now
}
