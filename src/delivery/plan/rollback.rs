//! Undoing: stage by stage, the one that began last first, down to the first that is not to be undone.

use super::{
    run::Run,
    setting,
    status::{StageState, State},
};

impl Run<'_> {
    /// One more step back. Each flag is back, and every live gateway serves it, before the stage before it is undone.
    ///
    /// Invariant: what is undone stays so; only a retry or a new version leaves this.
    pub(super) fn roll_back(&mut self) {
        let mut begun: Vec<(usize, usize)> = Vec::new();
        for (position, stage) in self.status.stages.iter().enumerate() {
            begun.extend(stage.order.map(|order| (order, position)));
        }
        begun.sort_unstable_by(|left, right| right.cmp(left));
        let barrier = begun.iter().position(|(_, position)| !self.deployment.stages[*position].rolls_back);
        let undone = &begun[..barrier.unwrap_or(begun.len())];
        for (_, position) in undone {
            if self.status.stages[*position].state == StageState::RolledBack {
                continue;
            }
            let state = &mut self.status.stages[*position];
            if state.state != StageState::Failed && state.state != StageState::RollingBack {
                state.reason = None;
            }
            state.state = StageState::RollingBack;
            state.doing = "undo".to_owned();
            (state.judge, state.since) = (None, None);
            if let Some(what) = self.is_back(*position) {
                self.waiting.push(what);
                return;
            }
            let (now, state) = (self.seen.now, &mut self.status.stages[*position]);
            state.state = StageState::RolledBack;
            state.ended_at = Some(now);
            state.doing.clear();
        }
        if let Some(what) = self.is_open() {
            self.waiting.push(what);
            return;
        }
        let any = !undone.is_empty() || begun.is_empty();
        let kept = barrier.map(|barrier| self.deployment.stages[begun[barrier].1].name.clone());
        self.end(any, kept.as_deref());
    }

    /// What has to be before a stage is undone; `None`: it is.
    fn is_back(&self, position: usize) -> Option<String> {
        let stage = &self.deployment.stages[position];
        let key = stage.flag.as_ref()?;
        let flag = self.seen.flags.get(key)?;
        let desired = setting::desired(self.deployment, &self.status, &self.seen.flags);
        if desired.get(key).is_some_and(|fields| !setting::is_at(flag, fields)) {
            return Some(format!("{}: the flag {key:?} to be as it was", stage.name));
        }
        self.unserved().map(|what| format!("{}: {what}", stage.name))
    }

    /// Which gateways do not serve the flags as they are now; `None`: all do.
    fn unserved(&self) -> Option<String> {
        match &self.seen.behind {
            None => Some("a word from the gateways, which cannot be asked now".to_owned()),
            Some(behind) if behind.is_empty() => None,
            Some(behind) => {
                Some(format!("every live gateway to serve the flags as they were: {} to come", behind.join(", ")))
            }
        }
    }

    /// What is still not as it has to be in the end, also of flags that an earlier version changed.
    fn is_open(&self) -> Option<String> {
        let desired = setting::desired(self.deployment, &self.status, &self.seen.flags);
        let open = desired
            .iter()
            .find(|(key, fields)| self.seen.flags.get(*key).is_some_and(|flag| !setting::is_at(flag, fields)));
        match open {
            Some((key, _)) => Some(format!("the flag {key:?} to be as it was")),
            None if desired.is_empty() => None,
            None => self.unserved(),
        }
    }

    fn end(&mut self, any: bool, kept: Option<&str>) {
        self.status.state = if any { State::RolledBack } else { State::Failed };
        self.status.ended_at = Some(self.seen.now);
        if let Some(kept) = kept {
            let reason = self.status.reason.get_or_insert_default();
            reason.push_str(&format!("; the stage {kept:?} and those before it stay as they are"));
        }
        for state in self.status.stages.iter_mut().filter(|state| state.state.is_running()) {
            state.state = StageState::Failed;
            state.reason = Some("it was stopped where it was".to_owned());
        }
        self.keep_stable();
        self.waiting.clear();
    }

    /// What flags were before stays known of those that are not back; of others it is found out anew when they are touched.
    fn keep_stable(&mut self) {
        let kept: Vec<_> = self
            .deployment
            .stages
            .iter()
            .zip(&self.status.stages)
            .filter(|(_, state)| matches!(state.state, StageState::Completed | StageState::Failed))
            .filter_map(|(stage, _)| stage.flag.clone())
            .collect();
        self.status.stable.retain(|flag, _| kept.contains(flag));
    }
}
