//! The configuration: every file in `config/` is right, everything wrong is told with its place.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path, sync::Arc};

use flaggate::{
    config::{AcceptIdentityFrom, Config, Redis, RedisServer, Secret, Servers, StoreKind, UpstreamIndex, json_schema},
    delivery::deployment::{Deployment, Route},
    model::{DeploymentDocument, DocumentKey, FlagDocument, Role, SegmentDocument, WorldRevision},
    snapshot::World,
};
use serde_json::Value;

const GOOD: &str = r#"# a small configuration that is right

[[listeners]]
name = "web"
address = "127.0.0.1:8080"
[upstreams.stable]
endpoints = [{ address = "127.0.0.1:1" }]
[upstreams.canary]
endpoints = [{ address = "localhost:2" }]
[[routes]]
name = "all"
upstream = "stable"
"#;

fn errors(text: &str, variables: &[(&str, &str)]) -> String {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse("f.toml", text, variables).map_or_else(|error| error.to_string(), |_| String::new())
}

/// `GOOD` (12 lines) with more behind it: the message for the first line of `more` is at line 13.
fn check(more: &str, expected: &str) {
    assert_eq!(errors(&format!("{GOOD}{more}"), &[]), expected, "{more}");
}

#[test]
fn every_file_in_config_is_right() {
    let mut seen = 0;
    let folders = ["config", "deploy/config"].map(|folder| fs::read_dir(folder).unwrap());
    for entry in folders.into_iter().flatten() {
        let path = entry.unwrap().path();
        seen += 1;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => {
                let config = Config::load(&path, std::iter::empty()).unwrap_or_else(|error| panic!("{error}"));
                if let Some(seed) = &config.store.seed {
                    assert!(Path::new(seed).exists(), "{} names {}", path.display(), seed.display());
                }
                if let Some(folder) = &config.store.seed_segments {
                    assert!(Path::new(folder).is_dir(), "{} names {}", path.display(), folder.display());
                }
            }
            _ if path.is_dir() => {}
            _ if path.ends_with("demo-deployment.json") => deployment_is_right(&path),
            _ => flags_are_right(&path),
        }
    }
    assert!(seen >= 6, "{seen}");
}

fn flags_are_right(path: &Path) {
    let flags: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let documents =
        flags.iter().map(|flag| (DocumentKey::flag(flag["key"].as_str().unwrap()), flag.to_string().into()));
    let segments = segments();
    let named = segments.iter().map(|segment| (DocumentKey::segment(segment.id()), segment.to_text().into()));
    let revision = WorldRevision { epoch: "test".into(), number: 1 };
    let snapshot = World::new(None).load(revision, documents.chain(named));
    for flag in &flags {
        let faults = snapshot.check(&FlagDocument::parse(&flag.to_string()).unwrap());
        assert!(faults.is_empty(), "{}: {faults:?}", path.display());
    }
    for segment in &segments {
        assert_eq!(snapshot.check_segment(segment), [], "{}", segment.id());
    }
    let pointers: Vec<&str> = snapshot.diagnostics().map(|diagnostic| &*diagnostic.fault.pointer).collect();
    assert_eq!(pointers, ["/ml_model_id"], "only the model that is yet to be trained is missing");
}

/// The demo's deployment fits the routes of the demo's configuration.
fn deployment_is_right(path: &Path) {
    let config = Config::load(Path::new("config/demo.toml"), std::iter::empty()).unwrap();
    let upstream = |index: UpstreamIndex| Arc::<str>::from(config.upstreams[index].name.as_str());
    let of = |route: &flaggate::config::Route| Route {
        name: route.name.as_str().into(),
        upstream: upstream(route.upstream),
        canary: route.canary.as_ref().map(|canary| (canary.flag.clone(), upstream(canary.upstream))),
        blue_green: None,
        mirror: None,
    };
    let routes: Vec<Route> = config.routes.iter().map(of).collect();
    let document = DeploymentDocument::parse(&fs::read_to_string(path).unwrap()).unwrap();
    let stages = Deployment::read(&document, &routes).unwrap().stages;
    assert_eq!(stages.len(), 1);
}

/// The segments in `config/segments`, each in a file of its name.
fn segments() -> Vec<SegmentDocument> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let segment = SegmentDocument::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(path.file_stem().unwrap().to_str(), Some(segment.id()));
        segment
    };
    let segments: Vec<SegmentDocument> = fs::read_dir("config/segments").unwrap().map(read).collect();
    assert!(segments.len() >= 6);
    segments
}

#[test]
fn the_schema_takes_every_file_in_config() {
    let validator = jsonschema::draft202012::new(&json_schema()).unwrap();
    for entry in fs::read_dir("config").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let value: toml::Value = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let wrong: Vec<String> =
                validator.iter_errors(&serde_json::to_value(value).unwrap()).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
        }
    }
}

