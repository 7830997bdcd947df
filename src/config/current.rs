//! The configuration while the process runs: what a reload changes, and what needs a restart.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Config, ContextConfig};

/// The configuration that requests are routed by now. Cheap to clone; all clones change together.
#[derive(Clone, Debug)]
pub struct Current(watch::Sender<Arc<Config>>);

impl Current {
    /// The configuration of the start.
    #[must_use]
    pub fn new(config: Arc<Config>) -> Self {
        Self(watch::Sender::new(config))
    }

    /// The configuration of this moment.
    #[must_use]
    pub fn get(&self) -> Arc<Config> {
        Arc::clone(&self.0.borrow())
    }

    /// Puts another one in its place.
    pub fn set(&self, config: Arc<Config>) {
        self.0.send_replace(config);
    }
}

impl Config {
    /// What holds after a reload: routes, upstreams, the rules of the context, what is injected, whose headers are
    /// believed and certificates are the new ones, all else stays as it is. Gives also what differs but needs a restart.
    #[must_use]
    pub fn reloaded(&self, new: Self) -> (Self, Vec<&'static str>) {
        let mut next = self.clone();
        for listener in &mut next.listeners {
            if let Some(new) = new.listeners.iter().find(|new| new.name == listener.name) {
                listener.take_over(new);
            }
        }
        let Self {
            listeners,
            admin,
            store,
            context,
            profiles,
            recent,
            inject,
            upstreams,
            routes,
            access_log,
            tracing,
            server,
            outbound,
            analytics,
            events,
            privacy,
            files,
            explain,
            sticky,
        } = new;
        let ContextConfig { user_id, accept_identity_from, environment, region, attributes, jwt } = context;
        (next.context.user_id, next.context.accept_identity_from) = (user_id, accept_identity_from);
        (next.context.attributes, next.context.jwt, next.inject) = (attributes, jwt, inject);
        (next.upstreams, next.routes, next.files) = (upstreams, routes, files);
        (next.explain, next.sticky) = (explain, sticky);
        let waits = [
            ("listeners", next.listeners != listeners),
            ("admin", next.admin != admin),
            ("store", next.store != store),
            ("context.environment", next.context.environment != environment),
            ("context.region", next.context.region != region),
            ("profiles", next.profiles != profiles),
            ("recent", next.recent != recent),
            ("access_log", next.access_log != access_log),
            ("tracing", next.tracing != tracing),
            ("server", next.server != server),
            ("outbound", next.outbound != outbound),
            ("analytics", next.analytics != analytics),
            ("events", next.events != events),
            ("privacy", next.privacy != privacy),
        ];
        (next, waits.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(extra: &str) -> Config {
        let text = format!(
            "{extra}\n\
             [[listeners]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n\
             [upstreams.a]\nendpoints = [{{ address = \"127.0.0.1:9\" }}]\n\
             [[routes]]\nname = \"all\"\nupstream = \"a\"\n"
        );
        Config::parse("test", &text, std::iter::empty()).unwrap()
    }

    #[test]
    fn what_a_reload_changes_and_what_it_does_not() {
        let before = parse("");
        for (extra, changes, waits) in [
            ("", false, &[][..]),
            ("inject.user_id = \"X-Who\"", true, &[]),
            ("context.user_id = [{ cookie = \"uid\" }]", true, &[]),
            ("context.environment = \"test\"", false, &["context.environment"]),
            ("admin.address = \"127.0.0.1:9191\"", false, &["admin"]),
            // Events go where the store is.
            ("store.kind = \"memory\"\ncontext.region = \"eu\"", false, &["store", "context.region", "events"]),
            (
                "server.workers = 7\nrecent.contexts = 5\nprofiles.enabled = false",
                false,
                &["profiles", "recent", "server"],
            ),
            ("inject.user_id = \"X-Who\"\naccess_log.enabled = false", true, &["access_log"]),
        ] {
            let (next, waiting) = before.reloaded(parse(extra));
            assert_eq!((next != before, &*waiting), (changes, waits), "{extra}");
        }
    }

    #[test]
    fn an_address_of_a_listener_waits_and_its_trusted_proxies_do_not() {
        let before = parse("");
        let mut new = before.clone();
        new.listeners[0].trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let (next, waiting) = before.reloaded(new.clone());
        assert_eq!((next.listeners == new.listeners, waiting), (true, vec![]));
        new.listeners[0].address.set_port(8081);
        let (next, waiting) = before.reloaded(new);
        assert_eq!((next.listeners[0].address, waiting), (before.listeners[0].address, vec!["listeners"]));
    }
}
