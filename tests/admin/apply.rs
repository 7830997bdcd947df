//! `flaggate export`, `import` and `apply`: the real binary against a real listener.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::harness::{Served, serve};

impl Served {
    /// Runs the binary against this listener: exit code, standard output, standard error.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flaggate"));
        command.args(arguments).env("FLAGGATE_ADMIN", format!("http://{}", self.address));
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

#[tokio::test]
async fn a_folder_is_applied_twice_and_the_second_time_changes_nothing() {
    let served = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    write(folder.path(), "a.yaml", "- key: top\n  name: Top\n  prerequisites: [base]\n");
    write(
        folder.path(),
        "deeper/b.json",
        r#"{"key": "base", "name": "Base", "rollout_enabled": true, "rollout_percentage": 10}"#,
    );
    write(folder.path(), "notes.txt", "not read");
    write(folder.path(), ".hidden.yaml", "not: [read");
    let (code, out, _) = served.run(&["apply", "-f", path, "--dry-run", "--exit-code"]).await;
    assert_eq!(code, 2, "{out}");
    let (code, out, _) = served.run(&["apply", "-f", path, "--dry-run"]).await;
    assert_eq!((code, out.lines().last()), (0, Some("plan: 2 to create, 0 to update, 0 to delete, 0 unchanged")));
    let (code, _, err) = served.run(&["apply", "-f", path]).await;
    assert!(code == 1 && err.contains("--yes"), "nobody can be asked: {err}");
    assert_eq!(served.get("/flags").await.1, json!([]));
    let (code, out, err) = served.run(&["apply", "-f", path, "--yes"]).await;
    assert_eq!((code, out.lines().last()), (0, Some("done: 2 created, 0 updated, 0 deleted, 0 unchanged")), "{err}");
    let (code, out, _) = served.run(&["apply", "-f", path, "--dry-run", "--exit-code", "--prune"]).await;
    assert_eq!((code, out.as_str()), (0, "nothing changes: 2 unchanged\n"));
    assert_eq!(served.post("/flags", json!({"key": "by-hand", "name": "By hand"})).await.0, 200);
    write(folder.path(), "deeper/b.json", r#"{"key": "base", "name": "Base"}"#);
    let (code, out, err) = served.run(&["apply", "-f", path, "--prune", "--yes"]).await;
    let expected = [
        "ACTION  FLAG     CHANGES",
        "update  base     rollout_enabled: true → false",
        "                 rollout_percentage: 10.0 → 0.0",
        "delete  by-hand",
        "",
        "plan: 0 to create, 1 to update, 1 to delete, 1 unchanged",
        "done: 0 created, 1 updated, 1 deleted, 1 unchanged\n",
    ];
    assert_eq!((code, out), (0, expected.join("\n")), "{err}");
    assert_eq!(served.get("/flags/by-hand").await.0, 404);
    let (code, out, _) = served.run(&["apply", "-f", path, "--prune", "--yes", "--json"]).await;
    let plan: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &plan["counts"]["unchanged"]), (0, &json!(2)));
}

#[tokio::test]
async fn errors_name_file_and_line() {
    let served = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let (code, _, err) = served.run(&["apply", "-f", path, "--yes", "--prune"]).await;
    assert!(
        code == 1 && err.contains("there are no flags, segments, models or deployments in"),
        "an empty folder does not delete everything: {err}"
    );
    write(
        folder.path(),
        "a.yaml",
        "flags:\n  - key: a\n    name: A\n    targeting_rules:\n      - attribute: x\n        operator: eq\n        value: 1\n",
    );
    write(
        folder.path(),
        "b.json",
        "[\n  {\"key\": \"b\", \"name\": \"B\"},\n  {\"key\": \"c\", \"name\": \"C\",\n   \"parent\": \"nobody\"}\n]",
    );
    let (code, _, err) = served.run(&["apply", "-f", path, "--yes"]).await;
    let (one, other) =
        (format!("{path}/a.yaml:6: unknown operator \"eq\""), format!("{path}/b.json:4: there is no flag \"nobody\""));
    assert!(code == 1 && err.contains(&one) && err.contains(&other), "{err}");
    write(folder.path(), "c.yml", "- key: a\n  name: Again\n");
    write(folder.path(), "d.yml", "- name: nameless\n");
    write(folder.path(), "e.yml", "a: [\n");
    let (code, _, err) = served.run(&["apply", "-f", path, "--yes"]).await;
    for part in [
        format!("{path}/c.yml:1: the flag \"a\" is defined at {path}/a.yaml:2 already"),
        format!("{path}/d.yml:1: the key is missing"),
        format!("{path}/e.yml:1:4: not YAML: unclosed bracket '['"),
    ] {
        assert!(code == 1 && err.contains(&part), "{part}: {err}");
    }
    let (code, _, err) = served.run(&["apply", "-f", "no/such/folder"]).await;
    assert!(code == 1 && err.contains("failed to read no/such/folder"), "{err}");
    assert_eq!(served.get("/flags").await.1, json!([]));
}

