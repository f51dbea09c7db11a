//! What is written to standard output, and what of it was lost.

use std::io::{self, Write};
use std::process::ExitCode;

use super::output::fail;
use crate::daemon::out::Out;

#[derive(Debug, thiserror::Error)]
#[error("the output cannot be written")]
struct Lost(#[from] io::Error);

/// The exit code of a command that would end with this one, but for what could not be written.
pub(super) fn code(written: io::Result<()>, code: u8) -> u8 {
    match written {
        Ok(()) => code,
        Err(error) => {
            let _ = fail(&Lost(error));
            code.max(1)
        }
    }
}

/// Writes a text to whoever reads it.
pub(super) fn print(text: &[u8]) -> ExitCode {
    ExitCode::from(code(print_by(|out| out.write_all(text)), 0))
}

/// Writes to whoever reads it; gives what was lost of it.
pub(super) fn print_by(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = Out::new(io::stdout().lock());
    write(&mut out)?;
    out.ended()
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn what_is_lost_leaves_the_code_of_a_run() {
        let full = || Err(ErrorKind::StorageFull.into());
        assert_eq!((code(Ok(()), 0), code(Ok(()), 3)), (0, 3));
        assert_eq!((code(full(), 0), code(full(), 137)), (1, 137));
    }
}
