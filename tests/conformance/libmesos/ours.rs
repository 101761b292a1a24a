//! Our libmesos.so, as `cargo build` makes it beside the binary, and the programs that are linked against it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::cache_dir;

/// The library; built if that was not done before.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_mesos")).parent().expect("a folder");
        let profile = folder.file_name().and_then(|name| name.to_str()).expect("a profile's name");
        let profile = if profile == "debug" { "dev" } else { profile };
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args([
            "build",
            "-q",
            "-p",
            "libmesos",
            "--profile",
            profile,
        ]);
        // What cargo tells tests of their package would have build scripts run anew, now and at the next build.
        let is_told = |name: &str| {
            name == "OUT_DIR" || ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.starts_with(start))
        };
        for (name, _) in std::env::vars().filter(|(name, _)| is_told(name)) {
            command.env_remove(name);
        }
        command.arg("--target-dir").arg(folder.parent().expect("a target folder"));
        let built = command.output().expect("cargo starts");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        folder.join("libmesos.so")
    })
}

/// `driver.c`, linked against the library.
pub fn c_driver() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = library().parent().expect("a folder");
        let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
        let made = cache_dir("libmesos");
        std::fs::create_dir_all(&made).expect("a folder");
        let program = made.join("driver");
        let mut command = Command::new("cc");
        command.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-o"]).arg(&program);
        command.arg(tree.join("tests/conformance/libmesos/driver.c"));
        command.arg("-I").arg(tree.join("libmesos/include")).arg("-L").arg(folder);
        command.arg("-lmesos").arg("-lpthread").arg(format!("-Wl,-rpath,{}", folder.display()));
        let made = command.output().expect("a C compiler");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        program
    })
}
