//! The schedulers of this process, spoken to by the client of the library.