#[test]
fn every_key_is_documented() {
    fn keys(schema: &Value, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            found.push(name.clone());
            keys(property, found);
            keys(&property["items"], found);
            keys(&property["additionalProperties"], found);
        }
    }
    let mut found = Vec::new();
    keys(&json_schema(), &mut found);
    let docs = fs::read_to_string("docs/configuration.md").unwrap();
    let missing: Vec<&String> = found.iter().filter(|key| !docs.contains(&format!("`{key}`"))).collect();
    assert!(found.len() > 60 && missing.is_empty(), "docs/configuration.md lacks {missing:?}");
}

#[test]
fn unknown_keys_name_the_nearest() {
    check(
        "colour = 1\n",
        "f.toml:13:1: unknown key `colour` in routes[0]; it takes name, match, upstream, features, canary, blue_green, mirror, flags, flag_headers, expose, rewrite, limits, merge_slashes, vary, sticky, on_flip, require_jwt",
    );
    check("featurs = []\n", "f.toml:13:1: unknown key `featurs` in routes[0], did you mean \"features\"?");
    check(
        "canary = { flag = \"f\", upstrem = \"canary\", upstream = \"canary\" }\n",
        "f.toml:13:24: unknown key `upstrem` in routes[0].canary, did you mean \"upstream\"?",
    );
    check("[admn]\n", "f.toml:13:2: unknown key `admn`, did you mean \"admin\"?");
    check("[admin]\nadress = \"x\"\n", "f.toml:14:1: unknown key `adress` in admin, did you mean \"address\"?");
    check("[context.attributes.a]\nheadr = \"X\"\n", "f.toml:14:1: unknown key `headr` in context.attributes.a, did you mean \"header\"?\nf.toml:13:1: exactly one of header, cookie, query, jwt must be given".split('\n').rev().collect::<Vec<_>>().join("\n").as_str());
}

#[test]
fn what_a_later_version_will_know_is_told_so() {
    for (more, at, key) in [
        ("timeouts = {}\n", "13:1", "`timeouts` in routes[0]"),
        ("rewrite = { replace = 1 }\n", "13:13", "`replace` in routes[0].rewrite"),
        ("[admin]\ntls = {}\n", "14:1", "`tls` in admin"),
        (
            "[upstreams.x]\nendpoints = [{ address = \"a:1\" }]\ncircuit_breaker = {}\n",
            "15:1",
            "`circuit_breaker` in upstreams.x",
        ),
        ("[conductor]\n", "13:2", "`conductor`"),
    ] {
        check(more, &format!("f.toml:{at}: {key} is not supported by this version yet"));
    }
}

#[test]
fn whose_tokens_are_believed_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let keys = "tests/data/jwt";
    let (short, none) = (file("short", "a secret"), file("none.json", "{\"keys\": []}"));
    let long = file("long", &"x".repeat(32));
    for (issuer, message) in [
        (String::new(), "exactly one of jwks_file, public_key, secret_file must be given".to_owned()),
        (
            format!("jwks_file = \"{keys}/keys.json\", secret_file = \"{long}\""),
            "exactly one of jwks_file, public_key, secret_file must be given".to_owned(),
        ),
        (
            format!("public_key = \"{keys}/rsa.pub.pem\", algorithms = [\"RS256\", \"HS256\"]"),
            "HS256, HS384 and HS512 need a `secret_file`: whoever knows a public key could sign with it".to_owned(),
        ),
        (
            format!("secret_file = \"{long}\", algorithms = [\"RS256\"]"),
            "a `secret_file` goes with HS256, HS384 and HS512 only".to_owned(),
        ),
        (
            format!("secret_file = \"{short}\""),
            format!("{short}: a secret has 32 bytes or more, like what `openssl rand -hex 32` gives"),
        ),
        (
            format!("jwks_file = \"{none}\""),
            format!("{none}: there is no public key in it that fits one of RS256, ES256, EdDSA"),
        ),
        (
            format!("public_key = \"{keys}/ec.pub.pem\", algorithms = [\"RS256\"]"),
            format!("{keys}/ec.pub.pem: this key fits none of the algorithms RS256"),
        ),
        (
            format!("public_key = \"{long}\""),
            format!("{long}: this is no PEM file with a public key of RSA, P-256, P-384 or Ed25519"),
        ),
        (
            "jwks_file = \"/nowhere\"".to_owned(),
            "failed to read /nowhere: No such file or directory (os error 2)".to_owned(),
        ),
        (
            format!("jwks_file = \"{keys}/keys.json\", algorithms = [\"none\"]"),
            "has no \"none\"; it takes RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256, HS384, HS512"
                .to_owned(),
        ),
    ] {
        let told = errors(&format!("{GOOD}[context.jwt]\nissuers = [{{ {issuer} }}]\n"), &[]);
        assert!(told.starts_with("f.toml:14:") && told.contains(&message), "{issuer}: {told}");
    }
    check(
        "[context]\nuser_id = [{ jwt = \"sub\" }]\n",
        "f.toml:14:20: a claim needs `[context.jwt]`, which says whose tokens are believed",
    );
    check("require_jwt = true\n", "f.toml:13:15: this needs `[context.jwt]`, which says whose tokens are believed");
    assert_eq!(errors(&format!("{GOOD}[context.jwt]\nissuers = [{{ jwks_file = \"{keys}/keys.json\" }}]\n"), &[]), "");
}

