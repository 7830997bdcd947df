//! `flaggate deployments` and `flaggate apply` of deployments, with the real binary against a gateway of the real binary.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/cli.rs"]
mod cli;

use std::fs;

use serde_json::Value;

use self::cli::Gateway;

const FLAG: &str = "key: feature\nname: A feature\n";

const DEPLOYMENT: &str = r#"
id: rollout
name: A rollout
version: "1"
stages:
  - name: feature
    strategy: feature_flag
    config:
      flag_key: feature
      rollout_stages:
        - { percentage: 10, duration: 1h }
        - { percentage: 100 }
    gates:
      - { type: manual, required_approvers: [product] }
"#;

fn written(gateway: &Gateway, name: &str, text: &str) -> String {
    let file = gateway.folder.path().join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Waits until a deployment is shown so.
fn until(gateway: &Gateway, part: &str) -> String {
    for _ in 0..400 {
        let shown = gateway.said(&["deployments", "get", "rollout"]);
        if shown.contains(part) {
            return shown;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{}", gateway.said(&["deployments", "get", "rollout"]));
}

#[test]
fn a_deployment_is_told_what_to_do() {
    let gateway = Gateway::start();
    let flag = written(&gateway, "flag.yaml", FLAG);
    gateway.said(&["flags", "create", "feature", "--file", &flag]);
    let file = written(&gateway, "deployment.yaml", DEPLOYMENT);
    assert_eq!(gateway.said(&["deployments", "create", &file, "--dry-run"]), "rollout can be created\n");
    let said = gateway.said(&["deployments", "create", &file, "--start"]);
    assert_eq!(said, "rollout is created\nrollout is in_progress\n");
    let shown = until(&gateway, "waits on feature: 1h to pass");
    assert!(shown.starts_with("rollout 1 is in_progress\nSTAGE    STRATEGY      STATE        STEP"), "{shown}");
    let table = gateway.said(&["deployments", "list", "--state", "live"]);
    assert!(table.contains("rollout  1        in_progress  0 of 1"), "{table}");
    assert_eq!(gateway.said(&["deployments", "pause", "rollout", "--reason", "lunch"]), "rollout is paused\n");
    until(&gateway, "paused by anonymous (lunch)");
    assert_eq!(gateway.said(&["deployments", "resume", "rollout"]), "rollout is in_progress\n");
    assert_eq!(gateway.said(&["deployments", "promote", "rollout"]), "rollout is in_progress\n");
    until(&gateway, "the approval of product");
    let (code, _, err) = gateway.run(&["deployments", "promote", "rollout", "--full"]);
    assert!(code == 4 && err.contains("waits for approvals"), "{code} {err}");
    gateway.said(&["deployments", "approve", "rollout", "--as", "product"]);
    let watched = gateway.said(&["deployments", "watch", "rollout"]);
    assert!(watched.contains("rollout 1 is completed"), "{watched}");
    let flag: Value = serde_json::from_str(&gateway.said(&["flags", "get", "feature", "--json"])).unwrap();
    assert_eq!(flag["rollout_percentage"], 100.0);
    let (code, _, err) = gateway.run(&["deployments", "abort", "rollout"]);
    assert!(code == 4 && err.contains("it is completed"), "{code} {err}");
    assert!(gateway.said(&["deployments", "history", "rollout"]).contains("conductor"));
    gateway.said(&["deployments", "delete", "rollout", "--yes"]);
    assert_eq!(gateway.run(&["deployments", "get", "rollout"]).0, 3);
}

#[test]
fn an_abort_undoes_it_and_a_retry_begins_anew() {
    let gateway = Gateway::start();
    let flag = written(&gateway, "flag.yaml", FLAG);
    gateway.said(&["flags", "create", "feature", "--file", &flag]);
    let file = written(&gateway, "deployment.yaml", DEPLOYMENT);
    gateway.said(&["deployments", "create", &file, "--start"]);
    until(&gateway, "1h to pass");
    assert_eq!(gateway.said(&["deployments", "abort", "rollout", "--reason", "no"]), "rollout is rolling_back\n");
    let (code, watched, _) = gateway.run(&["deployments", "watch", "rollout"]);
    assert!(code == 1 && watched.contains("is rolled_back: aborted by anonymous: no"), "{code} {watched}");
    let flag: Value = serde_json::from_str(&gateway.said(&["flags", "get", "feature", "--json"])).unwrap();
    assert_eq!((&flag["rollout_enabled"], &flag["rollout_percentage"]), (&false.into(), &0.0.into()));
    assert_eq!(gateway.said(&["deployments", "retry", "rollout"]), "rollout is in_progress\n");
    until(&gateway, "1h to pass");
}

#[test]
fn files_are_applied() {
    let gateway = Gateway::start();
    written(&gateway, "files/flag.yaml", FLAG);
    let deployment = written(&gateway, "files/rollout.yaml", DEPLOYMENT);
    let folder = gateway.folder.path().join("files").to_str().unwrap().to_owned();
    let plan = gateway.said(&["apply", "-f", &folder, "--dry-run"]);
    assert!(plan.contains("create  feature") && plan.contains("ACTION  DEPLOYMENT"), "{plan}");
    assert!(plan.contains("plan: 2 to create"), "{plan}");
    gateway.said(&["apply", "-f", &folder, "--yes"]);
    assert!(gateway.said(&["deployments", "get", "rollout"]).starts_with("rollout 1 is pending"));
    let plan = gateway.said(&["apply", "-f", &folder, "--dry-run"]);
    assert!(plan.contains("nothing changes: 2 unchanged"), "{plan}");
    fs::write(&deployment, DEPLOYMENT.replace("\"1\"", "\"2\"").replace("percentage: 10,", "percentage: 20,")).unwrap();
    let (code, plan, _) = gateway.run(&["apply", "-f", &folder, "--dry-run", "--exit-code"]);
    assert!(code == 2 && plan.contains("version: \"1\" → \"2\""), "{plan}");
    gateway.said(&["apply", "-f", &folder, "--yes"]);
    assert!(gateway.said(&["deployments", "get", "rollout"]).starts_with("rollout 2 is pending"));
    // What is wrong is told with file and line.
    fs::write(&deployment, DEPLOYMENT.replace("flag_key: feature", "flag_key: featur")).unwrap();
    let (code, out, err) = gateway.run(&["apply", "-f", &folder, "--yes"]);
    assert!(
        code == 1 && err.contains("rollout.yaml:9: there is no flag \"featur\", did you mean \"feature\"?"),
        "{code} {out} {err}"
    );
    let other = DEPLOYMENT.replace("id: rollout", "id: other");
    fs::write(&deployment, format!("deployments:\n- {}", other.trim().replace('\n', "\n  "))).unwrap();
    let plan = gateway.said(&["apply", "-f", &folder, "--prune", "--yes"]);
    assert!(plan.contains("create  other") && plan.contains("delete  rollout"), "{plan}");
    assert_eq!(gateway.run(&["deployments", "get", "rollout"]).0, 3);
}
