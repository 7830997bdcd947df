//! What the active kill switches do to flags and services: looked at before anything else, and made without compiling a flag.

use std::sync::Arc;

use ahash::AHashMap;

use super::switch::{Affected, KillSwitch};
use crate::{
    eval::{
        bucket::{BUCKETS, Hash, threshold},
        flag::FlagIndex,
        segment::{Scope, SegmentIndex, SegmentNames},
    },
    model::Recovery,
};

/// A position in [`Kills::sets`]: the switches that select a flag. 0 are none.
type SetIndex = u32;

/// The active switches.
///
/// Invariant: there is one only while a switch is active, so that an evaluation in quiet times looks at one pointer.
#[derive(Clone, Debug, Default)]
pub struct Kills {
    switches: Arc<[Kill]>,
    /// For each flag, by its position, the switches that select it.
    of_flag: Vec<SetIndex>,
    sets: Vec<Box<[u16]>>,
    /// The switches that name a route or an upstream.
    services: AHashMap<Arc<str>, Vec<u16>>,
}

/// One active switch.
#[derive(Clone, Debug)]
pub struct Kill {
    switch: Arc<KillSwitch>,
    /// The users in lower buckets are let through.
    let_through: u16,
    /// It applies to members of these alone; none: to everybody.
    segments: Option<Box<[SegmentIndex]>>,
}

/// Where flags and segments are found.
pub(crate) struct Names<'n> {
    /// One more than the last position of a flag.
    pub(crate) flags: usize,
    pub(crate) flag: &'n dyn Fn(&str) -> Option<FlagIndex>,
    pub(crate) tagged: &'n dyn Fn(&str) -> Vec<FlagIndex>,
    pub(crate) segments: &'n SegmentNames,
}

impl Kill {
    fn new(switch: Arc<KillSwitch>, segments: &SegmentNames) -> Self {
        let let_through = switch.status.recovery.map_or(0, |Recovery { percentage, .. }| threshold(percentage));
        let named = |ids: &[Arc<str>]| ids.iter().filter_map(|id| segments.get(id).copied()).collect();
        Self { segments: switch.segments.as_deref().map(named), let_through, switch }
    }

    /// The switch.
    #[must_use]
    pub fn switch(&self) -> &KillSwitch {
        &self.switch
    }

    /// The users in lower buckets, in basis points, are let through.
    pub(crate) fn let_through(&self) -> u16 {
        self.let_through
    }

    /// The user's bucket in the recovery; none: it lets nobody through, or the user has no id and waits for the end.
    pub(crate) fn bucket(&self, scope: &Scope<'_, '_>) -> Option<u16> {
        let user_id = scope.context.user_id;
        (self.let_through > 0 && !user_id.is_empty()).then(|| Hash::Md5.bucket(&self.switch.id, user_id))
    }

    /// Whether it applies to the user.
    pub(crate) fn applies(&self, scope: &Scope<'_, '_>) -> bool {
        self.segments.as_ref().is_none_or(|segments| segments.iter().any(|segment| scope.is_member(*segment)))
            && self.let_through < BUCKETS
            && self.bucket(scope).is_none_or(|bucket| bucket >= self.let_through)
    }
}

impl Kills {
    /// What these switches do; none: nothing.
    pub(crate) fn build(switches: impl Iterator<Item = Arc<KillSwitch>>, names: &Names<'_>) -> Option<Self> {
        let switches: Arc<[Kill]> = switches.map(|switch| Kill::new(switch, names.segments)).collect();
        if switches.is_empty() {
            return None;
        }
        let mut kills = Self {
            switches: Arc::clone(&switches),
            of_flag: vec![0; names.flags],
            sets: vec![Box::default()],
            services: AHashMap::new(),
        };
        for (number, kill) in switches.iter().enumerate() {
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            kills.select(number, &kill.switch, names);
            for service in &kill.switch.services {
                kills.services.entry(Arc::clone(service)).or_default().push(number);
            }
        }
        Some(kills)
    }

