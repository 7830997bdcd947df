//! Simulated applications that ask for a flag over the API, and say what users did then.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// The flag that decides how much is bought.
const FLAG: &str = "theme";

/// How many of a hundred users buy with a variation: the planted effect.
const BUYS: [(&str, u64); 2] = [("dark", 45), ("festive", 20)];

/// The same with every other variation.
const ELSE: u64 = 20;

/// Users a second.
const PER_SECOND: u32 = 25;

/// There are so many users, as at the gateway.
const USERS: u64 = 500;

/// Asks for the flag `theme` for each user in turn, and tells of a purchase of those who buy, until `cancel` is cancelled.
/// Who sees `dark` buys more than twice as often.
pub async fn shoppers(admin: SocketAddr, cancel: CancellationToken) {
    let client = reqwest::Client::new();
    let mut ticks = interval(Duration::from_secs(1) / PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let shopping = async {
        for number in 0_u64.. {
            ticks.tick().await;
            if let Err(error) = shop(&client, admin, number).await {
                log::debug!("demo: the flag service at {admin} does not answer: {error}");
            }
        }
    };
    cancel.run_until_cancelled(shopping).await;
}

async fn shop(client: &reqwest::Client, admin: SocketAddr, number: u64) -> reqwest::Result<()> {
    let user = number % USERS;
    let user_id = format!("user-{}", user + 1);
    let asked = json!({ "user_id": user_id });
    let answer = client.post(format!("http://{admin}/flags/{FLAG}/evaluate")).json(&asked).send().await?;
    let answer: Value = answer.json().await?;
    let buys = BUYS.iter().find(|(name, _)| answer["variation"] == *name).map_or(ELSE, |(_, buys)| *buys);
    // The first time round; 37 has no divisor in common with 100, so that those who buy are spread.
    if number < USERS && user * 37 % 100 < buys {
        let bought = json!({ "user_id": user_id, "event": "purchase", "value": 10 + user % 40 });
        client.post(format!("http://{admin}/track")).json(&bought).send().await?;
    }
    Ok(())
}
