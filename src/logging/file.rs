//! Log files: one for each severity, each holding its own lines and the worse ones.
//!
//! `mesos-master.host.user.log.INFO.20261122-194631.12345`, with a link `mesos-master.INFO` to the latest.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::line::{Moment, Severity};

/// The open files of one program.
pub struct LogFiles {
    dir: PathBuf,
    program: String,
    /// Whether a file begins with glog's lines about itself.
    heading: bool,
    /// By severity; opened at the first line.
    open: [Option<File>; Severity::ALL.len()],
}

impl LogFiles {
    pub fn new(dir: &Path, program: &str) -> LogFiles {
        LogFiles { dir: dir.to_owned(), program: program.to_owned(), heading: true, open: [None, None, None] }
    }

    /// The same, but nothing but lines is in the files.
    pub fn without_heading(self) -> LogFiles {
        LogFiles { heading: false, ..self }
    }

    /// Writes a line to the files of its severity and of all that are lesser, down to `least`.
    pub fn write(&mut self, severity: Severity, least: Severity, line: &[u8]) {
        for file in Severity::ALL.into_iter().filter(|file| (least..=severity).contains(file)) {
            // A full disk must not stop the process, and the next line tries again.
            let _ = self.open(file).and_then(|mut file| file.write_all(line));
        }
    }

    /// The file of a severity, made with glog's heading and linked if it is not open.
    pub fn open(&mut self, severity: Severity) -> io::Result<&File> {
        let slot = severity as usize;
        if self.open[slot].is_none() {
            self.open[slot] = Some(self.create(severity)?);
        }
        self.open[slot].as_ref().ok_or_else(|| io::Error::other("just opened"))
    }

    fn create(&self, severity: Severity) -> io::Result<File> {
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
        let host = host.unwrap_or_else(|_| "unknown".to_owned());
        let name = self.file_name(severity, &host);
        let path = self.dir.join(&name);
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        let Moment { year, month, day, hour, minute, second, .. } = Moment::now();
        if self.heading {
            write!(
                file,
                "Log file created at: {year}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}\n\
                 Running on machine: {host}\n\
                 Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n"
            )?;
        }
        self.link(severity, &name);
        Ok(file)
    }

    fn file_name(&self, severity: Severity, host: &str) -> String {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
        let user = user.map_or_else(|| "invalid-user".to_owned(), |user| user.name);
        let Moment { year, month, day, hour, minute, second, .. } = Moment::now();
        let (program, severity, pid) = (&self.program, severity.name(), std::process::id());
        format!(
            "{program}.{host}.{user}.log.{severity}.{year}{month:02}{day:02}-{hour:02}{minute:02}{second:02}.{pid}"
        )
    }

    /// Lets `program.SEVERITY` lead to the new file, without a moment in which it leads nowhere.
    fn link(&self, severity: Severity, name: &str) {
        let link = self.dir.join(format!("{}.{}", self.program, severity.name()));
        let fresh = self.dir.join(format!(".{name}.link"));
        // Logging works without it.
        let _ = symlink(name, &fresh).and_then(|()| std::fs::rename(&fresh, &link));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_lines_are_in_the_lesser_files_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = LogFiles::new(dir.path(), "mesos-test");
        files.write(Severity::Info, Severity::Info, b"one\n");
        files.write(Severity::Error, Severity::Info, b"two\n");
        let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let info = text("mesos-test.INFO");
        assert!(info.starts_with("Log file created at: "), "{info}");
        assert!(info.ends_with("file:line] msg\none\ntwo\n"), "{info}");
        assert!(text("mesos-test.WARNING").ends_with("msg\ntwo\n"));
        assert!(text("mesos-test.ERROR").ends_with("msg\ntwo\n"));
        let target = std::fs::read_link(dir.path().join("mesos-test.INFO")).unwrap();
        let target = target.to_string_lossy().into_owned();
        assert!(target.starts_with("mesos-test.") && target.contains(".log.INFO.20"), "{target}");
        assert!(target.ends_with(&format!(".{}", std::process::id())), "{target}");
        assert!(!dir.path().join(".hidden").exists());
    }

    #[test]
    fn lines_below_the_least_have_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = LogFiles::new(dir.path(), "mesos-test");
        files.write(Severity::Error, Severity::Warning, b"two\n");
        assert!(!dir.path().join("mesos-test.INFO").exists());
        assert!(dir.path().join("mesos-test.WARNING").exists());
    }
}
