//! What a process writes, kept in files of a bounded size: `stdout`, before it `stdout.1`, and so on.
//!
//! Who writes into a folder that belongs to somebody else must not be led out of it: files are made and moved
//! relative to the folder as it was opened, and none is ever opened that is there already.
//!
//! Source: slave/container_loggers/lib_logrotate.hpp 1.11, which runs a process for each stream, and logrotate.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::fchown;
use std::path::Path;
use std::process::Stdio;
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use serde::{Deserialize, Serialize};

use super::user::Identity;

/// How much of a stream is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most in one file.
    pub bytes: u64,
    /// So many files are kept besides the one that is written.
    pub files: u32,
}

/// The limits of both streams of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    pub stdout: Limits,
    pub stderr: Limits,
}

/// A file that makes way for a new one when it is full.
#[derive(Debug)]
pub struct Rotating {
    directory: OwnedFd,
    name: String,
    file: File,
    written: u64,
    limits: Limits,
    owner: Option<Identity>,
}

impl Rotating {
    /// Goes on in `file`, which is `name` in `directory`.
    pub fn open(
        directory: &Path,
        name: &str,
        file: File,
        limits: Limits,
        owner: Option<Identity>,
    ) -> io::Result<Rotating> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = open(directory, flags, Mode::empty())?;
        let written = file.metadata()?.len();
        Ok(Rotating { directory, name: name.to_owned(), file, written, limits, owner })
    }

    /// Lines stay whole where they can.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = usize::try_from(self.limits.bytes.saturating_sub(self.written)).unwrap_or(usize::MAX);
            let count = self.fitting(bytes, room);
            let (now, later) = bytes.split_at(count);
            self.file.write_all(now)?;
            self.written += count as u64;
            bytes = later;
            if !bytes.is_empty() {
                self.rotate()?;
            }
        }
        Ok(())
    }

    /// How much of the bytes goes into this file.
    fn fitting(&self, bytes: &[u8], room: usize) -> usize {
        if bytes.len() <= room {
            return bytes.len();
        }
        match bytes[..room].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if self.written > 0 => 0,
            // A line that is longer than a file.
            None => room,
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let made = self.shift().and_then(|()| self.make());
        match made {
            Ok(file) => self.file = file,
            // Somebody keeps the name for something else; what is bounded must stay so all the same.
            Err(_) => self.file.set_len(0)?,
        }
        self.written = 0;
        Ok(())
    }

    /// Every file gets the next number; the last goes. Who reads finds one under the name all the time.
    fn shift(&self) -> io::Result<()> {
        let directory = &self.directory;
        let name = |number: u32| format!("{}.{number}", self.name);
        for number in (1..self.limits.files).rev() {
            // There may be fewer as yet.
            let _ = renameat(directory, name(number).as_str(), directory, name(number + 1).as_str());
        }
        if self.limits.files == 0 {
            return Ok(());
        }
        let first = name(1);
        let _ = unlinkat(directory, first.as_str(), UnlinkatFlags::NoRemoveDir);
        match linkat(directory, self.name.as_str(), directory, first.as_str(), AtFlags::empty()) {
            // Somebody removed what was there.
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn make(&self) -> io::Result<File> {
        let directory = &self.directory;
        let temporary = format!(".{}.new", self.name);
        let flags = OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_CREAT
            | OFlag::O_EXCL
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP | Mode::S_IROTH;
        let _ = unlinkat(directory, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        let file = File::from(openat(directory, temporary.as_str(), flags, mode)?);
        if let Some(owner) = &self.owner {
            fchown(&file, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
        }
        renameat(directory, temporary.as_str(), directory, self.name.as_str())?;
        Ok(file)
    }
}

/// A stream for a process to write to, and the thread that keeps what comes until all who have it are gone.
pub fn pump(mut into: Rotating) -> io::Result<(Stdio, JoinHandle<()>)> {
    let (mut reader, writer) = io::pipe()?;
    let thread = std::thread::Builder::new().name("logger".to_owned()).spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return,
                // A disk that is full must not stop who writes.
                Ok(count) => drop(into.write(&buffer[..count])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    })?;
    Ok((writer.into(), thread))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn rotating(directory: &Path, bytes: u64, files: u32) -> Rotating {
        let file = File::options().append(true).create(true).open(directory.join("stdout")).unwrap();
        Rotating::open(directory, "stdout", file, Limits { bytes, files }, None).unwrap()
    }

    fn read(directory: &Path) -> Vec<String> {
        let name = |number| if number == 0 { "stdout".to_owned() } else { format!("stdout.{number}") };
        (0..9).map_while(|number| fs::read_to_string(directory.join(name(number))).ok()).collect()
    }

    #[test]
    fn files_are_bounded_and_lines_whole() {
        let top = tempfile::tempdir().unwrap();
        let mut out = rotating(top.path(), 10, 2);
        out.write(b"one\ntwo\nthree\n").unwrap();
        assert_eq!(read(top.path()), ["three\n", "one\ntwo\n"]);
        out.write(b"four\n").unwrap();
        assert_eq!(read(top.path()), ["four\n", "three\n", "one\ntwo\n"]);
        out.write(b"a line that is longer than a file\n").unwrap();
        let kept = read(top.path());
        assert_eq!(kept.len(), 3);
        assert!(kept.iter().all(|file| file.len() <= 10), "{kept:?}");
        assert!(kept[0].ends_with('\n'));
    }

    #[test]
    fn it_goes_on_where_a_file_is() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("stdout"), "fetched\n").unwrap();
        rotating(top.path(), 10, 1).write(b"ran\n").unwrap();
        assert_eq!(read(top.path()), ["ran\n", "fetched\n"]);
        rotating(top.path(), 4, 0).write(b"more\n").unwrap();
        assert_eq!(read(top.path())[1..], ["fetched\n"]);
    }

    #[test]
    fn nobody_leads_it_out_of_the_folder() {
        let top = tempfile::tempdir().unwrap();
        let sandbox = top.path().join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        let victim = top.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        let mut out = rotating(&sandbox, 10, 1);
        out.write(b"0123456789").unwrap();
        fs::remove_file(sandbox.join("stdout")).unwrap();
        std::os::unix::fs::symlink(&victim, sandbox.join("stdout")).unwrap();
        out.write(b"more\n").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        // The link was moved away like a file.
        assert_eq!(fs::read_to_string(sandbox.join("stdout")).unwrap(), "more\n");
        // A folder with something in it cannot be replaced.
        fs::remove_file(sandbox.join("stdout.1")).unwrap();
        fs::create_dir_all(sandbox.join("stdout.1/in")).unwrap();
        for _ in 0..9 {
            out.write(b"123456789\n").unwrap();
        }
        assert!(fs::metadata(sandbox.join("stdout")).unwrap().len() <= 10);
    }

    #[test]
    fn a_pump_ends_with_the_last_writer() {
        let top = tempfile::tempdir().unwrap();
        let (stream, thread) = pump(rotating(top.path(), 100, 1)).unwrap();
        let mut command = std::process::Command::new("/bin/echo");
        let mut child = command.arg("text").stdout(stream).spawn().unwrap();
        drop(command);
        child.wait().unwrap();
        thread.join().unwrap();
        assert_eq!(read(top.path()), ["text\n"]);
    }
}
