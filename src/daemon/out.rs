//! Standard output, of which what is written last may be lost.

use std::io::{self, ErrorKind, Write};

/// Output whose loss ends nothing: a command goes on with what it does and waits for, and has its own exit
/// code. In the end it says what was lost.
#[derive(Debug)]
pub struct Out<W> {
    to: W,
    /// Why nothing more is written.
    lost: Option<io::Error>,
}

impl<W: Write> Out<W> {
    /// Writes there.
    pub fn new(to: W) -> Self {
        Self { to, lost: None }
    }

    /// Ends it. Who reads no further has seen enough: that is no loss.
    ///
    /// # Errors
    ///
    /// Why a part of it is lost.
    pub fn ended(&mut self) -> io::Result<()> {
        self.flush()?;
        match self.lost.take() {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    fn unless_lost(&mut self, write: impl FnOnce(&mut W) -> io::Result<()>) {
        if self.lost.is_none() {
            self.lost = write(&mut self.to).err();
        }
    }
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_lost(|to| to.write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_lost(Write::flush);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes some bytes, and no more.
    struct Full {
        room: usize,
        then: ErrorKind,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            if taken == 0 { Err(self.then.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is said in the end of two lines, of which some bytes can be written.
    fn ended(room: usize, then: ErrorKind) -> io::Result<()> {
        let mut out = Out::new(Full { room, then });
        for line in ["one", "two"] {
            writeln!(out, "{line}").unwrap();
        }
        out.ended()
    }

    #[test]
    fn only_who_reads_no_further_may_miss_something() {
        assert!(ended(8, ErrorKind::StorageFull).is_ok());
        assert!(ended(5, ErrorKind::BrokenPipe).is_ok());
        assert_eq!(ended(5, ErrorKind::StorageFull).unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
