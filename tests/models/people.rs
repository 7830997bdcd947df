//! Users that are the same wherever they are made: tests/data/models/people.py makes them for scikit-learn.

use flaggate::model::Profile;
use serde_json::{Map, Value, json};

pub(crate) const COLUMNS: [&str; 5] = ["visits_per_week", "average_basket", "days_since_visit", "plan", "mobile"];

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / 9_007_199_254_740_992.0
    }

    fn bell(&mut self) -> f64 {
        self.unit() + self.unit() + self.unit() + self.unit() - 2.0
    }

    fn lacks(&mut self) -> bool {
        self.unit() < 0.05
    }
}

pub(crate) fn user_id(number: u64) -> String {
    format!("user-{number}")
}

/// A user: three measures and a plan in one of four groups, and whether the user left.
pub(crate) fn person(number: u64) -> Profile {
    let mut dice = Dice(number);
    let group = match dice.unit() {
        draw if draw < 0.4 => 0,
        draw if draw < 0.7 => 1,
        draw if draw < 0.9 => 2,
        _ => 3,
    };
    let visits = [2.0, 10.0, 25.0, 40.0][group] + 2.0 * dice.bell();
    let basket = [20.0, 80.0, 45.0, 150.0][group] + 9.0 * dice.bell();
    let days = [40.0, 5.0, 12.0, 2.0][group] + 3.0 * dice.bell();
    let plan = ["free", "basic", "pro"][(dice.next() % 3) as usize];
    let mobile = dice.next() % 2 == 1;
    let score = 0.05 * days - 0.06 * visits + if plan == "free" { 0.8 } else { 0.0 } - if mobile { 0.5 } else { 0.0 }
        + dice.bell();
    let left = dice.unit() < 0.5 + 0.5 * score / (1.0 + score.abs());
    let row = [json!(visits), json!(basket), json!(days), json!(plan), json!(mobile)];
    let mut said: Map<String, Value> = Map::new();
    for (name, value) in COLUMNS.iter().zip(row) {
        if !dice.lacks() {
            said.insert((*name).to_owned(), value);
        }
    }
    said.insert("left".to_owned(), json!(left));
    let (attributes, behavioral_data) = said.into_iter().partition(|(_, value)| !value.is_f64());
    Profile { attributes, behavioral_data, activity: None }
}