#[test]
fn mirrors_are_checked_and_safe_by_default() {
    for (more, expected) in [
        (
            "mirror = {}\n",
            "f.toml:13:10: `flag` is missing in routes[0].mirror: requests of users for whom it is on are copied\n\
             f.toml:13:10: `upstream` is missing in routes[0].mirror: who gets the copies",
        ),
        (
            "mirror = { flag = \"f\", upstream = \"canari\" }\n",
            "f.toml:13:35: there is no upstream \"canari\", did you mean \"canary\"?",
        ),
        (
            "mirror = { flag = \"f\", upstream = \"canary\", percent = 0 }\n",
            "f.toml:13:55: routes[0].mirror.percent takes a whole number from 1 to 100, not 0",
        ),
        (
            "mirror = { flag = \"f\", upstream = \"canary\", methods = [] }\n",
            "f.toml:13:55: a mirror needs at least one method; leave `methods` out for GET and HEAD",
        ),
        (
            "mirror = { flag = \"f\", upstream = \"canary\", methods = [\"TRACE\"] }\n",
            "f.toml:13:56: \"TRACE\" is not a method like \"GET\"",
        ),
    ] {
        check(more, expected);
    }
    let text = format!("{GOOD}mirror = {{ flag = \"f\", upstream = \"canary\" }}\n");
    let config = Config::parse("f.toml", &text, std::iter::empty()).unwrap();
    let mirror = config.routes[0].mirror.as_ref().unwrap();
    assert_eq!(mirror.methods, ["GET", "HEAD"]);
    assert_eq!((mirror.percent, mirror.body_hash, mirror.credentials), (100, false, false));
    assert_eq!(config.flags().collect::<Vec<_>>(), ["f"]);
}

#[test]
fn values_of_the_wrong_kind() {
    for (more, at, message) in [
        ("expose = \"yes\"\n", "13:10", "routes[0].expose takes true or false, not \"yes\""),
        ("expose = 1\n", "13:10", "routes[0].expose takes true or false, not 1"),
        ("flags = \"theme\"\n", "13:9", "routes[0].flags takes a list, not \"theme\""),
        ("flags = [1.5]\n", "13:10", "routes[0].flags[0] takes a string, not a number with a fraction"),
        ("match = 1\n", "13:9", "routes[0].match takes a table, not 1"),
        (
            "limits = { body = \"10MB!\" }\n",
            "13:19",
            "routes[0].limits.body takes a size like \"64KiB\" or \"10MiB\", not \"10MB!\"",
        ),
        ("[server]\nworkers = 0\n", "14:11", "server.workers takes a whole number from 1 to 1024, not 0"),
        (
            "[server]\ndrain_timeout = 30\n",
            "14:17",
            "server.drain_timeout takes a duration like \"250ms\", \"2s\" or \"5m\", not 30",
        ),
        (
            "[server]\ndrain_timeout = \"30 years\"\n",
            "14:17",
            "server.drain_timeout takes a duration like \"250ms\", \"2s\" or \"5m\", not \"30 years\"",
        ),
        (
            "[store]\nkind = \"embeded\"\n",
            "14:8",
            "store.kind has no \"embeded\", did you mean \"embedded\"?; it takes embedded, redis, memory",
        ),
    ] {
        check(more, &format!("f.toml:{at}: {message}"));
    }
}

