//! Schedules against their laws, against other people's implementations, and against tables of cases. One
//! program for all, because each would be linked with everything else anew.
#![allow(missing_docs, reason = "a test's modules are no one's interface")]

mod croner;
mod cronjob_sync;
mod cronjob_tables;
mod daylight_saving;
mod kinds;
mod laws;
mod oracles;
mod robfig;
mod rrule;
