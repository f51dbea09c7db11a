//! What people see of objects: rows and words, the same in a terminal, from a command and on a page.
//!
//! It is pure: objects in, rows out. How they are drawn is for whoever shows them, and so is the time.

pub mod overview;