#[test]
fn values_that_cannot_be() {
    for (more, at, message) in [
        (
            "canary = { flag = \"f\", upstream = \"canry\" }\n",
            "13:35",
            "there is no upstream \"canry\", did you mean \"canary\"?",
        ),
        ("canary = { flag = \"\", upstream = \"canary\" }\n", "13:19", "a flag's key cannot be empty"),
        ("canary = { flag = \"f\" }\n", "13:10", "`upstream` is missing in routes[0].canary: the canary"),
        (
            "features = [{ flag = \"f\", variations = {} }]\n",
            "13:40",
            "a feature needs at least one variation = upstream",
        ),
        ("features = [{ flag = \"f\", variations = { a = \"x\" } }]\n", "13:46", "there is no upstream \"x\""),
        ("match = { methods = [\"get\"] }\n", "13:22", "\"get\" is not a method like \"GET\""),
        ("match = { methods = [\"TRACE\"] }\n", "13:22", "\"TRACE\" is not a method like \"GET\""),
        (
            "match = { hosts = [\"a b\"] }\n",
            "13:20",
            "\"a b\" is not a host name like \"shop.example\" or \"*.shop.example\"",
        ),
        ("match = { path_prefix = \"shop\" }\n", "13:25", "\"shop\" is not a path like \"/checkout\""),
        (
            "match = { headers = { a_b = \"x\" } }\n",
            "13:29",
            "\"a_b\" is not a header name (letters, digits and dashes)",
        ),
        ("rewrite = { strip_prefix = \"/a?b\" }\n", "13:28", "\"/a?b\" is not a path like \"/checkout\""),
        ("[[routes]]\nname = \"all\"\nupstream = \"stable\"\n", "14:8", "there are two routes named \"all\""),
        (
            "[[routes]]\nname = \"a b\"\nupstream = \"stable\"\n",
            "14:8",
            "\"a b\" is no name for a route: letters, digits, dots, dashes and underscores",
        ),
        (
            "[[routes]]\nname = \"b\"\n",
            "13:1",
            "`upstream` is missing in routes[1]: where requests go that no strategy takes",
        ),
        ("[[listeners]]\nname = \"web\"\naddress = \"127.0.0.1:1\"\n", "14:8", "there are two listeners named \"web\""),
        (
            "[[listeners]]\nname = \"b\"\naddress = \"127.0.0.1:8080\"\n",
            "15:11",
            "two listeners listen on 127.0.0.1:8080",
        ),
        (
            "[[listeners]]\nname = \"b\"\naddress = \"localhost\"\n",
            "15:11",
            "\"localhost\" is not an address like \"0.0.0.0:8080\"",
        ),
        (
            "[[listeners]]\nname = \"b\"\naddress = \"[::1]:1\"\ntrusted_proxies = [\"10.0.0.0/33\"]\n",
            "16:20",
            "\"10.0.0.0/33\" is not a CIDR like \"10.0.0.0/8\"",
        ),
        (
            "[admin]\naddress = \"0.0.0.0:9090\"\n",
            "14:11",
            "without tokens the admin listener must be on loopback: use \"127.0.0.1:9090\", or add [[admin.tokens]] (`flaggate token new` makes one)",
        ),
        ("[admin]\naddress = \"127.0.0.1:8080\"\n", "14:11", "127.0.0.1:8080 is a listener's address already"),
        ("[upstreams.empty]\nendpoints = []\n", "14:13", "upstream \"empty\" needs at least one endpoint"),
        (
            "[upstreams.x]\nendpoints = [{ address = \"localhost\" }]\n",
            "14:26",
            "\"localhost\" is not an address like \"10.0.0.1:8080\" or \"host:8080\"",
        ),
        (
            "[upstreams.x]\nendpoints = [{ address = \"h:0\" }]\n",
            "14:26",
            "\"h:0\" is not an address like \"10.0.0.1:8080\" or \"host:8080\"",
        ),
        (
            "[upstreams.x]\nendpoints = [{ address = \"h:1\" }]\nhealth_check = { path = \"x\" }\n",
            "15:25",
            "\"x\" is not a path like \"/checkout\"",
        ),
        ("[context]\nuser_id = [{}]\n", "14:12", "exactly one of header, jwt, cookie, anonymous_cookie must be given"),
        (
            "[context]\nuser_id = [{ header = \"a b\" }]\n",
            "14:23",
            "\"a b\" is not a header name (letters, digits and dashes)",
        ),
        ("[context]\nuser_id = [{ cookie = \"a;b\" }]\n", "14:23", "\"a;b\" is not a cookie's name"),
        (
            "[context.attributes]\nuser_id = { header = \"X\" }\n",
            "14:11",
            "\"user_id\" is built in and cannot be read from the request",
        ),
        (
            "[context.attributes]\na = { header = \"X\", query = \"x\" }\n",
            "14:5",
            "exactly one of header, cookie, query, jwt must be given",
        ),
        ("[inject]\nflags = \"X-User-Id\"\n", "13:1", "two of the injected headers are named \"x-user-id\""),
    ] {
        check(more, &format!("f.toml:{at}: {message}"));
    }
}

