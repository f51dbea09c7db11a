//! The pages: what each shows, from objects and the present moment alone, and its template in `templates/`.
//!
//! What a page shows is also what it gives as JSON. Drawings are computed here and written by the templates,
//! so that nothing of a page is put together as text and all of it is escaped.

pub mod attention;
pub mod backfill;
pub mod bars;
pub mod calendar;
pub mod cluster;
pub mod clusters;
pub mod flow;
pub mod flows;
pub mod frame;
pub mod listing;
pub mod load;
pub mod past;
pub mod run;
pub mod runs;
pub mod seen;
pub mod sizes;
pub mod stages;
pub mod trouble;
pub mod words;