    /// Adds a switch to the flags that it is about.
    fn select(&mut self, number: u16, switch: &KillSwitch, names: &Names<'_>) {
        let mut spared = vec![];
        if switch.exempts_critical {
            spared = (names.tagged)(KillSwitch::CRITICAL);
            spared.sort_unstable();
        }
        // Most flags go from one and the same set to another.
        let mut last = None;
        let mut add = |flag: FlagIndex| {
            if spared.binary_search(&flag).is_ok() {
                return;
            }
            let Some(set) = self.of_flag.get_mut(position(flag)) else { return };
            *set = match last {
                Some((from, to)) if from == *set => to,
                Some(_) | None => {
                    let to = with(&mut self.sets, *set, number);
                    last = Some((*set, to));
                    to
                }
            };
        };
        if switch.takes_all() {
            (0..names.flags).filter_map(|flag| Some(FlagIndex(u32::try_from(flag).ok()?))).for_each(&mut add);
        }
        for affected in &switch.features {
            match affected {
                Affected::Flag(key) => (names.flag)(key).into_iter().for_each(&mut add),
                Affected::Tag(tag) => (names.tagged)(tag).into_iter().for_each(&mut add),
            }
        }
    }

    /// The same where some flags have other tags than they had, or are new.
    pub(crate) fn with<'f>(&self, flags: impl Iterator<Item = (FlagIndex, &'f str, &'f [Arc<str>])>) -> Self {
        let mut kills = self.clone();
        for (flag, key, tags) in flags {
            let numbers = self.switches.iter().enumerate().filter(|(_, kill)| kill.switch.selects(key, tags));
            let set = numbers
                .fold(0, |set, (number, _)| with(&mut kills.sets, set, u16::try_from(number).unwrap_or(u16::MAX)));
            let at = position(flag);
            if kills.of_flag.len() <= at {
                kills.of_flag.resize(at + 1, 0);
            }
            kills.of_flag[at] = set;
        }
        kills
    }

    /// The active switches, each with its position.
    pub fn switches(&self) -> impl Iterator<Item = &Kill> {
        self.switches.iter()
    }

    pub(crate) fn at(&self, position: u16) -> Option<&Kill> {
        self.switches.get(usize::from(position))
    }

    /// The switches that select a flag, with their positions.
    pub(crate) fn of_flag(&self, flag: FlagIndex) -> impl Iterator<Item = (u16, &Kill)> {
        let set = self.of_flag.get(position(flag)).copied().unwrap_or_default();
        let numbers = usize::try_from(set).ok().and_then(|set| self.sets.get(set)).map_or(&[][..], AsRef::as_ref);
        numbers.iter().filter_map(|number| Some((*number, self.at(*number)?)))
    }

    /// The first switch that kills a route or an upstream for a user.
    pub(crate) fn killer_of_service(&self, name: &str, scope: &Scope<'_, '_>) -> Option<&Kill> {
        let numbers = self.services.get(name)?;
        numbers.iter().filter_map(|number| self.at(*number)).find(|kill| kill.applies(scope))
    }
}

/// The set that has one switch more.
fn with(sets: &mut Vec<Box<[u16]>>, set: SetIndex, number: u16) -> SetIndex {
    let from = usize::try_from(set).ok().and_then(|set| sets.get(set)).map_or(&[][..], AsRef::as_ref);
    if from.contains(&number) {
        return set;
    }
    let to: Box<[u16]> = from.iter().copied().chain([number]).collect();
    let known = sets.iter().rposition(|known| *known == to);
    let at = known.unwrap_or_else(|| {
        sets.push(to);
        sets.len() - 1
    });
    u32::try_from(at).expect("there are no more sets than flags, of which there are fewer than 2^32")
}

fn position(FlagIndex(position): FlagIndex) -> usize {
    usize::try_from(position).expect("a position in a vector fits usize")
}