#[test]
fn how_listeners_and_upstreams_are_spoken_to() {
    let upstream = "[upstreams.x]\nendpoints = [{ address = \"a:1\" }]\n";
    check(
        &format!("{upstream}protocol = \"auto\"\n"),
        "f.toml:15:12: \"auto\" needs `tls`: without it nothing tells which protocol an upstream speaks",
    );
    check(
        &format!("{upstream}tls = {{ sni = \"a b\" }}\n"),
        "f.toml:15:15: \"a b\" is not a host name like \"shop.internal\"",
    );
    check(
        &format!("{upstream}tls = {{ ca = \"/nowhere\" }}\n"),
        "f.toml:15:14: failed to read \"/nowhere\": No such file or directory (os error 2)",
    );
    check(
        "[[listeners]]\nname = \"other\"\naddress = \"127.0.0.1:0\"\nclient_ca = \"README.md\"\n",
        "f.toml:16:13: there is no certificate in \"README.md\", or one that is not PEM\n\
         f.toml:16:13: `client_ca` is for a listener with `tls`: this one does not encrypt",
    );
}

#[test]
fn a_redis_that_cannot_be() {
    let url = "this is not a URL like \"redis://user@host:6379/0\" (or \"rediss://…\" for TLS)";
    let cannot = "this URL cannot be read; it is like \"redis://user@host:6379/0\", with special letters in \
                  the password percent-encoded";
    let tag = "a cluster needs a `key_prefix` with a hash tag, like \"{flaggate}:\", so that all keys are in one slot";
    for (keys, at, message) in [
        ("", "14:8", "kind = \"redis\" needs `url` or `urls`"),
        ("urls = []", "15:8", "`urls` needs at least one URL"),
        ("url = \"redis://a\"\nurls = [\"redis://a\"]", "16:8", "`url` and `urls` cannot both be given"),
        ("url = \"http://me:pw@a\"", "15:7", url),
        ("url = \"redis+unix:///tmp/s\"", "15:7", url),
        ("url = \"rediss://a/#insecure\"", "15:7", url),
        ("url = \"redis://me:pw@\"", "15:7", cannot),
        ("url = \"redis://a:x\"", "15:7", cannot),
        ("url = \"redis://a/x\"", "15:7", cannot),
        (
            "url = \"redis://a\"\npath = \"x\"",
            "16:8",
            "`path` is for kind = \"embedded\"; a Redis is named by `url` or `urls`",
        ),
        ("url = \"redis://a\"\nca = \"x\"", "16:6", "`ca` is for a rediss:// URL: this one is not encrypted"),
        (
            "url = \"redis://:pw@a\"\npassword_file = \"x\"",
            "16:17",
            "the password stands in the URL already: give one of the two",
        ),
        (
            "urls = [\"redis://a\", \"redis://b\"]",
            "15:22",
            "several `urls` are for `sentinel` or `cluster`; one server is one `url`",
        ),
        (
            "urls = [\"redis://a\", \"rediss://b\"]\nsentinel = { master = \"m\" }",
            "15:22",
            "all `urls` must have the same scheme, user, password and database",
        ),
        (
            "url = \"redis://a\"\nsentinel = {}",
            "16:12",
            "`master` is missing in store.sentinel: the name under which the sentinels watch the master",
        ),
        (
            "url = \"redis://a\"\ncluster = true\nsentinel = { master = \"m\" }",
            "16:11",
            "`sentinel` and `cluster` cannot both be given",
        ),
        ("url = \"redis://a\"\ncluster = true", "16:11", tag),
        ("url = \"redis://a\"\ncluster = true\nkey_prefix = \"{}a:\"", "17:14", tag),
        ("url = \"redis://a/1\"\ncluster = true\nkey_prefix = \"{a}:\"", "16:11", "a cluster has database 0 only"),
    ] {
        check(&format!("[store]\nkind = \"redis\"\n{keys}\n"), &format!("f.toml:{at}: {message}"));
    }
    check("[store]\nurl = \"redis://a\"\n", "f.toml:14:7: `url` is for kind = \"redis\"");
    check("[store]\nkind = \"memory\"\nkey_prefix = \"a\"\n", "f.toml:15:14: `key_prefix` is for kind = \"redis\"");
}

