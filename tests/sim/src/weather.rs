//! How bad the world is, and when: some seeds are calm, some terrible, most have a few bad hours. It is chosen in a way
//! that reaches deep states: a fault at every tenth call stops everything at the door, and an outage lets a payment
//! come far first.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::fault::{Fault, Party};
use crate::random::Random;
use crate::time::SECOND;

/// Of so many kinds of calls, faults are aimed at one: of many, so that one call fails again and again and all else goes
/// well, or of few, so that calls fail which follow one another.
const AIMED_AT_ONE_OF: [u64; 4] = [4, 8, 25, 25];

/// A time in which calls fail.
#[derive(Clone)]
pub(crate) struct Spell {
    of: Calls,
    faults: Vec<Fault>,
    /// Of so many calls in a thousand.
    per_mille: u64,
    from: Duration,
    to: Duration,
}

/// Which calls fail.
#[derive(Clone)]
enum Calls {
    /// All that one party gets.
    To(Party),
    /// A few kinds, of all parties: a payment comes as far as to them, and stays there while all else goes on.
    Some(Aim),
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(party) => f.write_str(party.name()),
            Self::Some(aim) => write!(f, "one of {} kinds of calls", aim.one_of),
        }
    }
}

impl Calls {
    fn contain(&self, party: Party, kind: &str) -> bool {
        match self {
            Self::To(one) => *one == party,
            Self::Some(aim) => aim.is_at(kind),
        }
    }
}

impl fmt::Display for Spell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.faults.iter().map(|fault| fault.name()).collect();
        write!(
            f,
            "{}: {} at {} of 1000 calls, {:.1?} long from {:.1?} on",
            self.of,
            names.join(", "),
            self.per_mille,
            self.to - self.from,
            self.from
        )
    }
}

/// The weather of one run.
#[derive(Clone)]
pub(crate) struct Weather(Arc<Inner>);

struct Inner {
    began: Instant,
    /// When it turns fine for good.
    until: Duration,
    spells: Vec<Spell>,
    /// A fault at so many of 100,000 calls, at any time.
    always: u64,
    faults: Vec<Fault>,
    /// Picks the few kinds of calls that faults are aimed at, all the time: what waits behind many other calls is hardly
    /// ever struck otherwise. Absent in seeds without.
    aim: Option<Aim>,
    /// A crash of so many of 100,000 runs.
    crashes: u64,
    /// The usual way between two parties, there or back.
    way: Duration,
}

/// At which kinds of calls faults are aimed.
#[derive(Clone)]
struct Aim {
    random: Random,
    /// One of so many.
    one_of: u64,
}

impl Aim {
    fn new(random: &Random) -> Self {
        Self {
            random: random.of("aim"),
            one_of: *random.pick(&AIMED_AT_ONE_OF),
        }
    }

    fn is_at(&self, kind: &str) -> bool {
        self.random.of(kind).below(self.one_of) == 0
    }
}

impl Weather {
    /// The weather of a seed, with outages no longer than `longest`. It turns fine for good after `until`.
    pub(crate) fn new(random: &Random, longest: Duration, until: Duration) -> Self {
        let random = random.of("weather");
        // Some seeds are calm, so that what is rare for other reasons is seen without noise.
        let kind = random.below(10);
        let always = match kind {
            0..=2 => 0,
            3..=6 => 200,
            7 | 8 => 1500,
            _ => 8000,
        };
        let crashes = match kind {
            0 | 1 => 0,
            2..=6 => 500,
            7 | 8 => 3000,
            _ => 10_000,
        };
        let spells = if kind == 0 { 0 } else { random.below(5) };
        let spells = (0..spells).map(|_| Spell::new(&random, until, longest));
        Self(Arc::new(Inner {
            began: Instant::now(),
            until,
            spells: spells.collect(),
            always,
            aim: (kind > 2 && random.chance(0.5)).then(|| Aim::new(&random)),
            faults: some_of(&random, &Fault::OF_CALLS),
            crashes,
            way: random.between(Duration::from_millis(1), Duration::from_millis(60)),
        }))
    }

    /// No fault happens by itself.
    pub(crate) fn fine() -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            until: Duration::ZERO,
            spells: Vec::new(),
            always: 0,
            faults: Vec::new(),
            aim: None,
            crashes: 0,
            way: Duration::from_millis(2),
        }))
    }

    /// The bad times, in words.
    pub(crate) fn spells(&self) -> &[Spell] {
        &self.0.spells
    }

    /// When each of the bad times is over, from the beginning of the run on.
    pub(crate) fn clears_up(&self) -> Vec<Duration> {
        self.0.spells.iter().map(|spell| spell.to).collect()
    }

    fn is_fine(&self) -> bool {
        self.0.began.elapsed() >= self.0.until
    }

    /// What happens to a call of this kind to this party now.
    pub(crate) fn fault(&self, party: Party, kind: &str, random: &Random) -> Option<Fault> {
        if self.is_fine() {
            return None;
        }
        if let Some(fault) = self.aimed(kind, random) {
            return Some(fault);
        }
        let now = self.0.began.elapsed();
        for spell in &self.0.spells {
            if (spell.from..spell.to).contains(&now)
                && spell.of.contain(party, kind)
                && random.below(1000) < spell.per_mille
            {
                return Some(*random.pick(&spell.faults));
            }
        }
        (random.below(100_000) < self.0.always).then(|| *random.pick(&self.0.faults))
    }

    /// What happens to a call of a kind, if faults are aimed at it.
    fn aimed(&self, kind: &str, random: &Random) -> Option<Fault> {
        let hit = self.0.aim.as_ref()?.is_at(kind) && random.chance(0.3);
        hit.then(|| *random.pick(&self.0.faults))
    }

    /// Whether a function's process dies, and after how long.
    pub(crate) fn crash(&self, random: &Random) -> Option<Duration> {
        let crashes = !self.is_fine() && random.below(100_000) < self.0.crashes;
        crashes.then(|| random.between(Duration::from_millis(1), 10 * SECOND))
    }

    /// How long a message is under way.
    pub(crate) fn way(&self, random: &Random) -> Duration {
        random.between(self.0.way / 4, self.0.way * 4)
    }
}

impl Spell {
    fn new(random: &Random, until: Duration, longest: Duration) -> Self {
        let from = until.mul_f64(random.below(1000) as f64 / 1000.0);
        let long = random.between(SECOND, longest);
        Self {
            of: match random.chance(0.3) {
                true => Calls::Some(Aim::new(random)),
                false => Calls::To(*random.pick(&Party::ALL)),
            },
            faults: some_of(random, &Fault::OF_CALLS),
            per_mille: *random.pick(&[100, 500, 1000, 1000]),
            from,
            to: (from + long).min(until),
        }
    }
}

/// At least one of these.
fn some_of(random: &Random, faults: &[Fault]) -> Vec<Fault> {
    let mut some: Vec<_> = faults
        .iter()
        .copied()
        .filter(|_| random.chance(0.4))
        .collect();
    if some.is_empty() {
        some.push(*random.pick(faults));
    }
    some
}
