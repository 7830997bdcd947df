//! What requests are counted in while they come, until the counts are taken.

use std::{
    array, fmt,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use super::arm::{ArmCounts, Latency, Users};

/// One error, in the upper half of a bucket.
const ERROR: u64 = 1 << 32;

/// The counts of one arm since they were last taken. Adding takes no lock and allocates nothing.
///
/// Invariant: each request is in exactly one taking, with its latency and whether it was an error, as these are one
/// number; its user comes in the same one or, where a taking was under way, in the one before or after it: none is lost.
pub struct ArmCell {
    /// By bucket of latency: requests in the lower half, the errors among them in the upper.
    buckets: [AtomicU64; Latency::BUCKETS],
    users: [AtomicU8; Users::REGISTERS],
    users_with_error: [AtomicU8; Users::REGISTERS],
    /// The latency of all that was taken. Who counts does not touch it.
    taken: Mutex<Latency>,
}

impl ArmCell {
    /// Adds a request that took so many microseconds; `user` is what [`Users::place`] says of who asked.
    pub fn count(&self, micros: u64, is_error: bool, user: Option<(u16, u8)>) {
        if let Some(user) = user {
            raise(&self.users, user);
            if is_error {
                raise(&self.users_with_error, user);
            }
        }
        let request = if is_error { 1 + ERROR } else { 1 };
        // Who takes the request sees its user, which came before.
        self.buckets[usize::from(Latency::bucket(micros))].fetch_add(request, Ordering::Release);
    }

    /// Takes what was counted since it was last taken; `None`: there were no requests.
    #[must_use]
    pub fn take(&self) -> Option<ArmCounts> {
        let mut taken = ArmCounts::default();
        let mut before = self.taken();
        for (number, bucket) in (0..).zip(&self.buckets) {
            if bucket.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let counted = bucket.swap(0, Ordering::Acquire);
            let requests = counted % ERROR;
            taken.requests += requests;
            taken.errors += counted / ERROR;
            taken.latency.add(number, requests);
        }
        if taken.requests == 0 {
            return None;
        }
        before.merge(&taken.latency);
        drop(before);
        drain(&self.users, &mut taken.users);
        drain(&self.users_with_error, &mut taken.users_with_error);
        Some(taken)
    }

    /// How long all requests took that were ever counted, taken or not. It never goes down.
    #[must_use]
    pub fn latency(&self) -> Latency {
        // Nothing is taken meanwhile.
        let before = self.taken();
        let mut latency = before.clone();
        for (number, bucket) in (0..).zip(&self.buckets) {
            latency.add(number, bucket.load(Ordering::Relaxed) % ERROR);
        }
        latency
    }

    fn taken(&self) -> MutexGuard<'_, Latency> {
        self.taken.lock().expect("nothing panics while it holds what was taken")
    }
}

impl Default for ArmCell {
    fn default() -> Self {
        let registers = || array::from_fn(|_| AtomicU8::new(0));
        Self {
            buckets: array::from_fn(|_| AtomicU64::new(0)),
            users: registers(),
            users_with_error: registers(),
            taken: Mutex::default(),
        }
    }
}

impl fmt::Debug for ArmCell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ArmCell").finish_non_exhaustive()
    }
}

fn raise(registers: &[AtomicU8; Users::REGISTERS], (register, rank): (u16, u8)) {
    let Some(kept) = registers.get(usize::from(register)) else { return };
    // Most users were there before: reading disturbs nobody.
    if kept.load(Ordering::Relaxed) < rank {
        kept.fetch_max(rank, Ordering::Relaxed);
    }
}

fn drain(registers: &[AtomicU8; Users::REGISTERS], users: &mut Users) {
    for (register, kept) in (0..).zip(registers) {
        if kept.load(Ordering::Relaxed) > 0 {
            users.add((register, kept.swap(0, Ordering::Relaxed)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicBool, thread};

    use super::*;

    fn user(number: u64) -> Option<(u16, u8)> {
        Some(Users::place(Users::hash(&format!("user-{number}"))))
    }

    #[test]
    fn what_is_taken_is_gone() {
        let cell = ArmCell::default();
        assert_eq!(cell.take(), None);
        for number in 0..100 {
            cell.count(number * 1_000, number % 10 == 0, user(number % 7));
        }
        cell.count(5, true, None);
        let taken = cell.take().unwrap();
        assert_eq!((taken.requests, taken.errors, taken.latency.requests()), (101, 11, 101));
        assert_eq!((taken.users.count().round(), taken.users_with_error.count().round()), (7.0, 7.0));
        assert_eq!(taken.latency.quantile(0.5), Some(Latency::bucket(49_000)));
        assert_eq!(cell.take(), None);
    }

    #[test]
    fn nothing_is_lost_while_it_is_taken() {
        const THREADS: u64 = 4;
        const EACH: u64 = 20_000;
        let (cell, over) = (ArmCell::default(), AtomicBool::new(false));
        let mut total = ArmCounts::default();
        thread::scope(|scope| {
            let counting: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let cell = &cell;
                    scope.spawn(move || {
                        for number in 0..EACH {
                            cell.count(number % 50, number % 5 == 0, user(thread * EACH + number % 100));
                        }
                    })
                })
                .collect();
            let taking = scope.spawn(|| {
                let (mut taken, mut seen) = (Vec::new(), 0);
                while !over.load(Ordering::Relaxed) {
                    taken.extend(cell.take());
                    let all = cell.latency().requests();
                    assert!(all >= seen, "{seen}, then {all}");
                    seen = all;
                }
                taken
            });
            for thread in counting {
                thread.join().unwrap();
            }
            over.store(true, Ordering::Relaxed);
            for taken in taking.join().unwrap() {
                assert!(taken.errors <= taken.requests);
                assert_eq!(taken.latency.requests(), taken.requests);
                total.merge(&taken);
            }
        });
        if let Some(rest) = cell.take() {
            total.merge(&rest);
        }
        assert_eq!((total.requests, total.errors), (THREADS * EACH, THREADS * EACH / 5));
        assert_eq!(cell.latency(), total.latency);
        let mut users = Users::default();
        (0..THREADS).flat_map(|thread| (0..100).map(move |number| thread * EACH + number)).for_each(|number| {
            users.add(user(number).unwrap());
        });
        assert_eq!(total.users, users);
    }
}
