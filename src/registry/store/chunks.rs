//! A batch in pieces that an ensemble takes in one transaction.

use crate::registry::Change;

/// Bytes of a piece; ZooKeeper and etcd take 1 MB and 1.5 MB.
const MOST_BYTES: usize = 512 << 10;

/// Slices of at most `most` changes and not too many bytes. Each change is in one, whatever its size: what an
/// agent may say of itself is bounded well below.
pub(super) fn chunks(batch: &[Change], most: usize) -> Vec<&[Change]> {
    let mut chunks = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (index, change) in batch.iter().enumerate() {
        let size = change.key.len() + change.value.as_ref().map_or(0, bytes::Bytes::len);
        if index > from && (index - from == most || bytes + size > MOST_BYTES) {
            chunks.push(&batch[from..index]);
            (from, bytes) = (index, 0);
        }
        bytes += size;
    }
    if from < batch.len() {
        chunks.push(&batch[from..]);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn change(size: usize) -> Change {
        Change { key: "agents/S1".to_owned(), value: Some(Bytes::from(vec![0; size])) }
    }

    #[test]
    fn pieces_are_bounded_and_whole() {
        let sizes = |batch: &[Change], most| -> Vec<usize> {
            chunks(batch, most).iter().map(|chunk| chunk.len()).collect()
        };
        assert_eq!(sizes(&[], 3), [0; 0]);
        assert_eq!(sizes(&vec![change(1); 7], 3), [3, 3, 1]);
        assert_eq!(sizes(&vec![change(200 << 10); 5], 100), [2, 2, 1]);
        assert_eq!(sizes(&[change(1), change(1 << 20), change(1)], 100), [1, 1, 1]);
    }
}
