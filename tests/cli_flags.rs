//! `flaggate flags` of the real binary, against a gateway of the real binary.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cli.rs"]
mod cli;

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use self::cli::{Gateway, free};

impl Gateway {
    fn flag_with(&self, key: &str, token_file: &str) -> Value {
        serde_json::from_str(&self.said(&["flags", "get", key, "--json", "--token-file", token_file])).unwrap()
    }

    fn flag(&self, key: &str) -> Value {
        serde_json::from_str(&self.said(&["flags", "get", key, "--json"])).unwrap()
    }
}

#[test]
fn the_life_of_a_flag() {
    let gateway = Gateway::start();
    let create = [
        "flags",
        "create",
        "theme",
        "--type",
        "string",
        "--default",
        "1",
        "--variant",
        "dark=black",
        "--variant",
        "light=2",
        "--tag",
        "ui",
        "--description",
        "Colours",
        "--off",
    ];
    assert_eq!(gateway.said(&create), "theme is at revision 1\n");
    let flag = gateway.flag("theme");
    let expected = json!({ "key": "theme", "name": "theme", "description": "Colours", "flag_type": "string",
        "default_value": "1", "enabled": false, "variants": { "dark": "black", "light": "2" }, "tags": ["ui"] });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&flag[name], value, "{name}");
    }
    assert_eq!(gateway.said(&["flags", "on", "theme"]), "theme is at revision 2\n");
    let served = gateway.said(&["flags", "rollout", "theme", "25%", "--wait", "all"]);
    assert!(served.starts_with("theme is at revision 3, served by 1 of 1 gateways after "), "{served}");
    assert_eq!(gateway.said(&["flags", "set", "theme", "name=7", "variants.dark=night"]), "theme is at revision 4\n");
    assert_eq!(gateway.flag("theme")["variants"], json!({ "dark": "night", "light": "2" }));
    assert_eq!(gateway.flag("theme")["name"], "7");
    let tried = gateway.said(&["flags", "set", "theme", "rollout_percentage=50", "owner=us", "--dry-run"]);
    let lines = ["theme would be updated", "~ /rollout_percentage: 25 → 50", "+ /owner: \"us\"", ""];
    assert_eq!(tried, lines.join("\n"));
    assert_eq!(gateway.said(&["flags", "set", "theme", "name=7", "--dry-run"]), "theme would stay as it is\n");
    let history = gateway.said(&["flags", "history", "theme"]);
    assert!(history.contains("~ /enabled: false → true") && history.contains("   1  "), "{history}");
    assert_eq!(gateway.said(&["flags", "rollback", "theme", "2"]), "theme is at revision 5\n");
    assert_eq!(gateway.flag("theme")["rollout_enabled"], false);
    let (code, out, err) = gateway.run(&["flags", "delete", "theme"]);
    assert!(code == 1 && out.is_empty() && err.contains("--yes"), "{err}");
    let deleted = gateway.said(&["flags", "delete", "theme", "--yes"]);
    assert!(deleted.starts_with("theme is deleted"), "{deleted}");
    assert_eq!(gateway.said(&["flags", "rollback", "theme", "4"]), "theme is at revision 6\n");
    let shown = gateway.said(&["flags", "get", "theme"]);
    assert!(
        shown.contains("variants            {\"dark\":\"night\",\"light\":\"2\"}\n")
            && shown.ends_with("revision            6\n"),
        "{shown}"
    );
    let history: Value =
        serde_json::from_str(&gateway.said(&["flags", "history", "theme", "--json", "--full"])).unwrap();
    assert_eq!(history["entries"].as_array().unwrap().len(), 7);
    assert_eq!(history["entries"][0]["document"]["name"], "7");
}

