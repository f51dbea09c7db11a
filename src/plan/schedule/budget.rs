//! How much one question about a clock may look at.
//!
//! Searches over filters and recurrence rules have no bound of their own: a text can name dates that hardly
//! ever come, or never. Each date or period that is looked at is paid for here, so that the cost of a
//! question is bounded whatever was written. A question that has spent everything has no answer.

/// Looks that a question may spend: forty years, day by day, four times over. A look costs some tens of
/// nanoseconds.
pub(super) const LOOKS_MAX: u32 = 60_000;

/// Looks that counting may spend: fifty for each of 10,000 ticks, and more where they are few.
const LOOKS_COUNTING: u32 = 10 * LOOKS_MAX;

/// What is left to spend.
#[derive(Debug)]
pub(super) struct Budget {
    looks: u32,
}

impl Budget {
    /// The budget of one question: the next tick, or the latest one.
    pub(super) fn question() -> Self {
        Self { looks: LOOKS_MAX }
    }

    /// The budget of counting, which asks one question after another.
    pub(super) fn counting() -> Self {
        Self { looks: LOOKS_COUNTING }
    }

    /// Asks one of many questions: it may spend what a question may, and what it spends is gone.
    pub(super) fn question_from<T>(&mut self, question: impl FnOnce(&mut Self) -> T) -> T {
        let given = self.looks.min(LOOKS_MAX);
        let mut budget = Self { looks: given };
        let answer = question(&mut budget);
        self.looks -= given - budget.looks;
        answer
    }

    /// Pays for that many looks; false when they are not left, and then nothing else can be paid for.
    pub(super) fn spend(&mut self, looks: u32) -> bool {
        let left = self.looks.checked_sub(looks);
        self.looks = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether a search ended for want of looks and not because there is nothing to find.
    pub(super) fn is_spent(&self) -> bool {
        self.looks == 0
    }
}

#[cfg(test)]
impl Budget {
    /// A budget of so many looks.
    pub(super) fn of(looks: u32) -> Self {
        Self { looks }
    }

    /// What is left.
    pub(super) fn left(&self) -> u32 {
        self.looks
    }
}

/// The work of a search as tests count it: each date that is judged and each step in a zone, whether or not
/// it was paid for. A loop that forgets to pay shows here.
#[cfg(test)]
pub(super) mod work {
    use std::cell::Cell;

    thread_local! {
        static DONE: Cell<usize> = const { Cell::new(0) };
    }

    pub(in crate::plan::schedule) fn done(work: usize) {
        DONE.set(DONE.get() + work);
    }

    /// What was done since this was last asked.
    pub(in crate::plan::schedule) fn take() -> usize {
        DONE.take()
    }
}
