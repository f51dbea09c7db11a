//! Speaks to a Dask scheduler.
