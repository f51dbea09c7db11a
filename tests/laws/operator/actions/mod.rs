//! What people do besides: they edit the schedule, and write, hold back and delete backfills. And what other
//! programs may do to a status at any time: write other words into it.

mod backfills;
mod clusters;
mod schedule;
mod words;

use fastrand::Rng;

use super::history::{Happening, History, Rules};
use super::world::World;

pub use backfills::Asked;
pub use clusters::{BAD, Edit, OnCluster, history as cluster_history};

/// Something that is done to the Flow or beside it.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// The interval of the first clock becomes so many seconds.
    Interval(u8),
    /// The second clock gets another name, or its own back.
    Rename,
    /// The parameters of the Flow and of the second clock become others.
    Parameters(u8),
    /// So many finished runs are kept from now on.
    Keep(u8),
    /// A backfill is asked for, if there is none.
    Ask(Asked),
    /// The backfill is held back or cancelled, or neither any more.
    Hold {
        /// No further runs.
        suspend: bool,
        /// Those that are there end as well.
        cancel: bool,
    },
    /// The backfill is deleted. Its runs stay.
    Drop,
    /// All statuses get other words: reasons, messages and times of conditions that say nothing.
    OtherWords,
    /// The scheduler at an address starts anew.
    SchedulerStartsAnew,
    /// Something happens to the cluster.
    Cluster(OnCluster),
}

/// What people are busy with in a history.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Theme {
    Schedule,
    Backfills,
    Both,
}

impl Act {
    /// Whether people do so, and change what is to come of the clocks.
    pub fn is_by_people(self) -> bool {
        !matches!(self, Self::OtherWords | Self::SchedulerStartsAnew | Self::Keep(_) | Self::Cluster(_))
    }

    fn of(rng: &mut Rng, theme: Theme) -> Self {
        let is_of_schedule = match theme {
            Theme::Schedule => true,
            Theme::Backfills => false,
            Theme::Both => rng.bool(),
        };
        match rng.u8(..12) {
            0 => Self::OtherWords,
            1 => Self::SchedulerStartsAnew,
            2 => Self::Keep(rng.u8(..3)),
            3 => Self::Parameters(rng.u8(..)),
            _ if is_of_schedule => match rng.u8(..7) {
                0..=2 => Self::Interval(rng.u8(5..40)),
                3..=4 => Self::Rename,
                _ => Self::Parameters(rng.u8(..)),
            },
            4..=7 => Self::Ask(Asked::of(rng)),
            8 => Self::Drop,
            _ => Self::Hold { suspend: rng.bool(), cancel: rng.u8(..3) == 0 },
        }
    }
}

/// The history of a seed in which people do much.
pub fn history(seed: u64) -> History {
    let mut rng = Rng::with_seed(seed ^ 0x5eed_0f9e_091e_0000);
    let rules = Rules::of(&mut rng);
    let theme = [Theme::Schedule, Theme::Backfills, Theme::Both][rng.usize(..3)];
    let count = rng.usize(4..32);
    let one = |_| match rng.u8(..3) {
        0 => Happening::People(Act::of(&mut rng, theme)),
        _ => Happening::of(&mut rng, &rules, true),
    };
    let happenings = (0..count).map(one).collect();
    History { seed, rules, happenings }
}

impl World {
    /// Lets somebody do something.
    pub async fn act(&self, act: Act) {
        match act {
            Act::Interval(seconds) => {
                self.edit(|spec| spec["schedule"]["clocks"][0]["interval"] = format!("{seconds}s").into())
                    .await;
            }
            Act::Rename => self.edit(schedule::rename).await,
            Act::Parameters(value) => self.edit(|spec| schedule::parameters(spec, value)).await,
            Act::Keep(count) => self.edit(|spec| schedule::keep(spec, count)).await,
            Act::Ask(asked) => self.ask(asked).await,
            Act::Hold { suspend, cancel } => self.hold(suspend, cancel).await,
            Act::Drop => self.drop_backfill().await,
            Act::OtherWords => self.other_words().await,
            Act::SchedulerStartsAnew => self.scheduler_starts_anew(),
            Act::Cluster(act) => self.on_cluster(act).await,
        }
    }
}