#[tokio::test]
async fn export_and_import_move_flags_from_one_store_to_another() {
    let (from, to) = (serve().await, serve().await);
    let flag = json!({"key": "a", "name": "A", "tags": ["x", "1.0", "no", "2026-01-01"], "description": "two\nlines: # \"x\"",
        "flag_type": "json", "default_value": {"n": 1, "f": 1.5, "t": "007", "e": ""},
        "created_at": "2026-01-02T03:04:05.120000Z"});
    assert_eq!(from.post("/flags", flag).await.0, 200);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flags.yaml");
    let file = file.to_str().unwrap();
    assert_eq!(from.run(&["export", "--format", "yaml", "-o", file]).await.0, 0);
    let (code, out, _) = to.run(&["import", file, "--dry-run"]).await;
    assert_eq!((code, out.lines().last()), (0, Some("plan: 1 to create, 0 to update, 0 to delete, 0 unchanged")));
    let (code, out, _) = to.run(&["import", file, "--format", "flaggate", "--mode", "replace"]).await;
    assert_eq!((code, out.lines().last()), (0, Some("done: 1 created, 0 updated, 0 deleted, 0 unchanged")));
    let (mut one, mut other) = (from.get("/flags/a").await.1, to.get("/flags/a").await.1);
    for flag in [&mut one, &mut other] {
        flag.as_object_mut().unwrap().remove("updated_at");
    }
    assert_eq!(one, other);
    for (created_at, status) in [("2026-01-02T03:04:05.12Z", 200), ("2026-01-02T03:04:05.13Z", 422)] {
        assert_eq!(to.patch("/flags/a", json!({ "created_at": created_at })).await.0, status, "{created_at}");
    }
    let (code, out, _) = from.run(&["export"]).await;
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()["flags"][0]["key"].as_str()), (0, Some("a")));
    let (code, _, err) = to.run(&["import", file, "--format", "xml"]).await;
    assert!(code == 1 && err.contains("expected auto"), "{err}");
}

#[tokio::test]
async fn segments_are_applied_beside_flags() {
    let served = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let rule = r#"[{"segments": ["vip"], "return_value": true}]"#;
    write(folder.path(), "flag.json", &format!(r#"{{"key": "bar", "name": "Bar", "targeting_rules": {rule}}}"#));
    write(folder.path(), "segments/vip.yaml", "id: vip\nname: VIP\ntype: composite\nexpression: rich AND NOT gone\n");
    write(folder.path(), "segments/others.yaml", "segments:\n  - {id: rich, name: Rich}\n  - {id: gone, name: Gone}\n");
    let (code, out, err) = served.run(&["apply", "-f", path, "--yes", "--prune"]).await;
    let expected = [
        "ACTION  SEGMENT  CHANGES",
        "create  rich",
        "create  gone",
        "create  vip",
        "ACTION  FLAG     CHANGES",
        "create  bar",
        "",
        "plan: 4 to create, 0 to update, 0 to delete, 0 unchanged",
        "done: 4 created, 0 updated, 0 deleted, 0 unchanged\n",
    ];
    assert_eq!((code, out), (0, expected.join("\n")), "{err}");
    let (code, out, _) = served.run(&["apply", "-f", path, "--dry-run", "--exit-code", "--prune"]).await;
    assert_eq!((code, out.as_str()), (0, "nothing changes: 4 unchanged\n"));

    write(folder.path(), "segments/vip.yaml", "id: vip\nname: VIP\ntype: composite\nexpression: rich AND\n");
    let (code, _, err) = served.run(&["apply", "-f", path, "--yes"]).await;
    let place = format!("{path}/segments/vip.yaml:4: at character 9: expected a segment");
    assert!(code == 1 && err.contains(&place), "{err}");
    write(folder.path(), "segments/vip.yaml", "id: vip\nname: VIP\n");
    write(folder.path(), "segments/others.yaml", "id: vip\nname: Twice\n");
    let (code, _, err) = served.run(&["apply", "-f", path, "--yes"]).await;
    assert!(code == 1 && err.contains("the segment \"vip\" is defined at"), "{err}");
    write(folder.path(), "segments/others.yaml", "segments: []\n");
    let (code, out, err) = served.run(&["apply", "-f", path, "--prune", "--yes"]).await;
    assert_eq!((code, out.lines().last()), (0, Some("done: 0 created, 1 updated, 2 deleted, 1 unchanged")), "{err}");
    std::fs::remove_dir_all(folder.path().join("segments")).unwrap();
    let (code, out, _) = served.run(&["apply", "-f", path, "--prune", "--yes"]).await;
    assert_eq!((code, out.as_str()), (0, "nothing changes: 1 unchanged\n"), "no file says anything of segments");
    assert_eq!(served.get("/segments/vip").await.0, 200);
}
