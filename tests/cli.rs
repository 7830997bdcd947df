//! The real binary's commands.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use flaggate::model::Role;
use sha2::{Digest as _, Sha256};

/// Runs the binary: exit code, standard output, standard error.
fn flaggate(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_flaggate")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn check_says_what_a_file_sets_up() {
    let (code, out, _) = flaggate(&["check", "config/demo.toml"]);
    assert_eq!(
        (code, out.trim_end()),
        (
            0,
            "config/demo.toml is right: 1 listener(s), 1 route(s), 5 upstream(s) with 5 endpoint(s), 7 flag(s) named by routes"
        )
    );
}

#[test]
fn check_says_everything_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    std::fs::write(&file, "[admin]\nadres = 1\n").unwrap();
    let name = file.to_str().unwrap();
    let (code, out, err) = flaggate(&["check", name]);
    assert_eq!(code, 1);
    assert!(out.contains(&format!("{name}:2:1: unknown key `adres` in admin, did you mean \"address\"?")), "{out}");
    assert!(out.contains("`listeners` is missing") && err.contains("docs/configuration.md"), "{out}{err}");
    let (code, _, err) = flaggate(&["check", "no/such/file.toml"]);
    assert!(code == 1 && err.contains("failed to read no/such/file.toml"), "{err}");
}

#[test]
fn check_prints_the_schema() {
    let (code, out, _) = flaggate(&["check", "--schema"]);
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, schema["properties"]["routes"]["type"].as_str()), (0, Some("array")));
}

#[test]
fn eval_runs_vectors() {
    let (code, out, _) = flaggate(&["eval", "--vectors", "tests/data/parity-dev.jsonl"]);
    assert_eq!((code, out.as_str()), (0, "2413 passed, 0 failed, 587 skipped\n"));
    let (code, out, _) = flaggate(&["eval", "--vectors", "tests/data/parity-dev.jsonl", "--quirks", "all"]);
    assert!(code == 1 && out.contains("dev-00"), "what is done otherwise on purpose differs");
    let (code, out, _) = flaggate(&["eval", "--vectors", "tests/data/buckets.jsonl"]);
    assert_eq!((code, out.as_str()), (0, "2000 passed, 0 failed, 0 skipped\n"));
}

#[test]
fn a_new_token_fits_the_configuration() {
    let (code, out, _) = flaggate(&["token", "new", "--name", "c \"i\"", "--role", "editor", "--expires-in", "90d"]);
    assert_eq!(code, 0);
    let lines = out.lines().filter_map(|line| line.strip_prefix("  "));
    let (tokens, table): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("flaggate_"));
    let [token] = tokens[..] else { panic!("{out}") };
    assert_eq!(token.len(), "flaggate_".len() + 43);
    let text = std::fs::read_to_string("config/demo.toml").unwrap() + "\n" + &table.join("\n");
    let config = flaggate::config::Config::parse("demo.toml", &text, std::iter::empty()).unwrap();
    let [kept] = &config.admin.tokens[..] else { panic!("{out}") };
    let digest: [u8; 32] = Sha256::digest(token).into();
    assert_eq!((kept.name.as_str(), kept.role, kept.sha256), ("c \"i\"", Role::Editor, digest));
    let left = kept.expires_at.unwrap().duration_since(flaggate::clock::now()).as_hours();
    assert!((2159..=2160).contains(&left), "{left} h");

    let (code, out, _) = flaggate(&["token", "new", "--name", "a", "--role", "viewer", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(code == 0 && made["token"] != token && made["expires_at"].is_null(), "{out}");
    let (code, _, err) = flaggate(&["token", "new", "--name", "a", "--role", "root"]);
    assert!(code == 2 && err.contains("client, viewer, operator, editor, admin"), "{err}");
}
