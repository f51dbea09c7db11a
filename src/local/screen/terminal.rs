//! The terminal, while it shows a table, and as it was afterwards, however that ends.

use std::io;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{DefaultTerminal, Frame};

/// The screen beside the one with the shell's lines. When this is dropped, that one is there again.
#[derive(Debug)]
pub struct Terminal {
    inner: DefaultTerminal,
    /// Whether the table is on it.
    is_on: Arc<AtomicBool>,
}

impl Terminal {
    /// Takes the terminal: keys come at once and unseen, and the other screen is empty.
    ///
    /// # Errors
    ///
    /// Standard output is no terminal, or one that cannot do it.
    pub fn enter() -> io::Result<Self> {
        let is_on = Arc::new(AtomicBool::new(false));
        let inner = ratatui::Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let mut terminal = Self { inner, is_on };
        terminal.leave_before_panics();
        terminal.begin()?;
        Ok(terminal)
    }

    fn begin(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        self.is_on.store(true, Ordering::SeqCst);
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        self.clear()
    }

    /// Writes what a panic says to the screen that stays. If only a task broke, the next picture takes the
    /// terminal again.
    fn leave_before_panics(&self) {
        let (is_on, before) = (self.is_on.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |info| {
            leave(&is_on);
            before(info);
        }));
    }

    /// Draws a picture in the size that the terminal has now.
    ///
    /// # Errors
    ///
    /// The terminal is there no more.
    pub fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if !self.is_on.load(Ordering::SeqCst) {
            self.begin()?;
        }
        self.inner.draw(picture)?;
        Ok(())
    }

    /// Forgets what is on the screen: something else may have written to it.
    ///
    /// # Errors
    ///
    /// The terminal is there no more.
    pub fn clear(&mut self) -> io::Result<()> {
        // `clear` of ratatui asks the terminal where the cursor is, and the answer would come as keys.
        let size = self.inner.size()?;
        self.inner.resize(size.into())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave(&self.is_on);
    }
}

/// Gives the terminal back. One that was closed meanwhile needs nothing.
fn leave(is_on: &AtomicBool) {
    if is_on.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::thread::{self, JoinHandle};

    use super::*;

    /// Paints while a thread breaks, and then breaks itself.
    #[test]
    #[ignore = "it needs a terminal: the next test gives it one"]
    fn paints_and_breaks() {
        let mut terminal = Terminal::enter().unwrap();
        let mut paint =
            |word: &'static str| terminal.draw(|frame| frame.render_widget(word, frame.area())).unwrap();
        paint("first");
        let broken: JoinHandle<()> = thread::spawn(|| panic!("a thread broke"));
        assert!(broken.join().is_err());
        paint("second");
        panic!("all broke");
    }

    #[test]
    fn what_a_panic_says_stays_and_the_terminal_is_as_it_was() {
        let host = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/local/terminal.py");
        let test = "local::screen::terminal::tests::paints_and_breaks";
        let started = Command::new("python3")
            .args([host, "24", "80"])
            .arg(std::env::current_exe().unwrap())
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut host) = started else { return eprintln!("LEFT OUT: there is no python3") };
        // The terminal is closed when its input ends.
        let input = host.stdin.take();
        let output = host.wait_with_output().unwrap();
        drop(input);
        let (screen, report) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let mut rest = screen.as_ref();
        let (on, off) = ("\u{1b}[?1049h", "\u{1b}[?1049l");
        for part in [on, "first", off, "a thread broke", on, "second", off, "all broke"] {
            let found = rest.split_once(part);
            rest = found.unwrap_or_else(|| panic!("{part:?} is missing or too early: {screen:?}")).1;
        }
        assert!(!rest.contains(on), "{screen:?}");
        assert_eq!(report.trim(), "code 101 modes same", "{screen:?}");
    }
}
