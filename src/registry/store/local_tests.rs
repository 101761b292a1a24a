//! The local store, cut off at every write to its disk; on files that are damaged; opened twice.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redb::StorageBackend;

use super::{Error, Local, Record, Store};
use crate::registry::Change;

/// What a database did to its disk.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, Vec<u8>),
    Length(usize),
    Sync,
}

/// A disk that remembers every step.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<(Vec<u8>, Vec<Step>)>>);

impl Disk {
    fn of(image: Vec<u8>) -> Disk {
        Disk(Arc::new(Mutex::new((image, Vec::new()))))
    }

    fn steps(&self) -> Vec<Step> {
        self.0.lock().unwrap().1.clone()
    }
}

fn apply(image: &mut Vec<u8>, step: &Step) {
    match step {
        Step::Write(at, data) => {
            let end = at + data.len();
            image.resize(image.len().max(end), 0);
            image[*at..end].copy_from_slice(data);
        }
        Step::Length(length) => image.resize(*length, 0),
        Step::Sync => {}
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().0.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let from = offset as usize;
        let bytes = disk.0.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(Step::Length(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(Step::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(Step::Write(offset as usize, data.to_vec()));
        Ok(())
    }
}

impl Disk {
    fn step(&self, step: Step) {
        let mut disk = self.0.lock().unwrap();
        apply(&mut disk.0, &step);
        disk.1.push(step);
    }
}

type Contents = BTreeMap<String, Bytes>;

fn contents(records: Vec<Record>) -> Contents {
    records.into_iter().collect()
}

/// Batches as a registry makes them: agents come, change and go, some alone and some together.
fn batch(number: usize, rng: &mut ChaCha8Rng) -> Vec<Change> {
    let count = if number.is_multiple_of(4) { 12 } else { 1 };
    let mut changes: BTreeMap<String, Option<Bytes>> = BTreeMap::new();
    for _ in 0..count {
        let key = format!("agents/S{}", rng.random_range(0..30));
        let length = rng.random_range(1..3000);
        let value = rng.random_bool(0.8).then(|| Bytes::from(vec![number as u8; length]));
        changes.insert(key, value);
    }
    changes.into_iter().map(|(key, value)| Change { key, value }).collect()
}

/// What may be on the disk after a crash behind step `cut`: everything before the last sync, and of what came
/// after it whatever the disk had got round to, the last of it perhaps in part.
fn images(steps: &[Step], cut: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<u8>> {
    let synced = steps[..cut].iter().rposition(|step| matches!(step, Step::Sync)).map_or(0, |at| at + 1);
    let mut base = Vec::new();
    steps[..synced].iter().for_each(|step| apply(&mut base, step));
    let mut all = base.clone();
    steps[synced..cut].iter().for_each(|step| apply(&mut all, step));
    let mut images = vec![base.clone(), all];
    for _ in 0..2 {
        let mut some = base.clone();
        for step in &steps[synced..cut] {
            match step {
                Step::Write(at, data) if rng.random_bool(0.5) => {
                    let sectors = data.len().div_ceil(512);
                    let kept = (rng.random_range(0..=sectors) * 512).min(data.len());
                    apply(&mut some, &Step::Write(*at, data[..kept].to_vec()));
                }
                Step::Write(..) => {}
                other => apply(&mut some, other),
            }
        }
        images.push(some);
    }
    images
}

#[test]
fn cut_off_anywhere_it_holds_the_old_or_the_new() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let disk = Disk::default();
    let mut store = Local::over(disk.clone()).unwrap();
    assert!(store.load().unwrap().is_empty());
    // After how many steps which contents were acknowledged.
    let mut acknowledged = vec![(disk.steps().len(), Contents::new())];
    for number in 0..16 {
        let changes = batch(number, &mut rng);
        let mut now = acknowledged.last().unwrap().1.clone();
        for change in &changes {
            match &change.value {
                Some(value) => drop(now.insert(change.key.clone(), value.clone())),
                None => drop(now.remove(&change.key)),
            }
        }
        store.write(&changes).unwrap();
        acknowledged.push((disk.steps().len(), now));
    }
    let steps = disk.steps();
    let mut news = 0;
    for cut in acknowledged[0].0..=steps.len() {
        let old = acknowledged.iter().rposition(|(at, _)| *at <= cut).unwrap();
        for image in images(&steps, cut, &mut rng) {
            let mut store = Local::over(Disk::of(image)).unwrap();
            let found = contents(store.load().unwrap());
            let new = acknowledged.get(old + 1).is_some_and(|(_, contents)| found == *contents);
            news += u32::from(new);
            assert!(new || found == acknowledged[old].1, "cut off behind step {cut} of {}", steps.len());
        }
    }
    assert!(steps.len() > 60 && news > 0, "{} steps, {news} times the new one: too few", steps.len());
}

/// A file that was written by a store and closed.
fn written(dir: &std::path::Path) -> Vec<u8> {
    let mut store = Local::new(dir);
    store.load().unwrap();
    for number in 0..20 {
        let value = Some(Bytes::from(vec![number; 700]));
        store.write(&[Change { key: format!("agents/S{number}"), value }]).unwrap();
    }
    drop(store);
    fs::read(dir.join("registry.redb")).unwrap()
}

fn opened(dir: &std::path::Path, bytes: &[u8]) -> Result<Vec<Record>, Error> {
    fs::write(dir.join("registry.redb"), bytes).unwrap();
    Local::new(dir).load()
}

#[test]
fn a_damaged_file_is_refused_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let whole = written(dir.path());
    assert_eq!(opened(dir.path(), &whole).unwrap().len(), 20);
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    for length in [0, 1, 9, 64, 500, 4096, 5000, 20_000, whole.len() / 2] {
        let error = opened(dir.path(), &whole[..length]).unwrap_err().to_string();
        let path = dir.path().join("registry.redb").display().to_string();
        assert!(error.contains(&path) && error.contains("move it away"), "{length}: {error}");
    }
    // Noise may lie where nothing is: then what is read is what was written.
    let (intact, mut refused) = (contents(opened(dir.path(), &whole).unwrap()), 0);
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for _ in 0..40 {
        let mut noisy = whole.clone();
        for _ in 0..20 {
            let at = rng.random_range(0..used);
            noisy[at] ^= rng.random_range(1..=255u8);
        }
        match opened(dir.path(), &noisy) {
            Ok(records) => assert_eq!(contents(records), intact),
            Err(Error::Damaged { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 20, "{refused}");
    let text = opened(dir.path(), b"this is no database at all, but a text").unwrap_err();
    assert!(matches!(text, Error::Damaged { .. }), "{text}");
}

#[test]
fn one_process_at_a_time_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Local::new(dir.path());
    first.load().unwrap();
    let error = Local::new(dir.path()).load().unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    drop(first);
    Local::new(dir.path()).load().unwrap();
}

#[test]
fn what_a_crash_left_of_a_new_one_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("registry.redb.new"), b"half of it").unwrap();
    assert!(Local::new(dir.path()).load().unwrap().is_empty());
    assert!(!dir.path().join("registry.redb.new").exists());
}
