//! Whether a page of another site had a browser send a request.
//!
//! Browsers say where a request comes from, and add what they know of the user (addresses that only they reach, soon
//! credentials). What changes something is therefore not taken from another site's page. Other clients say nothing
//! of origins, and are as free as before. Source: Fetch standard, "Origin header"; W3C "Fetch Metadata".

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Method};

use super::error::HttpError;

/// 403 if a browser sends what may change something on behalf of another site.
pub fn check(method: &Method, headers: &HeaderMap) -> Result<(), HttpError> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) || is_own(headers) {
        return Ok(());
    }
    Err(HttpError::forbidden("Requests that change something are not taken from pages of another site"))
}

fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    // Only told to hosts that a browser trusts, so its absence says nothing.
    if let Some(site) = text("sec-fetch-site") {
        return matches!(&*site, "same-origin" | "none");
    }
    let Some(origin) = text(ORIGIN.as_str()) else { return true };
    let Some((_, authority)) = origin.split_once("://") else { return false };
    // Behind a proxy, `Host` may be our own address; the other is one that pages cannot set.
    let known = [text(HOST.as_str()), text("x-forwarded-host")];
    known.into_iter().flatten().any(|host| host.trim().eq_ignore_ascii_case(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(method: Method, pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        check(&method, &HeaderMap::from_iter(headers)).is_ok()
    }

    #[test]
    fn other_sites_change_nothing() {
        let post = |pairs: &[(&'static str, &'static str)]| taken(Method::POST, pairs);
        assert!(post(&[]) && post(&[("host", "m:5050")]), "no browser");
        assert!(post(&[("host", "m:5050"), ("origin", "http://m:5050")]));
        assert!(post(&[("host", "10.0.0.1:5050"), ("x-forwarded-host", "m"), ("origin", "https://m")]));
        assert!(post(&[("origin", "http://other"), ("sec-fetch-site", "same-origin")]));
        assert!(!post(&[("host", "m:5050"), ("origin", "http://other:5050")]));
        assert!(!post(&[("host", "m:5050"), ("origin", "http://m:5051")]));
        assert!(!post(&[("host", "m:5050"), ("origin", "null")]));
        assert!(!post(&[("host", "null"), ("origin", "null")]));
        assert!(!post(&[("sec-fetch-site", "cross-site")]) && !post(&[("sec-fetch-site", "same-site")]));
        assert!(!taken(Method::DELETE, &[("host", "m"), ("origin", "http://other")]));
        assert!(taken(Method::GET, &[("host", "m"), ("origin", "http://other")]));
    }
}
