//! Figures that a test saw, for whoever reads its output.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints one figure. It goes around the capture of test output, because figures matter most when all is
/// well.
pub fn figure(name: &str, value: impl Display, unit: &str) {
    say(&format!("figure: {name} {value} {unit}"));
}

/// Prints a duration.
pub fn figure_seconds(name: &str, seconds: f64) {
    figure(name, format!("{seconds:.2}"), "s");
}

/// Prints a line.
pub fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}
