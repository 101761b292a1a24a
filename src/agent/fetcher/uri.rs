//! What a URI means: where it is, what its file is called, whether that is an archive. Pure.

use std::path::{Component, Path, PathBuf};

/// Why a URI, or a path within the sandbox, is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum UriError {
    #[error("Illegal characters in URI")]
    IllegalCharacters,
    #[error("Malformed URI (missing path): {0}")]
    MissingPath(String),
    #[error("Malformed URI (missing file name): {0}")]
    MissingName(String),
    #[error("File URI only supports absolute paths")]
    RelativeFile,
    #[error(
        "A relative path was passed for the resource but the Mesos framework home was not specified. \
         Please either provide this config option or avoid using a relative path"
    )]
    NoFrameworksHome,
    #[error("URI output file path is empty")]
    EmptyOutputFile,
    #[error("URI output file must be within the sandbox directory")]
    OutputFileOutside,
}

/// Where a resource is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Local(PathBuf),
    Http(String),
    Ftp(String),
    /// Whatever else: the Hadoop client may know it.
    Hadoop(String),
}

/// What its file is called in the sandbox: all behind the last slash, a query included.
///
/// Source: `Fetcher::basename`, fetcher.cpp 1.11, which lets names like `..` pass.
pub fn basename(uri: &str) -> Result<&str, UriError> {
    if uri.contains(['\\', '\'', '\0']) {
        return Err(UriError::IllegalCharacters);
    }
    let path = match uri.find("://") {
        Some(index) if index > 1 => {
            let rest = &uri[index + 3..];
            let slash = rest.find('/').ok_or_else(|| UriError::MissingPath(uri.to_owned()))?;
            if rest.len() == slash + 1 {
                return Err(UriError::MissingPath(uri.to_owned()));
            }
            rest
        }
        _ => uri.trim_end_matches('/'),
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    if matches!(name, "" | "." | "..") {
        return Err(UriError::MissingName(uri.to_owned()));
    }
    Ok(name)
}

/// Where a URI leads. A path or `file://` is local; a relative path begins at `frameworks_home`.
///
/// Source: `Fetcher::uriToLocalPath`, fetcher.cpp 1.11.
pub fn place(uri: &str, frameworks_home: Option<&Path>) -> Result<Place, UriError> {
    let uri = uri.trim_start();
    basename(uri)?;
    if let Some(path) = uri.strip_prefix("file://") {
        let path = path.strip_prefix("localhost").unwrap_or(path);
        return if path.starts_with('/') {
            Ok(Place::Local(path.into()))
        } else {
            Err(UriError::RelativeFile)
        };
    }
    let Some((scheme, _)) = uri.split_once("://") else {
        if uri.starts_with('/') {
            return Ok(Place::Local(uri.into()));
        }
        let home = frameworks_home.filter(|home| !home.as_os_str().is_empty());
        return Ok(Place::Local(home.ok_or(UriError::NoFrameworksHome)?.join(uri)));
    };
    match scheme {
        "http" | "https" => Ok(Place::Http(uri.to_owned())),
        "ftp" | "ftps" => Ok(Place::Ftp(uri.to_owned())),
        _ => Ok(Place::Hadoop(uri.to_owned())),
    }
}

/// The file's path below the sandbox: `output_file` if given, else the URI's own name.
///
/// Source: `Fetcher::validateOutputFile`, fetcher.cpp 1.11, which lets `..` pass.
pub fn target(uri: &str, output_file: Option<&str>) -> Result<PathBuf, UriError> {
    let name = basename(uri.trim_start())?;
    match output_file {
        None => Ok(name.into()),
        Some("") => Err(UriError::EmptyOutputFile),
        Some(path) if path.contains('\0') => Err(UriError::IllegalCharacters),
        Some(path) => inside(Path::new(path)).ok_or(UriError::OutputFileOutside),
    }
}

/// The path without `.`, if it is relative, climbs nowhere and names something.
pub fn inside(path: &Path) -> Option<PathBuf> {
    let mut kept = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => kept.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!kept.as_os_str().is_empty()).then_some(kept)
}

