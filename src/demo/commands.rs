//! Commands to try against the demo.

use std::net::SocketAddr;

/// A few `curl` commands, each under a line that says what it shows.
#[must_use]
pub fn curl_lines(gateway: SocketAddr, admin: SocketAddr) -> String {
    format!(
        r#"# who answers user-1, and what the upstream is told
curl -s http://{gateway}/ -H 'X-User-Id: user-1'
# a feature by plan: paying customers reach v2-feature-a
curl -s http://{gateway}/ -H 'X-User-Id: user-1' -H 'X-User-Plan: pro'
# the same feature for beta testers, by a cookie
curl -s http://{gateway}/ -H 'X-User-Id: user-1' -H 'Cookie: beta=true'
# a feature by country: Japan reaches v2-feature-b
curl -s http://{gateway}/ -H 'X-User-Id: user-1' -H 'X-User-Country: JP'
# who reaches the canary (one user in ten): count the upstreams of 100 users
for n in $(seq 100); do curl -s -o /dev/null -D - http://{gateway}/ -H "X-User-Id: user-$n" | grep -i '^x-flaggate-upstream'; done | sort | uniq -c
# a flag by segment: paying customers get the loyalty bar, and the upstream is told their segments
curl -s http://{gateway}/ -H 'X-User-Id: user-1' -H 'X-User-Plan: pro' | grep -o '"x-user-segments":"[^"]*"'
# who is in which segment, and why
curl -s http://{admin}/segments/evaluate -H 'Content-Type: application/json' -d '{{"user_id": "user-1", "attributes": {{"plan": "pro"}}, "explain": true}}'
# a stranger gets a cookie with an id, so that percentages stick
curl -s -D - -o /dev/null http://{gateway}/
# raise the canary to half of all users; it counts at once, without a restart
curl -s -X PATCH http://{admin}/flags/checkout-canary -H 'Content-Type: application/json' -d '{{"rollout_percentage": 50}}'
# turn a feature off for everybody
curl -s -X PATCH http://{admin}/flags/one-click -H 'Content-Type: application/json' -d '{{"enabled": false}}'
# ask for a flag as an application does
curl -s http://{admin}/flags/theme/evaluate -H 'Content-Type: application/json' -d '{{"user_id": "user-1"}}'
# what the gateway counts
curl -s http://{admin}/metrics
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_says_what_it_shows() {
        let lines = curl_lines("127.0.0.1:8080".parse().unwrap(), "[::1]:9090".parse().unwrap());
        let lines: Vec<&str> = lines.lines().collect();
        assert!(lines.len() >= 12);
        for pair in lines.chunks(2) {
            assert!(pair[0].starts_with("# ") && pair[1].contains("curl "), "{pair:?}");
            assert!(pair[1].contains("http://127.0.0.1:8080/") || pair[1].contains("http://[::1]:9090/"), "{pair:?}");
        }
    }
}