#[test]
fn lists() {
    let gateway = Gateway::start();
    let (code, out, err) = gateway.run(&["flags", "list"]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", "flaggate: there are no such flags\n"));
    for (key, more) in [("b-two", &["--tag", "x", "--off"][..]), ("a", &["--tag", "x", "--tag", "y"]), ("c", &[])] {
        gateway.said(&[&["flags", "create", key], more].concat());
    }
    gateway.said(&["flags", "rollout", "a", "12.5"]);
    let table = gateway.said(&["flags", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("KEY    STATE  TYPE     ROLLOUT  RULES  TAGS  UPDATED"), "{table}");
    assert!(lines[1].starts_with("a      on     boolean  12.5%    -      x,y   20"), "{table}");
    assert!(lines[2].starts_with("b-two  off    boolean  -        -      x     20"), "{table}");
    let keys = |more: &[&str]| {
        let flags: Value = serde_json::from_str(&gateway.said(&[&["flags", "list", "--json"], more].concat())).unwrap();
        flags.as_array().unwrap().iter().map(|flag| flag["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys(&[]), ["a", "b-two", "c"]);
    assert_eq!(keys(&["--tag", "y"]), ["a"]);
    assert_eq!(keys(&["--tag", "x", "--state", "off"]), ["b-two"]);
    assert_eq!(keys(&["--q", "TWO"]), ["b-two"]);
    assert_eq!(keys(&["--limit", "2"]), ["a", "b-two"]);
    let (_, _, err) = gateway.run(&["flags", "list", "--limit", "1"]);
    assert_eq!(err, "flaggate: 1 of 3 are shown; --limit shows more\n");
}

#[test]
fn files() {
    let gateway = Gateway::start();
    let json = gateway.folder.path().join("a.json");
    fs::write(&json, r#"{"key": "a", "name": "From a file", "tags": ["t"], "owner": "us"}"#).unwrap();
    gateway.said(&["flags", "create", "a", "--file", json.to_str().unwrap(), "--tag", "u"]);
    assert_eq!((&gateway.flag("a")["name"], &gateway.flag("a")["tags"]), (&json!("From a file"), &json!(["u"])));
    let yaml = gateway.folder.path().join("a.yaml");
    fs::write(&yaml, "name: Changed\nvariants:\n  x: true\n").unwrap();
    gateway.said(&["flags", "set", "a", "--file", yaml.to_str().unwrap(), "enabled=false"]);
    let flag = gateway.flag("a");
    assert_eq!((&flag["name"], &flag["owner"], &flag["enabled"]), (&json!("Changed"), &json!("us"), &json!(false)));
    gateway.said(&["flags", "set", "a", "--file", yaml.to_str().unwrap(), "--replace"]);
    let flag = gateway.flag("a");
    assert_eq!((flag.get("owner"), &flag["enabled"], &flag["variants"]), (None, &json!(true), &json!({ "x": true })));
    let (code, out, err) = gateway.run_with(&["flags", "set", "b", "--replace", "--file", "-"], r#"{"name": "B"}"#);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "b is at revision 1\n", ""));
    let (code, _, err) = gateway.run(&["flags", "set", "a", "--file", "no/such"]);
    assert!(code == 1 && err.contains("failed to read no/such"), "{err}");
}

#[test]
fn failures_say_what_helps_and_have_codes() {
    let gateway = Gateway::start();
    gateway.said(&["flags", "create", "checkout"]);
    gateway.said(&["flags", "create", "child"]);
    gateway.said(&["flags", "set", "child", "parent=checkout"]);
    for (arguments, code, words) in [
        (&["flags", "get", "chekout"][..], 3, &["404", "did you mean \"checkout\"?"][..]),
        (&["flags", "history", "zzz"], 3, &["404", "`flaggate flags list` shows all flags"]),
        (&["flags", "rollback", "checkout", "9"], 3, &["no revision 9", "flags history checkout"]),
        (&["flags", "create", "checkout"], 4, &["already exists", "`flaggate flags set checkout …` changes it"]),
        (&["flags", "delete", "checkout", "--yes"], 4, &["child"]),
        (&["flags", "off", "checkout", "--wait", "2", "--timeout", "0.05"], 6, &["`flaggate status`"]),
        (&["flags", "set", "checkout", "rollout_percentage=101"], 5, &["422", "\n  /rollout_percentage: "]),
        (&["flags", "set", "checkout", "colour=1", "enabled=2"], 5, &["\n  /enabled: "]),
        (&["flags", "set", "checkout", "parent=nobody"], 5, &["\n  /parent: there is no flag \"nobody\""]),
        (
            &["flags", "set", "checkout", "name=x", "--if-match", "\"r1-00000000\""],
            4,
            &["412", "hint: somebody changed it"],
        ),
        (&["flags", "set", "checkout", "name"], 1, &["is not field=value"]),
        (&["flags", "set", "checkout"], 2, &["FIELD=VALUE"]),
        (&["flags", "rollout", "checkout", "120%"], 2, &["0% to 100%"]),
    ] {
        let (found, _, err) = gateway.run(arguments);
        assert_eq!(found, code, "{arguments:?}: {err}");
        for word in words {
            assert!(err.contains(word), "{arguments:?}: {err}");
        }
    }
    let nowhere = format!("http://{}", free());
    let (code, _, err) = gateway.run(&["flags", "list", "--admin", &nowhere]);
    assert!(code == 7 && err.contains("no gateway answers") && err.contains("hint: is it running"), "{err}");
}

#[test]
fn tokens_are_shown() {
    let make = |role: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flaggate"));
        let output = command.args(["token", "new", "--name", role, "--role", role]);
        let text = String::from_utf8(output.output().unwrap().stdout).unwrap();
        let token = text.lines().map(str::trim).find(|line| line.starts_with("flaggate_")).unwrap().to_owned();
        let table = text.lines().map(str::trim).skip_while(|line| *line != "[[admin.tokens]]").take(4);
        (token, table.collect::<Vec<_>>().join("\n"))
    };
    let ((viewer, viewers), (editor, editors)) = (make("viewer"), make("editor"));
    let gateway = Gateway::start_with(&format!("{viewers}\n{editors}\n"));
    let file = |name: &str, token: &str| {
        let path = gateway.folder.path().join(name);
        fs::write(&path, format!("{token}\n")).unwrap();
        path.display().to_string()
    };
    let (viewer, editor) = (file("viewer", &viewer), file("editor", &editor));
    assert_eq!(gateway.said(&["flags", "create", "a", "--token-file", &editor]), "a is at revision 1\n");
    assert_eq!(gateway.flag_with("a", &viewer)["name"], "a");
    let history = gateway.said(&["flags", "history", "a", "--token-file", &viewer]);
    assert!(history.contains("created by editor"), "{history}");
    for (arguments, hint) in [
        (&["flags", "off", "a", "--token-file", &viewer][..], "hint: the token's role must allow it"),
        (&["flags", "list"], "hint: no token was shown"),
    ] {
        let (code, _, err) = gateway.run(arguments);
        assert!(code == 8 && err.contains(hint), "{code} {err}");
    }
}

#[test]
fn completions_for_shells() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Command::new(env!("CARGO_BIN_EXE_flaggate")).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("rollback") && script.contains("history"), "{shell}");
    }
}

/// What a command says to somebody at a terminal, who answers so: the exit code and everything on the screen.
fn at_a_terminal(gateway: &Gateway, command: &str, reply: &str) -> (i32, String) {
    let command = format!("{} {command}", env!("CARGO_BIN_EXE_flaggate"));
    let mut process = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &command, "/dev/null"])
        .env("FLAGGATE_ADMIN", gateway.admin.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(reply.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn deleting_asks_first() {
    let gateway = Gateway::start();
    gateway.said(&["flags", "create", "theme"]);
    for no in ["\n", "n\n", "no\n", "yes please\n", ""] {
        let (code, screen) = at_a_terminal(&gateway, "flags delete theme", no);
        assert!(screen.contains("delete the flag \"theme\"? [y/N]"), "{no:?}: {screen}");
        assert!(code == 1 && screen.contains("nothing was deleted"), "{no:?}: {code} {screen}");
    }
    assert_eq!(gateway.flag("theme")["key"], "theme");
    let (code, screen) = at_a_terminal(&gateway, "flags delete theme --dry-run", "");
    assert!(code == 0 && !screen.contains("[y/N]") && screen.contains("theme would be deleted"), "{code} {screen}");
    let (code, screen) = at_a_terminal(&gateway, "flags delete theme", " Yes \n");
    assert!(code == 0 && screen.contains("theme is deleted"), "{code} {screen}");
    assert_eq!(gateway.run(&["flags", "get", "theme"]).0, 3);
}

#[test]
fn one_command_kills_and_one_lifts() {
    let gateway = Gateway::start();
    for (flag, tag) in [("checkout", "beta"), ("list", "beta"), ("theme", "critical")] {
        gateway.said(&["flags", "create", flag, "--tag", tag]);
    }
    assert_eq!(gateway.said(&["kill", "list"]), "nothing is killed\n");
    let said = gateway.said(&["kill", "checkout", "--reason", "errors"]);
    assert!(
        said.starts_with("killed 1 flag (checkout) by kill-flag-checkout: applied by 1 of 1 gateways in "),
        "{said}"
    );
    let said = gateway.said(&["kill", "checkout", "--reason", "again"]);
    assert!(said.starts_with("kills already 1 flag"), "{said}");
    let said = gateway.said(&["kill", "--tag", "beta", "--dry-run"]);
    assert_eq!(said, "would kill 2 flags (checkout, list) by kill-tag-beta\n");
    let said = gateway.said(&["kill", "--all", "--exempt-critical", "--reason", "fire"]);
    assert!(said.starts_with("killed 2 flags (checkout, list) by kill-all-but-critical"), "{said}");
    gateway.said(&["kill", "--reason", "x", "--", "list"]);
    let list = gateway.said(&["kill", "list"]);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows.len(), &rows[2][..2]), (4, &["kill-flag-checkout", "triggered"][..]), "{list}");
    assert!(list.contains("errors") && list.contains("feature"), "{list}");

    let said = gateway.said(&["kill", "--lift", "checkout", "--reason", "mended"]);
    assert!(said.starts_with("lifted kill-flag-checkout"), "{said}");
    assert!(said.contains("checkout is still killed by kill-all-but-critical"), "{said}");
    let said = gateway.said(&["kill", "--lift", "--switch", "kill-flag-list", "--gradually"]);
    assert!(said.starts_with("comes back in steps: kill-flag-list"), "{said}");
    assert!(gateway.said(&["kill", "list"]).contains("recovering (10 %)"));
    let said = gateway.said(&["kill", "--lift", "--all"]);
    assert!(said.starts_with("lifted kill-all-but-critical, kill-flag-list"), "{said}");
    assert_eq!(gateway.said(&["kill", "list"]), "nothing is killed\n");
    for (wrong, code, told) in [
        (&["kill", "chekout", "--reason", "x"][..], 5, "did you mean \"checkout\"?"),
        (&["kill", "checkout"], 2, "--reason"),
        (&["kill", "--reason", "x"], 5, "name flags"),
        (&["kill", "checkout", "--gradually", "--reason", "x"], 2, "--lift"),
    ] {
        let (found, _, err) = gateway.run(wrong);
        assert!(found == code && err.contains(told), "{wrong:?}: {found} {err}");
    }

    // Without a gateway: what a switch does to a flag of a file.
    let folder = gateway.folder.path();
    let (flags, switches) = (folder.join("flags.json"), folder.join("switches.json"));
    std::fs::write(&flags, r#"[{ "key": "a", "name": "a", "rollout_enabled": true, "rollout_percentage": 100 }]"#)
        .unwrap();
    let switch = r#"[{ "id": "k", "scope": "region", "scope_value": "eu", "status": { "state": "triggered" } }]"#;
    std::fs::write(&switches, switch).unwrap();
    let (flags, switches) = (flags.to_str().unwrap(), switches.to_str().unwrap());
    let eval = ["eval", "a", "--flags", flags, "--kill-switches", switches, "--explain"];
    let said = gateway.said(&[&eval[..], &["--region", "eu"]].concat());
    assert!(said.contains("\"killed\"") && said.contains("kill_switch  id=\"k\""), "{said}");
    assert!(gateway.said(&eval).contains("\"rollout\""));
}
