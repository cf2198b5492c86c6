//! Where a profile lives: one directory, private to its owner, used by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The profile when none is named.
pub const DEFAULT: &str = "default";

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Nothing says where this user's data goes.
    #[error("neither HOME nor XDG_DATA_HOME is set: say where to keep the data with --data-dir")]
    NoHome,
    /// A name that is no single directory.
    #[error("`{0}` cannot be a profile: letters, digits, `-`, `_` and `.` are expected, not beginning with `.`")]
    Name(String),
    /// Another process has it.
    #[error("another program uses this profile already ({0}): close it, or choose another with --profile")]
    InUse(PathBuf),
    /// The file system says no.
    #[error("cannot use {path}: {source}")]
    Io {
        /// What could not be made or opened.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The directory of a profile below the user's data directory.
///
/// # Errors
/// The name is no name, or the user has no directory.
pub fn directory(profile: &str) -> Result<PathBuf, ProfileError> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    below(profile, variable("XDG_DATA_HOME"), variable("HOME"))
}

fn below(profile: &str, data: Option<PathBuf>, home: Option<PathBuf>) -> Result<PathBuf, ProfileError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if profile.is_empty() || profile.len() > 64 || profile.starts_with('.') || !profile.chars().all(fits) {
        return Err(ProfileError::Name(profile.chars().take(64).collect()));
    }
    // The specification says that a relative path is to be ignored.
    let data = data.filter(|path| path.is_absolute()).or_else(|| home.map(|home| home.join(".local/share")));
    Ok(data.ok_or(ProfileError::NoHome)?.join("samira").join(profile))
}

/// A profile's directory, held against other processes until it is dropped or the process ends, however that happens.
#[derive(Debug)]
pub struct Profile {
    directory: PathBuf,
    _lock: File,
}

impl Profile {
    /// Makes the directory if need be, with no rights for others, and takes it.
    ///
    /// # Errors
    /// Another process has it, or it cannot be made.
    pub fn open(directory: &Path) -> Result<Self, ProfileError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| ProfileError::Io { path, source }
        };
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(failed(parent))?;
        }
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(directory)(error)),
            _ => {}
        }
        let lock_path = directory.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ProfileError::InUse(directory.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(&lock_path)(error)),
        }
        Ok(Self { directory: directory.to_owned(), _lock: lock })
    }

    /// The database in it, made without rights for others if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn database(&self) -> Result<PathBuf, ProfileError> {
        let path = self.directory.join("profile.db");
        let failed = |source| ProfileError::Io { path: path.clone(), source };
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
        // SQLite gives its other files the rights of this one.
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_profiles_live() {
        let path = |text: &str| Some(PathBuf::from(text));
        let check = |profile, data, home, expected: &str| {
            assert_eq!(below(profile, data, home).map_err(|error| error.to_string()), Ok(expected.into()));
        };
        check("default", None, path("/home/al"), "/home/al/.local/share/samira/default");
        check("work-2", path("/data"), path("/home/al"), "/data/samira/work-2");
        check("x", path("relative"), path("/h"), "/h/.local/share/samira/x");
        assert!(matches!(below("x", None, None), Err(ProfileError::NoHome)));
        for name in ["", ".", "..", ".x", "a/b", "é", &"x".repeat(65)] {
            assert!(matches!(below(name, None, path("/h")), Err(ProfileError::Name(_))), "{name}");
        }
    }

    #[test]
    fn one_process_at_a_time_and_nobody_else_may_look() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("deep/er");
        let profile = Profile::open(&directory).unwrap();
        let database = profile.database().unwrap();
        assert!(matches!(Profile::open(&directory), Err(ProfileError::InUse(path)) if path == directory));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&database), mode(&directory.join("lock"))), (0o700, 0o600, 0o600));
        drop(profile);
        assert!(Profile::open(&directory).is_ok());
    }
}
