//! What a deployment has to know of routes: they stand in the configuration, not in the snapshot.

use std::sync::Arc;

use crate::model::Arm;

/// A route, as far as deployments change or watch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// Where requests go that no strategy takes.
    pub upstream: Arc<str>,
    /// The canary strategy: its flag, and the canary.
    pub canary: Option<(Arc<str>, Arc<str>)>,
    /// The blue/green strategy.
    pub blue_green: Option<Sides>,
    /// The flag that says whose requests are copied, and the upstream that gets the copies.
    pub mirror: Option<(Arc<str>, Arc<str>)>,
}

/// The two sides of a blue/green strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides {
    /// The flag whose variation names the side.
    pub flag: Arc<str>,
    /// The upstream of variation `blue`.
    pub blue: Arc<str>,
    /// The upstream of variation `green`.
    pub green: Arc<str>,
}

/// A side of a blue/green strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Variation `blue`.
    Blue,
    /// Variation `green`.
    Green,
}

impl Side {
    /// The variation's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }

    /// The side of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Blue, Self::Green].into_iter().find(|side| side.as_str() == name)
    }

    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }
}

impl Sides {
    /// The upstream of a side.
    #[must_use]
    pub fn upstream(&self, side: Side) -> &Arc<str> {
        match side {
            Side::Blue => &self.blue,
            Side::Green => &self.green,
        }
    }
}

impl Route {
    fn arm(&self, strategy: &str, upstream: &Arc<str>) -> Arm {
        Arm::Route { route: self.name.clone(), strategy: strategy.into(), upstream: upstream.clone() }
    }

    /// The requests that stay where they were while a canary runs.
    pub(super) fn beside_canary(&self) -> Vec<Arm> {
        let sides = self.blue_green.iter().flat_map(|sides| [&sides.blue, &sides.green]);
        let sides = sides.map(|upstream| self.arm("blue_green", upstream));
        std::iter::once(self.arm("default", &self.upstream)).chain(sides).collect()
    }

    pub(super) fn of_canary(&self) -> Vec<Arm> {
        self.canary.iter().map(|(_, upstream)| self.arm("canary", upstream)).collect()
    }

    pub(super) fn of_mirror(&self) -> Vec<Arm> {
        self.mirror.iter().map(|(_, upstream)| self.arm("mirror", upstream)).collect()
    }

    pub(super) fn of_side(&self, side: Side) -> Vec<Arm> {
        self.blue_green.iter().map(|sides| self.arm("blue_green", sides.upstream(side))).collect()
    }
}
