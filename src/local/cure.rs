//! What a person can do about a folder or a disk that refuses.

use std::io::{self, ErrorKind};

/// The option that names another folder for what is kept only as long as daskflow runs.
pub const TEMPORARY: &str = "TMPDIR";
/// The option that names another folder for what is kept.
pub const KEPT: &str = "--state";

/// What to do about this fault, where another folder can be named with this option.
pub fn of(error: &io::Error, option: &str) -> String {
    let other = format!("with {option}");
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("make room on its disk, or name a folder of another disk {other}")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!("name a folder in which you may write {other}")
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            format!("a file is in its place: name a folder {other}")
        }
        ErrorKind::InvalidData => format!("another program wrote it: name another folder {other}"),
        _ => format!("name a folder that is there and has room {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_of_a_disk_has_its_cure() {
        // ENOSPC, EDQUOT, EACCES, EROFS, ENOTDIR, ENOENT of Linux.
        for (code, wanted) in [
            (28, "make room on its disk, or name a folder of another disk with TMPDIR"),
            (122, "make room on its disk, or name a folder of another disk with TMPDIR"),
            (13, "name a folder in which you may write with TMPDIR"),
            (30, "name a folder in which you may write with TMPDIR"),
            (20, "a file is in its place: name a folder with TMPDIR"),
            (2, "name a folder that is there and has room with TMPDIR"),
        ] {
            assert_eq!(of(&io::Error::from_raw_os_error(code), TEMPORARY), wanted, "{code}");
        }
    }
}
