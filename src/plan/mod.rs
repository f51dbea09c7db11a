//! Decides, purely.
