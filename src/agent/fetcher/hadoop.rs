//! What the Hadoop client fetches: `hdfs:`, `s3a:` and whatever else it is configured for.
//!
//! Source: hdfs/hdfs.cpp 1.11.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::base::end::End;

#[derive(Debug, thiserror::Error)]
pub enum HadoopError {
    #[error("Failed to create HDFS client: Hadoop client is not available: '{}': {error}", program.display())]
    Client { program: PathBuf, error: io::Error },
    #[error(
        "{what} failed: Unexpected result from the subprocess: status='{end}', stdout='{out}', stderr='{err}'"
    )]
    Failed { what: &'static str, end: End, out: String, err: String },
    #[error("HDFS du failed: unexpected output '{0}'")]
    Size(String),
}

/// Copies to `target`, which must not be there. The sandbox's stdout shows what ran.
pub fn copy_to_local(uri: &str, target: &Path) -> Result<(), HadoopError> {
    let client = client();
    println!("HDFS command: {} fs -copyToLocal '{uri}' '{}'", client.display(), target.display());
    let (out, err) =
        run("HDFS copyToLocal", &client, &["-copyToLocal".as_ref(), uri.as_ref(), target.as_os_str()])?;
    // Warnings, which are worth having beside what was fetched.
    let _ = io::stdout().write_all(out.as_bytes());
    let _ = io::stderr().write_all(err.as_bytes());
    Ok(())
}

/// How large a file is, in bytes.
pub fn size(uri: &str) -> Result<u64, HadoopError> {
    let (out, _) = run("HDFS du", &client(), &["-du".as_ref(), uri.as_ref()])?;
    size_of(&out).ok_or(HadoopError::Size(out))
}

/// `--hadoop_home`, which the agent hands on so, or what PATH has.
fn client() -> PathBuf {
    client_of(std::env::var_os("HADOOP_HOME"))
}

fn client_of(home: Option<OsString>) -> PathBuf {
    match home.filter(|home| !home.is_empty()) {
        Some(home) => Path::new(&home).join("bin").join("hadoop"),
        None => "hadoop".into(),
    }
}

/// Standard output and error of a client that succeeded.
fn run(
    what: &'static str,
    client: &Path,
    arguments: &[&std::ffi::OsStr],
) -> Result<(String, String), HadoopError> {
    let mut command = Command::new(client);
    command.arg("fs").args(arguments).stdin(Stdio::null());
    let failed = |error| HadoopError::Client { program: client.to_owned(), error };
    let output = command.output().map_err(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    match End::from(output.status) {
        end if end.is_success() => Ok((out, err)),
        end => Err(HadoopError::Failed {
            what,
            end,
            out: out.trim_end().to_owned(),
            err: err.trim_end().to_owned(),
        }),
    }
}

/// The first number of the line about the file; old clients print a header above it.
fn size_of(output: &str) -> Option<u64> {
    output.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let size = words.next()?.parse().ok()?;
        words.next().map(|_| size)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_found() {
        assert_eq!(client_of(Some("/opt/hadoop".into())), Path::new("/opt/hadoop/bin/hadoop"));
        assert_eq!(client_of(Some("".into())), Path::new("hadoop"));
        assert_eq!(client_of(None), Path::new("hadoop"));
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(size_of("1234  /a/b\n"), Some(1234));
        assert_eq!(size_of("1234  3702  hdfs://h/a/b\n"), Some(1234));
        assert_eq!(size_of("Found 1 items\n12 hdfs://h/a\n"), Some(12));
        assert_eq!(size_of("du: no such file\n"), None);
    }

    #[test]
    fn a_client_that_is_not_there_or_fails_says_so() {
        let missing = run("HDFS du", Path::new("/no/such/hadoop"), &[]).unwrap_err().to_string();
        assert!(
            missing.contains("Hadoop client is not available: '/no/such/hadoop': No such file"),
            "{missing}"
        );
        let failed = run("HDFS du", Path::new("/bin/false"), &[]).unwrap_err().to_string();
        assert!(failed.starts_with("HDFS du failed: Unexpected result from the subprocess: status='exited"));
    }
}
