//! Keeps the source tidy: the layer rule, sizes, and what must not be in the sources.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Which modules of the crate each module may use. A module may always use itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("drain", &[]),
    ("model", &[]),
    ("statistics", &[]),
    ("predict", &["model"]),
    ("train", &["model", "predict"]),
    ("eval", &["model", "predict"]),
    ("snapshot", &["model", "predict", "eval"]),
    ("import", &["model", "eval"]),
    ("delivery", &["model", "eval", "statistics"]),
    ("config", &["model"]),
    ("telemetry", &["model", "clock", "config"]),
    ("outbound", &["model", "clock", "config", "telemetry"]),
    ("profiles", &["model", "clock", "config", "telemetry"]),
    ("recent", &["config"]),
    ("store", &["model", "snapshot", "clock", "config", "telemetry"]),
    ("tracking", &["model", "snapshot", "store", "clock", "config", "telemetry"]),
    ("happenings", &["model", "delivery", "store", "clock", "config", "telemetry"]),
    ("tripping", &["model", "eval", "snapshot", "delivery", "store", "outbound", "clock", "telemetry"]),
    ("analytics", &["model", "statistics", "snapshot", "store", "clock", "telemetry"]),
    ("gateway", &["model", "eval", "snapshot", "profiles", "recent", "clock", "config", "drain", "telemetry"]),
    ("conductor", &["model", "snapshot", "delivery", "outbound", "store", "clock", "config", "telemetry"]),
    (
        "admin",
        &[
            "model",
            "delivery",
            "conductor",
            "predict",
            "train",
            "eval",
            "snapshot",
            "import",
            "profiles",
            "recent",
            "store",
            "tripping",
            "tracking",
            "analytics",
            "clock",
            "config",
            "drain",
            "outbound",
            "telemetry",
        ],
    ),
    ("demo", &["model", "store", "clock", "config"]),
    (
        "app",
        &[
            "model",
            "delivery",
            "conductor",
            "outbound",
            "eval",
            "snapshot",
            "profiles",
            "recent",
            "store",
            "gateway",
            "admin",
            "clock",
            "config",
            "drain",
            "telemetry",
            "outbound",
            "tripping",
            "tracking",
            "analytics",
            "happenings",
            "demo",
        ],
    ),
    ("cli", &["model", "eval", "snapshot", "import", "store", "clock", "config", "telemetry", "demo", "app"]),
];

/// What the pure core must not reach for.
const IMPURE: &[&str] =
    &["tokio", "pingora", "redis", "std::fs", "std::net::Tcp", "redb", "clock::", "rand::", "getrandom"];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| (path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// The top-level module that a file belongs to; `None` for `lib.rs` and `main.rs`.
fn module(path: &Path) -> Option<String> {
    let first = path.components().next()?.as_os_str().to_str()?;
    let name = first.trim_end_matches(".rs");
    (!matches!(name, "lib" | "main")).then(|| name.to_owned())
}

/// The modules that a source names after `crate::` or `flaggate::`.
fn used(source: &str) -> Vec<String> {
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |all, line| all + line + "\n");
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut name = String::new();
            let mut naming = true;
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (depth == 1 && letter == ',') {
                    names.push(std::mem::take(&mut name));
                    naming = true;
                } else if depth == 1 && letter == ':' {
                    naming = false;
                } else if naming && (letter.is_alphanumeric() || letter == '_') {
                    name.push(letter);
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            names.push(rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect());
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn arrows_run_downwards_only() {
    let rules: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, source) in sources() {
        let Some(module) = module(&path) else { continue };
        let Some(allowed) = rules.get(module.as_str()) else {
            wrong.push(format!("{}: module `{module}` has no rule in tests/tidy.rs", path.display()));
            continue;
        };
        for name in used(&source) {
            if name != module && !allowed.contains(&name.as_str()) && rules.contains_key(name.as_str()) {
                wrong.push(format!("{}: `{module}` must not use `{name}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for (path, source) in sources() {
        if !matches!(
            module(&path).as_deref(),
            Some("model" | "statistics" | "eval" | "snapshot" | "import" | "predict" | "train" | "delivery")
        ) {
            continue;
        }
        for (number, line) in source.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for name in IMPURE {
                if code.contains(name) {
                    wrong.push(format!("{}:{}: the pure core names `{name}`", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_layer_check_sees_what_is_used() {
    let source = "use crate::{\n    model::{Context, Fault},\n    store,\n};\n// crate::gateway\nfn f() { crate::clock::now(); }\n";
    assert_eq!(used(source), ["model", "store", "clock"]);
}

#[test]
fn files_fit_in_a_head() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|(path, source)| (path, source.lines().count()))
        .filter(|(_, lines)| *lines > 450)
        .map(|(path, lines)| format!("{}: {lines} lines; split it", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
