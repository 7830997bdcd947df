//! `flaggate segments`: the real binary against a real listener.

use serde_json::{Value, json};

use crate::harness::{Served, serve};

impl Served {
    /// What the binary prints; it has to succeed.
    async fn said(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(&[&["segments"], arguments].concat()).await;
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    }
}

#[tokio::test]
async fn the_life_of_a_segment() {
    let served = serve().await;
    let platforms = ["--rule", "platform in [\"ios\", \"android\"]", "--tag", "device"];
    let out = served.said(&[&["create", "phones", "--name", "Phones"], platforms.as_slice()].concat()).await;
    assert_eq!(out, "phones is at revision 1\n");
    served.said(&["create", "gone", "--rule", "visits less_than 1"]).await;
    let out = served.said(&["create", "vip", "--expression", "phones AND NOT gone", "--priority", "9"]).await;
    assert_eq!(out, "vip is at revision 1\n");
    assert_eq!(served.get("/segments/vip").await.1["type"], "composite");
    let out = served.said(&["list"]).await;
    let columns = |line: &str| line.split_whitespace().take(4).map(str::to_owned).collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = out.lines().map(columns).collect();
    let expected = ["ID TYPE PRIORITY MADE", "vip composite 9 phones", "gone rule_based 0 1", "phones rule_based 0 1"];
    assert_eq!(lines, expected);
    assert_eq!(served.said(&["list", "--type", "composite", "--json"]).await.matches("\"id\"").count(), 1);
    assert!(served.said(&["list", "--tag", "device"]).await.contains("phones"));

    assert_eq!(served.said(&["set", "vip", "priority=3", "description=Those we like"]).await, "vip is at revision 2\n");
    assert_eq!(served.said(&["set", "phones", "rules.0.value.1=watch"]).await, "phones is at revision 2\n");
    assert_eq!(served.get("/segments/phones").await.1["rules"][0]["value"], json!(["ios", "watch"]));
    assert!(served.said(&["get", "vip"]).await.contains("expression          phones AND NOT gone"));
    let out = served.said(&["history", "vip"]).await;
    assert!(out.contains("~ /priority: 9 → 3") && out.contains("created by anonymous"), "{out}");
    assert_eq!(served.said(&["rollback", "vip", "1"]).await, "vip is at revision 3\n");
    assert_eq!(served.get("/segments/vip").await.1["priority"], 9);

    let (code, _, err) = served.run(&["segments", "delete", "gone", "--yes"]).await;
    assert!(code == 4 && err.contains("gone is named by the segment vip"), "{err}");
    let out = served.said(&["delete", "vip", "--yes"]).await;
    assert_eq!(out, "vip is deleted; `flaggate segments history vip` still knows it\n");
    let (code, _, err) = served.run(&["segments", "get", "phone"]).await;
    assert!(code == 3 && err.contains("did you mean \"phones\"?"), "{err}");
    let (code, _, err) = served.run(&["segments", "create", "phones"]).await;
    assert!(code == 4 && err.contains("`flaggate segments set phones …` changes it"), "{err}");
    let (code, _, err) = served.run(&["segments", "create", "x", "--expression", "phones ANDOR gone"]).await;
    assert!(code == 5 && err.contains("/expression: at character 8: expected AND, OR or the end"), "{err}");
}

#[tokio::test]
async fn who_is_in_it_and_why() {
    let served = serve().await;
    served.said(&["create", "ios", "--rule", "platform equals ios"]).await;
    served.said(&["create", "vip", "--expression", "NOT ios", "--rule", "spent gte 5", "--priority", "2"]).await;
    let known = ["--attribute", "platform=ios", "--attribute", "spent=7"];
    assert_eq!(served.said(&[&["evaluate", "ann"], known.as_slice()].concat()).await, "ios\n");
    let (code, out, err) = served.run(&["segments", "evaluate", "bob"]).await;
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.contains("\"bob\" is in none of the segments"), "{err}");
    let out = served.said(&[&["explain", "ann"], known.as_slice()].concat()).await;
    let expected = [
        "vip: no member: the expression does not hold",
        "  expression  NOT ios does not hold",
        "              ios: a member",
        "  rule        spent gte, saw 7: holds",
        "",
        "ios: a member",
        "  rule        platform equals, saw \"ios\": holds\n",
    ];
    assert_eq!(out, expected.join("\n"));
    let out = served.said(&["explain", "ann", "vip", "--json"]).await;
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["segments"], told["details"].as_array().map(Vec::len)), (&json!([]), Some(1)));
    let (code, _, err) = served.run(&["segments", "evaluate", "ann", "nobody"]).await;
    assert!(code == 5 && err.contains("there is no segment \"nobody\""), "{err}");
}
