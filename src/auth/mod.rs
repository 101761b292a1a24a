//! Proving who one is. `crammd5` is the client's side of CRAM-MD5, pure: a message in, a step out.
//!
//! Absent so far: what decides who may do what, and HTTP's ways of authentication.

pub mod crammd5;