#[test]
fn a_redis_is_read_and_its_password_never_shown() {
    let parse = |keys: &str| {
        let text = format!("{GOOD}[store]\nkind = \"redis\"\n{keys}\n");
        match Config::parse("f.toml", &text, std::iter::empty()).unwrap().store.kind {
            StoreKind::Redis(redis) => *redis,
            other @ (StoreKind::Memory | StoreKind::Embedded { .. }) => panic!("{other:?}"),
        }
    };
    assert_eq!(parse("url = \"redis://10.0.0.1\""), Redis::at("10.0.0.1", 6379));
    let redis = parse("url = \"rediss://me:p%40ss@[::1]:7000/3\"\nca = \"ca.pem\"\nanswer_timeout = \"5s\"");
    assert_eq!(redis.login.password.as_ref().map(Secret::expose), Some("p@ss"));
    assert_eq!((redis.login.username.as_deref(), redis.database, redis.tls), (Some("me"), 3, true));
    assert_eq!(redis.servers, Servers::Single(RedisServer { host: "::1".to_owned(), port: 7000 }));
    assert!(!format!("{redis:?}").contains("p@ss"));
    let redis =
        parse("urls = [\"redis://a:1\", \"redis://b:2\"]\nsentinel = { master = \"m\", password_file = \"f\" }");
    let Servers::Sentinel { sentinels, master, login } = redis.servers else { panic!("{redis:?}") };
    assert_eq!((sentinels.len(), &*master, login.password_file), (2, "m", Some("f".into())));
    // Neither in the message nor in the source that is shown with it.
    for keys in [
        "url = \"redis://me:tell@h\"\npassword_file = \"f\"",
        "urls = \"redis://me:tell@h\"",
        "sentinel = \"redis://:tell@h\"",
    ] {
        let text = format!("{GOOD}[store]\nkind = \"redis\"\n{keys}\n");
        let error = Config::parse("f.toml", &text, std::iter::empty()).unwrap_err();
        let told = format!("{error} {error:?}") + &format!("{:?}", miette::Report::new(*error));
        assert!(told.contains("****") && !told.contains("tell"), "{told}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let text = format!("{GOOD}expose = 1\nflags = 2\n[admin]\naddress = \"x\"\n");
    assert_eq!(errors(&text, &[]).lines().count(), 3, "{}", errors(&text, &[]));
    assert_eq!(errors("a = [", &[]).lines().next().map(|line| line.starts_with("f.toml:1:")), Some(true));
    assert!(errors("", &[]).contains("`listeners` is missing"));
}

#[test]
fn variables_override() {
    let parse = |variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::parse("f.toml", GOOD, variables).unwrap()
    };
    let config = parse(&[
        ("FLAGGATE__ADMIN__ADDRESS", "127.0.0.1:7777"),
        ("FLAGGATE__LISTENERS__0__ADDRESS", "127.0.0.1:8888"),
        ("FLAGGATE__SERVER__WORKERS", "3"),
        ("FLAGGATE__ACCESS_LOG__ENABLED", "false"),
        ("FLAGGATE__ROUTES__0__FLAGS", "a, b"),
        ("FLAGGATE__UPSTREAMS__STABLE__LOAD_BALANCE", "p2c"),
        ("PATH", "/bin"),
    ]);
    assert_eq!(
        (config.admin.address.port(), config.listeners[0].address.port(), config.server.workers),
        (7777, 8888, 3)
    );
    assert_eq!((config.access_log.enabled, config.flags().collect::<Vec<_>>()), (false, vec!["a", "b"]));
    for (variable, value, message) in [
        ("FLAGGATE__ADMN__ADDRESS", "x", "unknown key `admn`, did you mean \"admin\"?"),
        ("FLAGGATE__ADMIN__ADDRESS", "x", "\"x\" is not an address like \"0.0.0.0:8080\""),
        ("FLAGGATE__SERVER__WORKERS", "many", "server.workers takes a whole number from 1 to 1024, not \"many\""),
        ("FLAGGATE__ROUTES__7__NAME", "x", "\"7\" is no position in a list of 1; positions start at 0"),
        ("FLAGGATE__ADMIN", "x", "this is a table: name one of its keys, after `__`"),
    ] {
        assert_eq!(errors(GOOD, &[(variable, value)]), format!("environment variable {variable}: {message}"));
    }
}

#[test]
fn tokens_of_the_admin_listener() {
    let digest = "aB".repeat(32);
    let token = |name: &str, more: &str| format!("[[admin.tokens]]\nname = {name:?}\n{more}\n");
    let good = format!("role = \"editor\"\nsha256 = {digest:?}");
    let text = format!("{GOOD}[admin]\naddress = \"0.0.0.0:9090\"\n{}", token("ci", &good));
    let config = Config::parse("f.toml", &text, std::iter::empty()).unwrap();
    assert_eq!(config.admin.tokens.len(), 1);
    assert_eq!((config.admin.tokens[0].role, config.admin.tokens[0].sha256), (Role::Editor, [0xab; 32]));

    let secret = format!("flaggate_{}", "x".repeat(43));
    let pasted = token("ci", &format!("role = \"editor\"\nsha256 = {secret:?}"));
    let shown = format!("{:?}", Config::parse("f.toml", &format!("{GOOD}{pasted}"), std::iter::empty()).unwrap_err());
    assert!(shown.contains("this is no SHA-256 in hex") && !shown.contains(&secret), "{shown}");
    for (more, told) in [
        (
            token("ci", &format!("role = \"root\"\nsha256 = {digest:?}")),
            "it takes client, viewer, operator, editor, admin",
        ),
        (token("ci", &format!("{good}\nexpires_at = \"soon\"")), "\"soon\" is not a time like"),
        (token("ci", &good) + &token("ci", &good.replace('a', "c")), "there are two tokens named \"ci\""),
        (token("ci", &good) + &token("web", &good), "this is the same token as \"ci\""),
        ("[admin]\ncors_origins = [\"https://a.example/\"]\n".to_owned(), "is not an origin like"),
        ("[admin]\ncors_origins = [\"*\"]\n".to_owned(), "is not an origin like"),
    ] {
        let message = errors(&format!("{GOOD}{more}"), &[]);
        assert!(message.contains(told), "{more}: {message}");
    }
}

