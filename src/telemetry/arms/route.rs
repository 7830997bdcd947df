//! The arms of a configuration's routes.

use std::sync::{Arc, OnceLock};

use super::Arms;
use crate::{
    config::{Config, UpstreamIndex},
    model::{Arm, ArmCell},
    telemetry::metrics,
};

/// Where the requests of each route are counted, by strategy and upstream.
#[derive(Debug)]
pub struct RouteArms {
    arms: Arms,
    routes: Vec<(Arc<str>, Vec<RouteArm>)>,
}

/// One way that a route's requests can go.
#[derive(Debug)]
struct RouteArm {
    strategy: &'static str,
    upstream: UpstreamIndex,
    name: Arc<str>,
    /// Made with its first request: most ways of most routes are never gone.
    cell: OnceLock<Arc<ArmCell>>,
}

impl RouteArms {
    /// The ways of a configuration's routes.
    #[must_use]
    pub fn new(arms: &Arms, config: &Config) -> Self {
        let upstreams: Vec<Arc<str>> =
            config.upstreams.iter().map(|upstream| Arc::from(upstream.name.as_str())).collect();
        let routes = config.routes.iter().map(|route| {
            let ways = metrics::arms(route).into_iter().filter_map(|(strategy, upstream)| {
                let upstream = upstream?;
                let name = Arc::clone(&upstreams[upstream]);
                Some(RouteArm { strategy, upstream, name, cell: OnceLock::new() })
            });
            (route.name.as_str().into(), ways.collect())
        });
        Self { arms: arms.clone(), routes: routes.collect() }
    }

    /// Where requests are counted that a strategy of a route sent to an upstream.
    #[must_use]
    pub fn cell(&self, route: usize, strategy: &str, upstream: UpstreamIndex) -> Option<&ArmCell> {
        let (name, ways) = self.routes.get(route)?;
        let way = ways.iter().find(|way| way.upstream == upstream && way.strategy == strategy)?;
        let cell = way.cell.get_or_init(|| {
            let (strategy, upstream) = (way.strategy.into(), Arc::clone(&way.name));
            self.arms.cell(Arm::Route { route: Arc::clone(name), strategy, upstream })
        });
        Some(cell)
    }

    /// Where the requests are counted for which a flag gave a variation. It takes a lock: for the first request.
    #[must_use]
    pub fn variation(&self, flag: &str, variation: &str) -> Arc<ArmCell> {
        self.arms.cell(Arm::Variation { flag: flag.into(), variation: variation.into() })
    }
}
