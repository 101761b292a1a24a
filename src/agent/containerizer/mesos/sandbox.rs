//! The sandbox: made before anything runs, with the two files that all in the container write to.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::agent::paths;
use crate::posix::user::Identity;

#[derive(Debug, thiserror::Error)]
#[error("Failed to {what} '{path}': {error}")]
pub struct SandboxError {
    what: &'static str,
    path: PathBuf,
    error: io::Error,
}

/// Where the output of a container goes.
#[derive(Debug)]
pub struct Output {
    pub stdout: File,
    pub stderr: File,
}

/// Makes the sandbox of `owner`, closed to others; the folders above that are not there yet let anybody
/// through. It may be there already, but not be a link. `latest` beside it leads to it.
///
/// Source: `createSandboxDirectory`, paths.cpp 1.11.
pub fn prepare(directory: &Path, owner: Option<&Identity>) -> Result<Output, SandboxError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |error| SandboxError { what, path, error }
    };
    if let Some(parent) = directory.parent() {
        make_passable(parent).map_err(failed("create", parent))?;
    }
    match DirBuilder::new().mode(0o750).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("create sandbox", directory)(error));
        }
        _ => {}
    }
    let is_directory = directory.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    if !is_directory {
        return Err(failed("create sandbox", directory)(io::ErrorKind::NotADirectory.into()));
    }
    // Once more, as the umask of the agent counts above.
    fs::set_permissions(directory, Permissions::from_mode(0o750)).map_err(failed("chmod", directory))?;
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| {
        let path = directory.join(name);
        let file = open(&path).map_err(failed("open", &path))?;
        give(owner, &path).map_err(failed("chown", &path))?;
        Ok(file)
    });
    let output = Output { stdout: stdout?, stderr: stderr? };
    give(owner, directory).map_err(failed("chown", directory))?;
    let latest = paths::latest(directory);
    point(&latest, directory).map_err(failed("link", &latest))?;
    Ok(output)
}

/// Makes the link, or turns it around in one step: somebody may be following it.
fn point(link: &Path, directory: &Path) -> io::Result<()> {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let temporary = link.with_file_name(format!(".latest-{name}"));
    std::os::unix::fs::symlink(directory, &temporary)?;
    fs::rename(&temporary, link)
}

/// `mkdir -p`, with folders that any user may pass through whatever the agent's umask says.
fn make_passable(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make_passable(parent)?;
    }
    match fs::create_dir(directory) {
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(0o755)),
        // Another container of the same executor's folder was as quick.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// A link in place of the file would have been put there by somebody else.
fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
    OpenOptions::new().append(true).create(true).mode(0o644).custom_flags(flags).open(path)
}

fn give(owner: Option<&Identity>, path: &Path) -> io::Result<()> {
    let Some(owner) = owner else { return Ok(()) };
    std::os::unix::fs::lchown(path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_all_that_is_needed() {
        let top = tempfile::tempdir().unwrap();
        let sandbox = top.path().join("a/b/c");
        prepare(&sandbox, None).unwrap();
        let mode = |path: &str| fs::metadata(top.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a"), mode("a/b"), mode("a/b/c")), (0o755, 0o755, 0o750));
        assert!(sandbox.join("stdout").is_file() && sandbox.join("stderr").is_file());
        prepare(&sandbox, None).unwrap();
    }

    #[test]
    fn refuses_links_and_files() {
        let top = tempfile::tempdir().unwrap();
        let link = top.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(prepare(&link, None).unwrap_err().to_string().starts_with("Failed to create sandbox"));
        fs::write(top.path().join("file"), "").unwrap();
        assert!(prepare(&top.path().join("file"), None).is_err());
        let sandbox = top.path().join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        std::os::unix::fs::symlink("/dev/null", sandbox.join("stdout")).unwrap();
        assert!(prepare(&sandbox, None).unwrap_err().to_string().starts_with("Failed to open"));
    }
}
