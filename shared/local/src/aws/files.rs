//! Files that only their owner may read, and the lock of their folder.
//!
//! A private file is replaced as a whole: written beside its place, flushed to the disk, and
//! renamed over it. A process that is killed leaves the old contents or the new ones.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::LocalError;

/// Creates `dir`, with mode 0700 on Unix. An existing folder stays unchanged: each file in it is private by itself.
pub(crate) fn make_private_folder(dir: &Path) -> Result<(), LocalError> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder
        .create(dir)
        .map_err(|source| LocalError::io(dir, source))
}

/// Creates an empty private file, or removes other users' access to an existing one.
pub(crate) fn make_private(path: &Path) -> Result<(), LocalError> {
    let file = private_options().create(true).append(true).open(path);
    let file = file.map_err(|source| LocalError::io(path, source))?;
    restrict(&file).map_err(|source| LocalError::io(path, source))
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

fn restrict(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

/// The exclusive lock of a data folder. The operating system releases it at any end of the process, so a lock file
/// that is left behind has no effect.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    pub(crate) fn take(folder: &Path) -> Result<Self, LocalError> {
        let path = folder.join("lock");
        let io = |source| LocalError::io(&path, source);
        let mut file = private_options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let pid = holder.trim().parse().ok();
                return Err(LocalError::InUse {
                    folder: folder.to_owned(),
                    pid,
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

/// A small private file, or its substitute in memory.
#[derive(Debug)]
pub(crate) enum PrivateFile {
    OnDisk(PathBuf),
    InMemory(Mutex<Option<Vec<u8>>>),
}

impl PrivateFile {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self::OnDisk(path)
    }

    pub(crate) fn in_memory() -> Self {
        Self::InMemory(Mutex::new(None))
    }

    pub(crate) fn exists(&self) -> bool {
        match self {
            Self::OnDisk(path) => path.exists(),
            Self::InMemory(bytes) => lock(bytes).is_some(),
        }
    }

    /// The contents; `None` without a file.
    pub(crate) fn read(&self) -> Result<Option<Vec<u8>>, LocalError> {
        match self {
            Self::OnDisk(path) => match File::open(path) {
                Ok(mut file) => {
                    let mut bytes = Vec::new();
                    restrict(&file)
                        .and_then(|()| file.read_to_end(&mut bytes))
                        .map_err(|source| LocalError::io(path, source))?;
                    Ok(Some(bytes))
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(LocalError::io(path, source)),
            },
            Self::InMemory(bytes) => Ok(lock(bytes).clone()),
        }
    }

    /// Replaces the contents. After `Ok` the new contents are on the disk.
    pub(crate) fn replace(&self, contents: &[u8]) -> Result<(), LocalError> {
        match self {
            Self::OnDisk(path) => write_beside_and_rename(path, contents)
                .map_err(|source| LocalError::io(path, source)),
            Self::InMemory(bytes) => {
                *lock(bytes) = Some(contents.to_vec());
                Ok(())
            }
        }
    }

    /// The error for invalid contents.
    pub(crate) fn damaged(&self, reason: &'static str) -> LocalError {
        let path = match self {
            Self::OnDisk(path) => path.clone(),
            Self::InMemory(_) => PathBuf::from("memory"),
        };
        LocalError::Damaged { path, reason }
    }
}

fn write_beside_and_rename(path: &Path, contents: &[u8]) -> io::Result<()> {
    // There is one writer: the folder is locked and each file has one owner behind a mutex. A file that a killed
    // process left under this name is overwritten.
    let beside = path.with_extension("new");
    let mut file = private_options()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&beside)?;
    restrict(&file)?;
    file.write_all(contents)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    // The rename is on the disk once the folder is.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Locks a mutex, also after a panic of another holder: the values of this crate stay consistent.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
