//! Keys, as a terminal in raw mode sends them.
//!
//! The terminal is read here and not by crossterm: at the end of a terminal that was closed it reads on
//! without a pause, and never returns.

use std::io::{self, Read};
use std::thread;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How many bytes are read at once. More come from a paste only, and are read next.
const BYTES: usize = 1024;
/// What begins the sequence of bytes of a key that is no character.
const ESCAPE: u8 = 0x1b;

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character of ASCII.
    Char(char),
    /// Ctrl-C, which is no signal in raw mode.
    Interrupt,
    /// Ctrl-L: what is on the screen is drawn anew.
    Repaint,
    /// An arrow.
    Up,
    /// An arrow.
    Down,
    /// An arrow, or Shift and Tab.
    Left,
    /// An arrow, or Tab.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// Any other.
    Other,
}

/// The keys of some bytes, which hold whole keys.
pub fn keys(bytes: &[u8]) -> Vec<Key> {
    let (mut keys, mut rest) = (Vec::new(), bytes);
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let key = match first {
            0x03 => Key::Interrupt,
            0x0c => Key::Repaint,
            b'\t' => Key::Right,
            &ESCAPE => {
                let (key, after) = sequence(rest);
                rest = after;
                key
            }
            // Of a character that takes several bytes, the first one counts.
            0x80..=0xbf => continue,
            byte if byte.is_ascii_graphic() || *byte == b' ' => Key::Char(char::from(*byte)),
            _ => Key::Other,
        };
        keys.push(key);
    }
    keys
}

/// The key of what follows an Escape, and what follows the key.
fn sequence(bytes: &[u8]) -> (Key, &[u8]) {
    let Some((b'[' | b'O', parameters)) = bytes.split_first() else { return (Key::Other, bytes) };
    let end = parameters.iter().position(|byte| (0x40..=0x7e).contains(byte));
    let Some((sequence, rest)) = end.and_then(|end| parameters.split_at_checked(end + 1)) else {
        return (Key::Other, &[]);
    };
    let key = match sequence {
        b"5~" => Key::PageUp,
        b"6~" => Key::PageDown,
        // With a modifier there are parameters before the letter.
        [.., b'A'] => Key::Up,
        [.., b'B'] => Key::Down,
        [.., b'C'] => Key::Right,
        [.., b'D' | b'Z'] => Key::Left,
        _ => Key::Other,
    };
    (key, rest)
}

/// The keyboard of the terminal at standard input.
#[derive(Debug)]
pub struct Keyboard(UnboundedReceiver<Vec<Key>>);

impl Keyboard {
    /// Listens to it. A terminal can only be waited for by a thread that reads it: that ends with the
    /// terminal, or with the first key after this was dropped.
    ///
    /// # Errors
    ///
    /// There is no room for a thread.
    pub fn open() -> io::Result<Self> {
        let (sender, receiver) = unbounded_channel();
        thread::Builder::new().name("keys".to_owned()).spawn(move || read(&sender))?;
        Ok(Self(receiver))
    }

    /// Waits for keys; none when the terminal has ended.
    pub async fn next(&mut self) -> Option<Vec<Key>> {
        self.0.recv().await
    }
}

fn read(sender: &UnboundedSender<Vec<Key>>) {
    let mut bytes = [0; BYTES];
    while let Ok(count @ 1..) = io::stdin().lock().read(&mut bytes) {
        if sender.send(keys(bytes.get(..count).unwrap_or_default())).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_keys() {
        let cases: [(&[u8], &[Key]); 9] = [
            (b"rq", &[Key::Char('r'), Key::Char('q')]),
            (b"\x03\x0c\t ", &[Key::Interrupt, Key::Repaint, Key::Right, Key::Char(' ')]),
            (b"\x1b[A\x1b[B\x1b[C\x1b[D", &[Key::Up, Key::Down, Key::Right, Key::Left]),
            (b"\x1bOA\x1bOB", &[Key::Up, Key::Down]),
            (b"\x1b[1;5Aq", &[Key::Up, Key::Char('q')]),
            (b"\x1b[5~\x1b[6~\x1b[3~", &[Key::PageUp, Key::PageDown, Key::Other]),
            (b"\x1b", &[Key::Other]),
            ("é\r".as_bytes(), &[Key::Other, Key::Other]),
            (b"\x1b[1;5", &[Key::Other]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(keys(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
