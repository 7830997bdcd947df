//! `flaggate demo`.

mod scenario;

use std::{
    process::{Command, ExitCode, Stdio},
    thread,
};

use anyhow::Result;
use clap::Args;
use rustix::process::{Signal, getpid, kill_process};

use self::scenario::Scenario;
use super::{log_error, remote::Remote, say, start_logging};
use crate::{
    app::{App, Seed},
    config::Config,
    demo,
};

/// What the demo shows.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Send a modest stream of simulated users to it.
    #[arg(long)]
    traffic: bool,
    /// Show the dashboard in a browser, if there is a screen.
    #[arg(long)]
    open: bool,
    /// Tell a story, with users, and end with it.
    #[arg(long, value_enum)]
    scenario: Option<Scenario>,
}

impl Demo {
    pub(super) fn run(&self) -> Result<ExitCode> {
        // The simulated users lose a connection now and then; that is not the gateway's.
        let _last_lines = start_logging("warn,pingora_core::connectors=off")?;
        let config = Config::parse("config/demo.toml", demo::CONFIG, std::env::vars());
        let config = config.map_err(|error| anyhow::anyhow!("{error}"))?;
        let (gateway, admin) = (config.listeners[0].address, config.admin.address);
        let texts = demo::SEED.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let seed = Seed { texts: texts.collect() };
        let app = App::start(config, None, Some(seed))?;
        let faults = demo::Faults::default();
        if let Some(scenario) = self.scenario {
            app.start_demo(&faults, Some(scenario::TRAFFIC))?;
            return tell(scenario, &Remote::at(admin), &faults, app);
        }
        if self.traffic {
            // Something for `flaggate analytics checkout-canary` and `flaggate insights` to find.
            let (upstream, delay) = demo::SLOW;
            faults.set(upstream, 0.0, delay);
        }
        app.start_demo(&faults, self.traffic.then_some(demo::MODEST))?;
        let dashboard = format!("http://{admin}/ui/");
        say(&format!("the dashboard: {dashboard}"))?;
        if self.open {
            open(&dashboard);
        }
        say(&format!("the gateway: http://{gateway}   the flag service: http://{admin}   Ctrl-C stops"))?;
        say("try, in another terminal:\n")?;
        say(&demo::curl_lines(gateway, admin))?;
        app.serve()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Opens a browser, where there is a screen and what opens things on it. Whoever sees none has the address.
fn open(address: &str) {
    if ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().all(|name| std::env::var_os(name).is_none()) {
        return;
    }
    let mut opening = Command::new("xdg-open");
    opening.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = opening.spawn() {
        log::debug!("no browser was opened: {error}");
    }
}

/// Tells a story while the demo serves, and ends both.
fn tell(scenario: Scenario, remote: &Remote, faults: &demo::Faults, app: App) -> Result<ExitCode> {
    thread::scope(|scope| {
        let told = scope.spawn(|| {
            let told = scenario.tell(remote, faults);
            // The gateway ends as when somebody ends it.
            if let Err(error) = kill_process(getpid(), Signal::TERM) {
                log_error(&format!("the demo cannot end itself, press Ctrl-C: {error}"));
            }
            told
        });
        app.serve()?;
        told.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the story broke off")))
    })?;
    Ok(ExitCode::SUCCESS)
}