#[test]
fn outbound() {
    let config = |more: &str| {
        Config::parse("f.toml", &format!("{GOOD}{more}"), std::iter::empty()).map(|config| config.outbound)
    };
    assert_eq!(config("").unwrap(), flaggate::config::Outbound::default());
    let good = config(
        "[outbound]\nallow = [\"Prometheus.Internal:9090\", \"[::1]:80\", \"10.0.0.1:443\"]\nnetworks = [\"10.0.0.0/8\", \"::1\"]\n\
         [outbound.channels.ops]\nkind = \"slack\"\nurl_file = \"ops\"\n[outbound.channels.audit]\nurl = \"https://a/SECRET\"\n",
    )
    .unwrap();
    let allowed: Vec<String> = good.allow.iter().map(|allowed| format!("{} {}", allowed.host, allowed.port)).collect();
    assert_eq!(allowed, ["prometheus.internal 9090", "[::1] 80", "10.0.0.1 443"]);
    assert_eq!((good.networks.len(), good.channels.len()), (2, 2));
    assert!(!format!("{good:?}").contains("SECRET"), "{good:?}");
    let line = "f.toml:14:";
    for (more, expected) in [
        ("allow = [\"host\"]", format!("{line}10: \"host\" is not `host:port`, like \"prometheus.internal:9090\"")),
        (
            "allow = [\"*.example:80\"]",
            format!("{line}10: \"*.example:80\" is not `host:port`, like \"prometheus.internal:9090\""),
        ),
        ("networks = [\"x\"]", format!("{line}13: \"x\" is not a network like \"10.0.0.0/8\"")),
        (
            "channels.a = { kind = \"slack\", url = \"https://hooks.example/SECRET\" }",
            format!("{line}38: the URL of a Slack hook is a secret: put it into a file and name that in `url_file`"),
        ),
        ("channels.a.url = \"SECRET\"", format!("{line}10: `url` must begin with http:// or https://")),
        ("channels.a = {}", format!("{line}14: exactly one of url, url_file must be given")),
        (
            "credentials.p = { bearer_env = \"T\" }",
            format!("{line}17: credentials are named by where they go, like \"https://prometheus.internal:9090\""),
        ),
        (
            "credentials.\"http://p:90\" = { bearer_env = \"T\" }",
            format!("{line}29: these credentials go to a host that is not in `allow`"),
        ),
        (
            "allow = [\"p:80\"]\ncredentials.\"http://p\" = { bearer_env = \"T\", username = \"u\" }",
            "f.toml:15:26: exactly one of bearer_file, bearer_env must be given, or a username with exactly one of password_file, password_env".to_owned(),
        ),
    ] {
        check(&format!("[outbound]\n{more}\n"), &expected);
    }
}

/// The file is shown where something is wrong in it, but not what it says of a web hook.
#[test]
fn errors_do_not_show_the_url_of_a_web_hook() {
    let text =
        format!("{GOOD}[outbound]\nchannels.a = {{ kind = \"slack\", url = \"https://hooks.example/SECRET\" }}\n");
    let error = Config::parse("f.toml", &text, std::iter::empty()).unwrap_err();
    let shown = format!("{:?}", miette::Report::new(*error));
    assert!(shown.contains("hooks.example") && !shown.contains("SECRET"), "{shown}");
}

