//! Golden scripts: `tests/data/delivery/*.txt`. A line that begins with `>` is an event, what follows is what the machine
//! says then. `FLAGGATE_BLESS=1` writes what it says into the files.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use flaggate::{
    delivery::{
        deployment::{Answered, duration},
        plan::{Command, State, Status},
    },
    model::ArmCounts,
};
use serde_json::{Value, json};

use crate::world::{Dies, World, counted, deployment};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/delivery")
}

fn scripts() -> Vec<(PathBuf, String)> {
    let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|is| is == "txt")).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// A script: comments, the document, and events.
struct Script {
    head: String,
    document: Value,
    events: Vec<String>,
}

impl Script {
    fn parse(text: &str) -> Self {
        let (head, rest) = text.split_once("\n---\n").expect("a line of --- ends the document");
        let comment = |line: &&str| !line.starts_with('#');
        let document: String = head.lines().filter(comment).collect::<Vec<_>>().join("\n");
        let events = rest.lines().filter_map(|line| line.strip_prefix("> ")).map(str::to_owned).collect();
        Self { head: head.to_owned(), document: serde_json::from_str(&document).unwrap(), events }
    }

    /// The script with what the machine says.
    fn play(&self) -> String {
        let mut world = World::new(&self.document);
        let mut played = format!("{}\n---\n", self.head);
        let mut shown = (String::new(), Vec::new());
        for event in &self.events {
            played.push_str(&format!("> {event}\n"));
            let refused = happen(&mut world, event);
            if let Err(why) = refused {
                played.push_str(&format!("  refused: {why}\n"));
            }
            world.log.clear();
            world.settle();
            for done in &world.log {
                played.push_str(&format!("  {done}\n"));
            }
            let now = (summary(&world.status), world.status.waiting_on.clone());
            if now.0 != shown.0 {
                played.push_str(&format!("  {}\n", now.0));
            }
            if now.1 != shown.1 {
                now.1.iter().for_each(|what| played.push_str(&format!("  waits on {what}\n")));
            }
            if world.status.state != State::Completed && !world.status.state.is_ended() {
                assert!(!now.1.is_empty(), "{event}: it stands still and does not say why");
            }
            shown = now;
        }
        played
    }
}

fn summary(status: &Status) -> String {
    let stages = status.stages.iter().map(|stage| {
        let why = stage.reason.as_ref().map_or(String::new(), |why| format!(" because {why}"));
        let doing =
            if stage.doing.is_empty() { String::new() } else { format!(" at {} ({})", stage.step, stage.doing) };
        format!("{} {}{doing}{why}", stage.name, stage.state.as_str())
    });
    let why = status.reason.as_ref().map_or(String::new(), |why| format!(" because {why}"));
    let stages: Vec<String> = stages.collect();
    format!("{}{why}: {}", status.state.as_str(), stages.join("; "))
}

fn happen(world: &mut World, event: &str) -> Result<(), String> {
    let words: Vec<&str> = event.split_whitespace().collect();
    let rest = |from: usize| words[from..].join(" ");
    let reason = |from: usize| (words.len() > from).then(|| rest(from));
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    let time = |text: &str| duration(&json!(text)).unwrap();
    let command = match words[0] {
        "after" => {
            world.pass(time(words[1]));
            return Ok(());
        }
        "back" => {
            world.now = world.now.checked_sub(time(words[1])).unwrap();
            return Ok(());
        }
        "smoke" => {
            world.seen.smoke = Some(if words[1] == "ok" { Vec::new() } else { vec![rest(1)] });
            return Ok(());
        }
        // new REQUESTS ERRORS MILLIS old REQUESTS ERRORS MILLIS [stale]
        "counts" => {
            let old = counted(number(5), number(6), number(7));
            world.see(counted(number(1), number(2), number(3)), old, words.get(8) != Some(&"stale"));
            return Ok(());
        }
        "no-counts" => {
            world.see(ArmCounts::default(), ArmCounts::default(), true);
            return Ok(());
        }
        "prometheus" => {
            world.answer(match words[1] {
                "down" => Answered::Failed("it does not answer".to_owned()),
                "empty" => Answered::Empty,
                number => Answered::Number(number.parse().unwrap()),
            });
            return Ok(());
        }
        "behind" => {
            world.behind = Some(words[1..].iter().map(|name| (*name).to_owned()).collect());
            return Ok(());
        }
        "in-the-way" => {
            world.in_the_way = words.get(1).map(|id| ((*id).to_owned(), rest(2)));
            return Ok(());
        }
        // flag KEY {"field": value}
        "flag" => {
            let fields: Value = serde_json::from_str(&rest(2)).unwrap();
            let set = flaggate::delivery::plan::SetFlag {
                flag: words[1].into(),
                fields: fields.as_object().unwrap().clone(),
            };
            world.set(&set);
            return Ok(());
        }
        // version {"field": value}: the document with other fields
        "version" => {
            let mut fields: Value = serde_json::from_str(&rest(1)).unwrap();
            fields["id"] = world.deployment.id.to_string().into();
            world.deployment = deployment(&fields);
            Command::Supersede
        }
        "start" => Command::Start,
        "pause" => Command::Pause { reason: reason(2) },
        "resume" => Command::Resume,
        "promote" => Command::Promote,
        "promote_full" => Command::PromoteFull,
        "abort" => Command::Abort { reason: reason(2) },
        "retry" => Command::Retry,
        "approve" => {
            Command::Approve { stage: words.get(2).map(|stage| (*stage).to_owned()), approver: words[1].to_owned() }
        }
        other => panic!("{other}: no such event"),
    };
    let by = match words[0] {
        "pause" | "abort" => words.get(1).copied().unwrap_or("ada"),
        _ => "ada",
    };
    world.tell(&command, by).map_err(|refused| refused.to_string())
}

#[test]
fn scripts_go_as_they_are_written() {
    let bless = env::var_os("FLAGGATE_BLESS").is_some();
    let mut wrong = Vec::new();
    let mut scripts = 0;
    for (path, written) in self::scripts() {
        scripts += 1;
        let played = Script::parse(&written).play();
        if bless {
            fs::write(&path, &played).unwrap();
        } else if played != written {
            let differs = played.lines().zip(written.lines()).position(|(played, written)| played != written);
            let at = differs.unwrap_or(0);
            let line = |text: &str| text.lines().nth(at).unwrap_or("").to_owned();
            wrong.push(format!(
                "{}:{}\n  written {}\n  played  {}",
                path.display(),
                at + 1,
                line(&written),
                line(&played)
            ));
        }
    }
    assert!(scripts >= 14, "{scripts} scripts");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Killed between storing the status and setting the flags, or after the first of several flags, the next one goes on
/// where the first was: the same flags are set in the same order, none twice and none not at all.
#[test]
fn being_killed_between_two_writes_changes_nothing() {
    for (path, text) in scripts() {
        let script = Script::parse(&text);
        let play = |dies: Dies| {
            let mut world = World::new(&script.document);
            world.dies = dies;
            let mut states = Vec::new();
            for event in &script.events {
                happen(&mut world, event).ok();
                world.settle();
                states.push(summary(&world.status));
            }
            (world.log, states)
        };
        let whole = play(Dies::Never);
        assert_eq!(whole, play(Dies::BeforeTheFlags), "{}", path.display());
        assert_eq!(whole, play(Dies::AfterOneFlag), "{}", path.display());
    }
}
