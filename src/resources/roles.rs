//! Names of roles: paths like `eng/web`, and `*` for whoever comes.
//!
//! Source: common/roles.cpp 1.11; its check lets NUL and backspace through, which the docs forbid and we refuse.

use super::Invalid;

/// The role of resources that nobody reserved.
pub const STAR: &str = "*";

/// Is this a name a role may have?
pub fn validate(role: &str) -> Result<(), Invalid> {
    if role == STAR {
        return Ok(());
    }
    let shown = role.escape_debug();
    if role.is_empty() {
        return Invalid::new("Role names cannot be the empty string");
    }
    if role.starts_with('/') {
        return Invalid::new(format!("Role '{shown}' cannot start with a slash"));
    }
    if role.ends_with('/') {
        return Invalid::new(format!("Role '{shown}' cannot end with a slash"));
    }
    if role.contains("//") {
        return Invalid::new(format!("Role '{shown}' cannot contain two adjacent slashes"));
    }
    for component in role.split('/') {
        if matches!(component, "." | ".." | STAR) {
            return Invalid::new(format!("Role '{shown}' cannot include '{component}' as a component"));
        }
        let shown = component.escape_debug();
        if component.starts_with('-') {
            return Invalid::new(format!(
                "Role component '{shown}' is invalid because it starts with a dash"
            ));
        }
        if component.chars().any(|c| c.is_ascii_whitespace() || c.is_control()) {
            return Invalid::new(format!(
                "Role component '{shown}' is invalid because it contains backspace or whitespace"
            ));
        }
    }
    Ok(())
}

/// A flag's list of roles, as `web,eng/build`.
pub fn parse(text: &str) -> Result<Vec<String>, Invalid> {
    let roles: Vec<_> = text.split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect();
    roles.iter().try_for_each(|role| validate(role))?;
    Ok(roles)
}

/// Is `role` below `ancestor`, as `eng/web` is below `eng`?
pub fn is_strict_subrole(role: &str, ancestor: &str) -> bool {
    role.strip_prefix(ancestor).is_some_and(|rest| rest.starts_with('/'))
}

/// The roles above `role`, nearest first.
pub fn ancestors(role: &str) -> impl Iterator<Item = &str> {
    role.rmatch_indices('/').map(|(at, _)| &role[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["*", "web", "eng/web", "a.b", "..a", "a-b", "é", "a*"] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        for bad in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/./b", "a/..", "a/*", "-a", "a/-b", "a b", "a\t",
            "\u{7f}", "a\u{8}", "a\0", "a\n/b",
        ] {
            assert!(validate(bad).is_err(), "{bad:?}");
        }
        assert_eq!(validate("a/..").unwrap_err().0, "Role 'a/..' cannot include '..' as a component");
    }

    #[test]
    fn hierarchy() {
        assert!(is_strict_subrole("eng/web", "eng") && !is_strict_subrole("eng", "eng"));
        assert!(!is_strict_subrole("engine", "eng"));
        assert_eq!(ancestors("a/b/c").collect::<Vec<_>>(), ["a/b", "a"]);
        assert_eq!(parse("web,,eng/a"), Ok(vec!["web".into(), "eng/a".into()]));
        assert!(parse("web,-a").is_err());
    }
}
