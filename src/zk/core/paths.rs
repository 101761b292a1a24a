//! Which texts are paths of nodes.
//!
//! Source: `PathUtils.validatePath`, `PrepRequestProcessor.validatePathForCreate`, 3.8.

/// The path above; the root's is empty, and so is that of a text without a slash.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) if path.len() > 1 => "/",
        Some(at) => &path[..at],
        None => "",
    }
}

/// The last part of a path.
pub fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether a node may be called so.
pub fn is_valid(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    if rest.is_empty() {
        return true;
    }
    rest.split('/').all(|part| !matches!(part, "" | "." | "..") && part.chars().all(may_be_in_a_name))
}

fn may_be_in_a_name(c: char) -> bool {
    !matches!(
        c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}'
    ) // Java's chars of what is above are surrogates, which it refuses.
        && u32::from(c) <= 0xffff
}

/// Whether a path is another's, or that of a node below it.
pub fn is_at_or_below(path: &str, above: &str) -> bool {
    above == "/" || path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_what_is_above() {
        for (path, above, last) in [("/a/b", "/a", "b"), ("/a", "/", "a"), ("/", "", ""), ("a", "", "a")] {
            assert_eq!((parent(path), name(path)), (above, last), "{path}");
        }
        for path in ["/", "/a", "/a/b.c", "/...", "/ü", "/a b"] {
            assert!(is_valid(path), "{path}");
        }
        for path in ["", "a", "/a/", "//", "/a//b", "/.", "/a/../b", "/a\u{1}", "/\u{7f}", "/\u{1f600}"] {
            assert!(!is_valid(path), "{path}");
        }
        assert!(is_at_or_below("/a/b", "/a") && is_at_or_below("/a", "/a") && is_at_or_below("/a", "/"));
        assert!(!is_at_or_below("/ab", "/a"));
    }
}
