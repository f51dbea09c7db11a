//! Dates: instants that were written down one by one.

use jiff::Timestamp;

use super::error::ScheduleError;
use super::spec::DATES_MAX;

/// Instants in order, none of them twice.
#[derive(Debug, Clone)]
pub(super) struct Dates {
    instants: Vec<Timestamp>,
}

impl Dates {
    /// Sorts the dates; they are whole seconds.
    pub(super) fn new(mut instants: Vec<Timestamp>) -> Result<Self, ScheduleError> {
        if instants.is_empty() || instants.len() > DATES_MAX {
            return Err(ScheduleError::DatesCount(instants.len()));
        }
        instants.sort_unstable();
        instants.dedup();
        Ok(Self { instants })
    }

    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.instants.get(self.passed(after)).copied()
    }

    pub(super) fn latest_until(&self, until: Timestamp) -> Option<Timestamp> {
        self.instants.get(self.passed(until).checked_sub(1)?).copied()
    }

    /// How many dates are not later than `t`.
    fn passed(&self, t: Timestamp) -> usize {
        self.instants.partition_point(|instant| *instant <= t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn dates_come_in_order_and_once() {
        let dates = Dates::new(vec![at(30), at(10), at(30), at(20)]).unwrap();
        assert_eq!(dates.next_after(at(9)), Some(at(10)));
        assert_eq!(dates.next_after(at(20)), Some(at(30)));
        assert_eq!(dates.next_after(at(30)), None);
        assert_eq!(dates.latest_until(at(30)), Some(at(30)));
        assert_eq!(dates.latest_until(at(29)), Some(at(20)));
        assert_eq!(dates.latest_until(at(9)), None);
    }

    #[test]
    fn there_is_one_date_at_least_and_a_year_of_them_at_most() {
        let count = |count: i64| Dates::new((0..count).map(at).collect());
        assert_eq!(
            count(0).unwrap_err().to_string(),
            "0 dates were given; write 1 to 366, or use several clocks"
        );
        assert!(count(366).is_ok());
        assert_eq!(count(367).unwrap_err(), ScheduleError::DatesCount(367));
    }
}