#[test]
fn tracing() {
    let config = |more: &str| Config::parse("f.toml", &format!("{GOOD}{more}"), std::iter::empty()).unwrap();
    assert_eq!(config("").tracing, None);
    let plain = config("[tracing]\nendpoint = \"http://[::1]:4318\"\n").tracing.unwrap();
    assert_eq!((plain.endpoint.as_str(), plain.sample.millionths()), ("http://[::1]:4318/v1/traces", 10_000));
    assert_eq!((plain.accept_parent_from, plain.user_id), (AcceptIdentityFrom::TrustedProxies, false));
    let full = config(
        "[context]\naccept_identity_from = \"anyone\"\n[tracing]\nendpoint = \"https://c/own\"\nsample = \"0.05%\"\n\
         headers = { X-Tenant = \"SECRET\" }\nheader_files = { Authorization = \"f\" }\n",
    );
    let full = full.tracing.unwrap();
    assert_eq!((full.endpoint.path(), full.sample.millionths()), ("/own", 500));
    assert_eq!((full.accept_parent_from, full.headers.len()), (AcceptIdentityFrom::Anyone, 2));
    assert!(!format!("{full:?}").contains("SECRET"), "{full:?}");
    let url = "a URL like \"http://127.0.0.1:4318\", without user, query and fragment";
    for (more, expected) in [
        ("sample = \"1%\"".to_owned(), "f.toml:13:1: `endpoint` is missing in tracing".to_owned()),
        ("endpoint = \"h:4318\"".to_owned(), format!("f.toml:14:12: \"h:4318\" is not {url}")),
        ("endpoint = \"http://h?a\"".to_owned(), format!("f.toml:14:12: \"http://h?*\" is not {url}")),
        ("endpoint = \"http://me@h\"".to_owned(), format!("f.toml:14:12: \"http://me@h\" is not {url}")),
        (
            "endpoint = \"http://h\"\nsample = \"1\"".to_owned(),
            "f.toml:15:10: \"1\" is not a share like \"1%\" or \"0.05%\", \"100%\" at most".to_owned(),
        ),
        (
            "endpoint = \"http://h\"\nheaders = { a_b = \"x\" }".to_owned(),
            "f.toml:15:19: \"a_b\" is not a header name (letters, digits and dashes)".to_owned(),
        ),
    ] {
        let told = errors(&format!("{GOOD}[tracing]\n{more}\n"), &[]);
        assert!(told.starts_with(&expected), "{told}");
    }
    check(
        "[access_log]\nsample = \"200%\"\n",
        "f.toml:14:10: \"200%\" is not a share like \"1%\" or \"0.05%\", \"100%\" at most",
    );
}

#[test]
fn events_go_where_the_store_is_unless_said_otherwise() {
    let sinks = |more: &str| {
        let events = Config::parse("f.toml", &format!("{GOOD}{more}"), std::iter::empty()).unwrap().events;
        let file = events.file.map(|file| format!("file {} ", file.path.display())).unwrap_or_default();
        let redis = events.redis.map(|redis| format!("redis {} ", redis.max_len)).unwrap_or_default();
        format!("{redis}{file}{}", if events.webhook.is_some() { "webhook" } else { "" })
    };
    let redis = "[store]\nkind = \"redis\"\nurl = \"redis://a\"\n";
    let hook = "[events.webhook]\nurl = \"https://a/SECRET\"\n";
    for (more, expected) in [
        (String::new(), "file data/flaggate.events.jsonl "),
        ("[store]\npath = \"/var/lib/gate.redb\"\n".to_owned(), "file /var/lib/gate.events.jsonl "),
        ("[store]\nkind = \"memory\"\n".to_owned(), ""),
        (redis.to_owned(), "redis 100000 "),
        (format!("{redis}{hook}"), "redis 100000 webhook"),
        (format!("{redis}[events]\nsinks = [\"file\"]\n{hook}"), "file data/flaggate.events.jsonl "),
        (format!("{redis}[events]\nsinks = []\n"), ""),
        ("[events]\nenabled = false\n".to_owned(), ""),
    ] {
        assert_eq!(sinks(&more), expected, "{more}");
    }
    let line = "f.toml:14:";
    for (more, expected) in [
        (
            "sinks = [\"redis\"]",
            format!("{line}10: the sink `redis` is the Redis of `[store]`: it needs `store.kind = \"redis\"`"),
        ),
        ("sinks = [\"webhook\"]", format!("{line}10: the sink `webhook` needs `[events.webhook]`")),
        (
            "sinks = [\"fiel\"]",
            format!("{line}10: events.sinks[0] has no \"fiel\", did you mean \"file\"?; it takes redis, file, webhook"),
        ),
        ("webhook.url = \"SECRET\"", format!("{line}15: `url` must begin with http:// or https://")),
        ("webhook = {}", format!("{line}11: exactly one of url, url_file must be given")),
        ("session_id = {}", format!("{line}14: exactly one of header, cookie must be given")),
        (
            "memory = \"much\"",
            format!("{line}10: events.memory takes a size like \"64KiB\" or \"10MiB\", not \"much\""),
        ),
    ] {
        check(&format!("[events]\n{more}\n"), &expected);
    }
    check(
        "[privacy]\nhash_user_ids = true\n",
        "f.toml:13:1: `hash_user_ids` needs a `secret_file`: `head -c 32 /dev/urandom > FILE`",
    );
}
