//! How the scheduler shares processors between the gateway's threads and others.

/// Asks for short slices for this thread, and for those that it will begin. A thread that wakes up for a request then has its turn
/// as soon as the one before it has had 0.1 ms, and not when that one's slice of some milliseconds is over: where processors are
/// short, that is most of the slowest requests' time. Linux 6.12 and newer heed it; older ones take it and go on as before.
pub(super) fn take_short_slices() {
    #[cfg(target_os = "linux")]
    if let Err(error) = linux::take_short_slices() {
        log::debug!("the scheduler gives no short slices: {error}");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    /// How long a thread runs before another has its turn, in nanoseconds: the least that Linux takes.
    pub(super) const SLICE: u64 = 100_000;

    /// `struct sched_attr` of Linux, in its first version.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    pub(super) fn take_short_slices() -> io::Result<()> {
        let nice = rustix::process::getpriority_process(None)?;
        let size = u32::try_from(size_of::<Attributes>()).expect("it is small");
        let wanted =
            Attributes { size, policy: 0, flags: 0, nice, priority: 0, runtime: SLICE, deadline: 0, period: 0 };
        #[expect(unsafe_code, reason = "no crate has this call")]
        // SAFETY: the kernel reads `size` bytes at the pointer and keeps nothing of it; 0 is this thread.
        let outcome = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
        if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::linux::{SLICE, take_short_slices};

    /// The slice of a thread, where the kernel tells it.
    fn slice() -> Option<u64> {
        let told = std::fs::read_to_string("/proc/thread-self/sched").ok()?;
        let line = told.lines().find(|line| line.starts_with("se.slice"))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    #[test]
    fn threads_that_begin_later_have_them_too() {
        let [before, after] = std::thread::spawn(|| {
            let before = slice();
            take_short_slices().unwrap();
            [before, std::thread::spawn(slice).join().unwrap()]
        })
        .join()
        .unwrap();
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
        let is_heeded = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 12);
        // Some kernels do not tell.
        assert_eq!(after, if is_heeded { before.and(Some(SLICE)) } else { before }, "{release}");
    }
}
