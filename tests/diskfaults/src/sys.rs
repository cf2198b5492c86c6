//! System calls made directly, so that nothing here comes back through the functions this library replaces.

use std::ffi::{CStr, c_int, c_void};

use libc::{iovec, off_t, size_t, ssize_t};

/// A file in the watched directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    /// Without its directory.
    pub(crate) name: Vec<u8>,
    /// Whole, ending in a zero byte.
    pub(crate) path: Vec<u8>,
    pub(crate) inode: libc::ino_t,
    pub(crate) length: off_t,
}

/// What the operators of the node see; it must stay writable for the test to see it too.
const LOG_FILE: &[u8] = b"node.log";

fn status(fd: c_int) -> Option<libc::stat> {
    // SAFETY: all zeros are a valid value of this plain C structure.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for the call, which only writes into it.
    let result = unsafe { libc::fstat(fd, &raw mut status) };
    (result == 0).then_some(status)
}

/// Length of an open file.
pub(crate) fn length(fd: c_int) -> Option<off_t> {
    status(fd).map(|status| status.st_size)
}

/// Where the next write to an open file goes; `None` for its end.
pub(crate) fn position(fd: c_int) -> Option<off_t> {
    // SAFETY: no memory is involved.
    let (flags, position) = unsafe { (libc::fcntl(fd, libc::F_GETFL), libc::lseek(fd, 0, libc::SEEK_CUR)) };
    (flags & libc::O_APPEND == 0 && position >= 0).then_some(position)
}

/// What `fd` is, if it is an existing regular file in `directory`.
pub(crate) fn watched(fd: c_int, directory: &[u8]) -> Option<Watched> {
    let status = status(fd).filter(|status| status.st_mode & libc::S_IFMT == libc::S_IFREG)?;
    let mut path = vec![0_u8; 4096];
    let link = format!("/proc/self/fd/{fd}\0");
    // SAFETY: the name ends with a zero byte, and the buffer is as long as is said.
    let length = unsafe { libc::readlink(link.as_ptr().cast(), path.as_mut_ptr().cast(), path.len() - 1) };
    path.truncate(usize::try_from(length).ok()?);
    let name = path.strip_prefix(directory)?.strip_prefix(b"/")?.to_vec();
    let ours = status.st_nlink > 0 && name != LOG_FILE && !name.contains(&b'/');
    path.push(0);
    ours.then_some(Watched { name, path, inode: status.st_ino, length: status.st_size })
}

/// An environment variable.
pub(crate) fn environment(name: &CStr) -> Option<Vec<u8>> {
    let value = super::getenv(name);
    // SAFETY: what is not null is a string that ends with a zero byte; nobody changes the environment of a node.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes().to_vec())
}

fn open(path: &[u8], flags: c_int) -> Option<c_int> {
    let mut path = path.to_vec();
    path.push(0);
    // SAFETY: the path ends with a zero byte.
    let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags | libc::O_CLOEXEC, 0o600) };
    c_int::try_from(fd).ok().filter(|fd| *fd >= 0)
}

fn close(fd: c_int) {
    // SAFETY: only descriptors that `open` returned come here, once.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// A whole small file; `None` if it is not there.
pub(crate) fn read_file(path: &[u8]) -> Option<Vec<u8>> {
    let fd = open(path, libc::O_RDONLY)?;
    let mut content = vec![0; 4096];
    let count = pread(fd, content.as_mut_ptr().cast(), content.len(), 0);
    close(fd);
    content.truncate(usize::try_from(count).ok()?);
    Some(content)
}

/// Adds a line to a file.
pub(crate) fn append(path: &[u8], line: &[u8]) {
    if let Some(fd) = open(path, libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT) {
        let line = [line, b"\n"].concat();
        write(fd, line.as_ptr().cast(), line.len());
        close(fd);
    }
}

/// Puts bytes back into a file that is still the one they came from, and its length if that is given.
pub(crate) fn restore(path: &[u8], inode: libc::ino_t, pieces: &[(off_t, &[u8])], length: Option<off_t>) {
    let Some(fd) = open(path.strip_suffix(&[0]).unwrap_or(path), libc::O_WRONLY) else { return };
    if status(fd).is_some_and(|status| status.st_ino == inode) {
        for (offset, bytes) in pieces {
            pwrite(fd, bytes.as_ptr().cast(), bytes.len(), *offset);
        }
        if let Some(length) = length {
            ftruncate(fd, length);
        }
    }
    close(fd);
}

/// What a file holds at `offset`, at most `count` bytes; `None` if it was not opened for reading.
pub(crate) fn content(fd: c_int, offset: off_t, count: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; count];
    let read = pread(fd, bytes.as_mut_ptr().cast(), count, offset);
    bytes.truncate(usize::try_from(read).ok()?);
    Some(bytes)
}

/// Ends the process as `kill -9` does.
pub(crate) fn die() -> ! {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        // SAFETY: as above. The signal is on its way.
        unsafe { libc::pause() };
    }
}

/// Answers a call as failed for this reason.
pub(crate) fn fail(errno: c_int) -> ssize_t {
    // SAFETY: the C library gives each thread its own, valid for as long as the thread.
    unsafe { *libc::__errno_location() = errno };
    -1
}

fn result(value: libc::c_long) -> ssize_t {
    ssize_t::try_from(value).unwrap_or(-1)
}

pub(crate) fn pwrite(fd: c_int, bytes: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    // SAFETY: here and below: the caller's arguments, unchanged, for the call they were meant for. The kernel checks them.
    result(unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, count, offset) })
}

pub(crate) fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: see above.
    result(unsafe { libc::syscall(libc::SYS_write, fd, bytes, count) })
}

pub(crate) fn writev(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: see above.
    result(unsafe { libc::syscall(libc::SYS_writev, fd, pieces, count) })
}

pub(crate) fn pread(fd: c_int, bytes: *mut c_void, count: size_t, offset: off_t) -> ssize_t {
    // SAFETY: see above.
    result(unsafe { libc::syscall(libc::SYS_pread64, fd, bytes, count, offset) })
}

pub(crate) fn ftruncate(fd: c_int, length: off_t) -> ssize_t {
    // SAFETY: see above.
    result(unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) })
}

pub(crate) fn fsync(fd: c_int) -> ssize_t {
    // SAFETY: see above.
    result(unsafe { libc::syscall(libc::SYS_fsync, fd) })
}

pub(crate) fn fdatasync(fd: c_int) -> ssize_t {
    // SAFETY: see above.
    result(unsafe { libc::syscall(libc::SYS_fdatasync, fd) })
}
