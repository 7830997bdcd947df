//! Work that takes long and that nobody waits for: the threads of the gateway, and of everything else, go before it.

use std::thread;

use tokio::sync::oneshot;

/// How much nicer than others a thread is that does such work. Where the machine is busy the scheduler gives the others three
/// times as much time, and does not let this go on to the end of its slice while one of them could run.
const NICE: i32 = 5;

/// Does work in a thread of its own that stands back behind all others.
pub(super) async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (told, heard) = oneshot::channel();
    let spawned = thread::Builder::new().name("background".to_owned()).spawn(move || {
        stand_back();
        // Who does not wait any more does not hear of it.
        told.send(work()).ok();
    });
    match spawned {
        Ok(_) => heard.await.map_err(|_| "it panicked".to_owned()),
        Err(error) => Err(format!("there is no thread for it: {error}")),
    }
}

fn stand_back() {
    // Elsewhere it would be for the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        log::debug!("work in the background is done as any other: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_of_it() {
        assert_eq!(in_background(|| 7).await, Ok(7));
        let panicked: Result<(), String> = in_background(|| panic!("on purpose")).await;
        assert_eq!(panicked, Err("it panicked".to_owned()));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn it_stands_back() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let here = priority();
        assert_eq!(in_background(priority).await, Ok((here + NICE).min(19)));
        assert_eq!(priority(), here);
    }
}
