//! `flaggate demo`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{say, start_logging};
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
}

impl Demo {
    pub(super) fn run(&self) -> Result<ExitCode> {
        start_logging("warn");
        let config = Config::parse("config/demo.toml", demo::CONFIG, std::env::vars());
        let config = config.map_err(|error| anyhow::anyhow!("{error}"))?;
        let (gateway, admin) = (config.listeners[0].address, config.admin.address);
        let texts = demo::SEED.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let seed = Seed { texts: texts.collect() };
        let app = App::start(config, Some(seed))?;
        app.start_demo(&demo::Faults::default(), self.traffic.then_some(demo::MODEST))?;
        say(&format!("the gateway: http://{gateway}   the flag service: http://{admin}   Ctrl-C stops"))?;
        say("try, in another terminal:\n")?;
        say(&demo::curl_lines(gateway, admin))?;
        app.serve();
        Ok(ExitCode::SUCCESS)
    }
}