/// Whether a symbolic link in a directory `depth` levels below the sandbox stays within the sandbox,
/// whatever else may come to lie on its way.
///
/// `..` is allowed at the start only: behind a name it may be taken from where another link leads.
pub fn link_stays_inside(depth: usize, link: &Path) -> bool {
    let mut climbs = 0;
    let mut named = false;
    for part in link.components() {
        match part {
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            Component::ParentDir if named => return false,
            Component::ParentDir => climbs += 1,
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    climbs <= depth
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Tar(Compression),
    Zip,
    /// One file.
    Single(Compression),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// How a file of that name is packed, told by its ending; `None` if it is no archive.
///
/// Source: `extract`, launcher/fetcher.cpp 1.11; zst is ours.
pub fn packing(name: &str) -> Option<Packing> {
    const ENDINGS: [(&str, Packing); 12] = [
        (".tar", Packing::Tar(Compression::None)),
        (".tgz", Packing::Tar(Compression::Gzip)),
        (".tar.gz", Packing::Tar(Compression::Gzip)),
        (".tbz2", Packing::Tar(Compression::Bzip2)),
        (".tar.bz2", Packing::Tar(Compression::Bzip2)),
        (".txz", Packing::Tar(Compression::Xz)),
        (".tar.xz", Packing::Tar(Compression::Xz)),
        (".tzst", Packing::Tar(Compression::Zstd)),
        (".tar.zst", Packing::Tar(Compression::Zstd)),
        (".zip", Packing::Zip),
        (".gz", Packing::Single(Compression::Gzip)),
        (".zst", Packing::Single(Compression::Zstd)),
    ];
    ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, packing)| *packing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        assert_eq!(basename("http://host/a/b.tgz"), Ok("b.tgz"));
        assert_eq!(basename("http://host/a?x=1"), Ok("a?x=1"));
        assert_eq!(basename("/usr/bin/env"), Ok("env"));
        assert_eq!(basename("env"), Ok("env"));
        assert_eq!(basename("hdfs:///a"), Ok("a"));
        for uri in ["http://host", "http://host/"] {
            assert_eq!(basename(uri), Err(UriError::MissingPath(uri.to_owned())));
        }
        for uri in ["http://host/a/", "", "/", "a/..", "http://host/.."] {
            assert_eq!(basename(uri), Err(UriError::MissingName(uri.to_owned())));
        }
        for uri in ["a\\b", "it's", "a\0"] {
            assert_eq!(basename(uri), Err(UriError::IllegalCharacters));
        }
    }

    #[test]
    fn places() {
        let local = |path: &str| Ok(Place::Local(path.into()));
        assert_eq!(place("/a/b", None), local("/a/b"));
        assert_eq!(place(" /a/b", None), local("/a/b"));
        assert_eq!(place("file:///a", None), local("/a"));
        assert_eq!(place("file://localhost/a", None), local("/a"));
        assert_eq!(place("file://a/b", None), Err(UriError::RelativeFile));
        assert_eq!(place("a/b", Some(Path::new("/home"))), local("/home/a/b"));
        assert_eq!(place("a", None), Err(UriError::NoFrameworksHome));
        assert_eq!(place("a", Some(Path::new(""))), Err(UriError::NoFrameworksHome));
        assert_eq!(place("https://h/a", None), Ok(Place::Http("https://h/a".to_owned())));
        assert_eq!(place("s3n://h/a", None), Ok(Place::Hadoop("s3n://h/a".to_owned())));
        assert_eq!(place("ftp://h/a", None), Ok(Place::Ftp("ftp://h/a".to_owned())));
    }

    #[test]
    fn output_files_stay_inside() {
        assert_eq!(target("/a/b", None), Ok("b".into()));
        assert_eq!(target("/a/b", Some("x/./y")), Ok("x/y".into()));
        assert_eq!(target("/a/b", Some("")), Err(UriError::EmptyOutputFile));
        for path in ["/x", "../x", "x/../../y", "."] {
            assert_eq!(target("/a/b", Some(path)), Err(UriError::OutputFileOutside), "{path}");
        }
    }

    #[test]
    fn links_stay_inside() {
        let stays = |depth, link: &str| link_stays_inside(depth, Path::new(link));
        assert!(stays(0, "a/b") && stays(1, "../a") && stays(2, ".././../a"));
        assert!(!stays(0, "../a") && !stays(1, "../../a") && !stays(9, "/etc/passwd"));
        // `a/b` may become a link to `.`, and then this leads out.
        assert!(!stays(0, "a/b/../.."));
    }

    #[test]
    fn packings() {
        assert_eq!(packing("a.tar.gz"), Some(Packing::Tar(Compression::Gzip)));
        assert_eq!(packing("a.gz"), Some(Packing::Single(Compression::Gzip)));
        assert_eq!(packing("a.zip"), Some(Packing::Zip));
        assert_eq!(packing("a.jar"), None);
        assert_eq!(packing("tar"), None);
    }
}
