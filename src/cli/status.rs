//! `flaggate status` and `flaggate store`: the gateways of a store, and what it lost.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    remote::Remote,
    say,
    table::{Table, text},
};

/// Shows the gateways and the store.
pub(super) fn status(remote: &Remote, as_json: bool) -> Result<()> {
    let diagnostics = remote.ask(&Method::GET, "/diagnostics")?;
    // The store knows the gateways; when it is down, this one still answers.
    let gateways = remote.ask(&Method::GET, "/gateways").unwrap_or_default();
    if as_json {
        let whole = json!({ "gateways": gateways["gateways"], "revision": gateways["revision"], "store": diagnostics["store"] });
        return say(&serde_json::to_string_pretty(&whole)?);
    }
    say(&format!("store     {}", store(&gateways, &diagnostics["store"])))?;
    say(&format!("faults    {} (see /diagnostics)", diagnostics["documents"].as_array().map_or(0, Vec::len)))?;
    say("")?;
    if gateways.is_null() {
        return say("the gateways are not known while the store does not answer");
    }
    say(&table(&gateways["gateways"]))
}

/// Writes what a gateway serves back into the store.
pub(super) fn reseed(remote: &Remote) -> Result<()> {
    let answer = remote.ask(&Method::POST, "/store/reseed")?;
    say(&format!("{} documents were written back; the store is at {}", answer["documents"], text(&answer["revision"])))
}

fn store(gateways: &Value, sync: &Value) -> String {
    let state = match (sync["store_up"] == true, &sync["alarm"]) {
        (_, alarm) if !alarm.is_null() => {
            return format!(
                "REFUSED: {} at {}; `flaggate store reseed` writes back what is served",
                text(&alarm["because"]),
                text(&gateways["revision"])
            );
        }
        (true, _) => "up".to_owned(),
        (false, _) => format!("DOWN since {}: {}", text(&sync["stale_since"]), text(&sync["last_error"])),
    };
    format!("{state} at {}", text(&gateways["revision"]))
}

fn table(gateways: &Value) -> String {
    let mut table = Table::new(["NAME", "STATE", "REVISION", "BEHIND", "LAST CONTACT", "VERSION", "ADMIN"]);
    for gateway in gateways.as_array().into_iter().flatten() {
        let number = gateway["applied"].as_str().and_then(|applied| applied.rsplit_once(':')).map(|(_, number)| number);
        table.push([
            text(&gateway["name"]),
            if gateway["live"] == true { "live" } else { "LOST" }.to_owned(),
            number.unwrap_or("none").to_owned(),
            text(&gateway["behind"]),
            format!("{:.1} s ago", gateway["last_contact_seconds"].as_f64().unwrap_or_default()),
            text(&gateway["version"]),
            text(&gateway["admin"]),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_stand_in_columns() {
        let gateways = json!([
            { "name": "a", "live": true, "applied": "e:12", "behind": 0, "last_contact_seconds": 0.25, "version": "1", "admin": "127.0.0.1:9090" },
            { "name": "longer", "live": false, "applied": null, "behind": null, "last_contact_seconds": 61.0, "version": "1", "admin": null },
        ]);
        let lines = [
            "NAME    STATE  REVISION  BEHIND  LAST CONTACT  VERSION  ADMIN",
            "a       live   12        0       0.2 s ago     1        127.0.0.1:9090",
            "longer  LOST   none      -       61.0 s ago    1        -",
        ];
        assert_eq!(table(&gateways), lines.join("\n"));
    }
}
