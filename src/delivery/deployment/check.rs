//! From the document to the deployment: its own fields, its stages, and how these depend on each other.

use std::{sync::Arc, time::Duration};

use super::{
    Deployment, Route, Stage,
    read::{Faults, Fields},
    strategy,
};
use crate::model::{DeploymentDocument, Fault, did_you_mean};

/// The fields of a deployment. `status` is flaggate's own.
const FIELDS: [&str; 13] = [
    "id",
    "name",
    "description",
    "version",
    "stages",
    "max_duration_hours",
    "parallel_stages",
    "tags",
    "notification_channels",
    "created_by",
    "created_at",
    "updated_at",
    "status",
];

/// The fields of a stage.
const STAGE_FIELDS: [&str; 7] =
    ["name", "description", "strategy", "config", "gates", "dependencies", "rollback_on_failure"];

/// The most stages of a deployment.
const MOST_STAGES: usize = 100;

pub(super) fn read(document: &DeploymentDocument, routes: &[Route]) -> Result<Deployment, Vec<Fault>> {
    let mut faults = Faults::default();
    let own = Fields::of(document.fields());
    own.only(&mut faults, &FIELDS);
    for name in ["name", "description", "created_by"] {
        own.text(&mut faults, name);
    }
    for name in ["tags", "notification_channels"] {
        own.texts(&mut faults, name);
    }
    let id = own.needed_text(&mut faults, "id").unwrap_or_default();
    if !id.is_empty() && !crate::model::is_writable_key(id) {
        faults
            .add("/id", "expected letters, digits, dots, dashes and underscores, at most 128, a letter or digit first");
    } else if id.is_empty() && own.get("id").is_some() {
        faults.add("/id", "the id is empty");
    }
    let hours = own.number(&mut faults, "max_duration_hours", (0.000_1, 8_784.0));
    let is_parallel = own.boolean(&mut faults, "parallel_stages", false);
    own.need(&mut faults, "stages");
    let fields = own.objects(&mut faults, "stages");
    if own.get("stages").is_some() && fields.is_empty() {
        faults.add("/stages", "a deployment has at least one stage");
    }
    if fields.len() > MOST_STAGES {
        faults.add("/stages", format!("a deployment has at most {MOST_STAGES} stages"));
    }
    let names: Vec<&str> = fields.iter().map(|stage| stage.needed_text(&mut faults, "name").unwrap_or("")).collect();
    let read: Vec<Option<(Option<Stage>, Stage)>> =
        fields.iter().map(|stage| self::stage(&mut faults, stage, &names, routes)).collect();
    for (position, name) in names.iter().enumerate() {
        if names[..position].contains(name) && !name.is_empty() {
            faults.add(fields[position].place("name"), format!("there are two stages {name:?}"));
        }
    }
    // A stage that could not be read has faults already.
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    let stages = unfolded(read.into_iter().flatten().collect());
    if let Some(cycle) = cycle(&stages) {
        faults.add(format!("{}/dependencies", stages[cycle[0]].at), told(&cycle, &stages));
    } else if is_parallel {
        apart(&mut faults, &stages);
    }
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    let channels = own.texts(&mut faults, "notification_channels").into_iter().map(str::to_owned).collect();
    let version = own.get("version").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let max_duration = hours.map(|hours| Duration::from_secs_f64(hours * 3600.0));
    Ok(Deployment { id: id.into(), version, max_duration, is_parallel, channels, stages })
}

fn stage(faults: &mut Faults, own: &Fields<'_>, names: &[&str], routes: &[Route]) -> Option<(Option<Stage>, Stage)> {
    own.only(faults, &STAGE_FIELDS);
    let name = own.text(faults, "name")?;
    if name.is_empty() || name.len() > 128 {
        faults.add(own.place("name"), "a stage's name has 1 to 128 bytes");
    } else if name.ends_with(":shadow") {
        faults.add(own.place("name"), "names that end in \":shadow\" are those of the stages that `shadow` adds");
    }
    let mut dependencies = Vec::new();
    for (position, wanted) in own.texts(faults, "dependencies").into_iter().enumerate() {
        match names.iter().position(|name| *name == wanted) {
            Some(found) => dependencies.push(found),
            None => {
                let hint = did_you_mean(wanted, names.iter().copied());
                let at = format!("{}/{position}", own.place("dependencies"));
                faults.add(at, format!("there is no stage {wanted:?}{hint}"));
            }
        }
    }
    let rolls_back = own.boolean(faults, "rollback_on_failure", true);
    let (mut first, mut stage) = strategy::read(faults, own, name.into(), routes)?;
    for stage in first.iter_mut().chain([&mut stage]) {
        stage.dependencies.clone_from(&dependencies);
        stage.rolls_back = rolls_back;
    }
    Some((first, stage))
}

/// Stages that need another one before them have that in front of them.
fn unfolded(read: Vec<(Option<Stage>, Stage)>) -> Vec<Stage> {
    let mut positions = Vec::new();
    let mut next = 0;
    for (first, _) in &read {
        next += usize::from(first.is_some());
        positions.push(next);
        next += 1;
    }
    let mut stages: Vec<Stage> = Vec::new();
    for (first, mut stage) in read {
        let moved = |stage: &mut Stage| {
            for dependency in &mut stage.dependencies {
                *dependency = positions[*dependency];
            }
        };
        moved(&mut stage);
        if let Some(mut first) = first {
            moved(&mut first);
            stage.dependencies = vec![stages.len()];
            stages.push(first);
        }
        stages.push(stage);
    }
    stages
}

/// Stages that depend on each other in a circle.
fn cycle(stages: &[Stage]) -> Option<Vec<usize>> {
    fn visit(stages: &[Stage], at: usize, path: &mut Vec<usize>, done: &mut [bool]) -> Option<Vec<usize>> {
        if let Some(begin) = path.iter().position(|seen| *seen == at) {
            return Some(path[begin..].to_vec());
        }
        if done[at] {
            return None;
        }
        path.push(at);
        let found = stages[at].dependencies.iter().find_map(|next| visit(stages, *next, path, done));
        path.pop();
        done[at] = true;
        found
    }
    let mut done = vec![false; stages.len()];
    (0..stages.len()).find_map(|start| visit(stages, start, &mut Vec::new(), &mut done))
}

fn told(cycle: &[usize], stages: &[Stage]) -> String {
    let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|stage| &*stages[*stage].name).collect();
    format!("stages depend on each other in a circle: {}", names.join(" → "))
}

/// Stages that may run at the same time do not touch the same flag.
fn apart(faults: &mut Faults, stages: &[Stage]) {
    let rests = rests_on(stages);
    for (position, stage) in stages.iter().enumerate() {
        let clash = stages[..position].iter().enumerate().find(|(earlier, other)| {
            let same = stage.flag.is_some() && stage.flag == other.flag;
            same && !rests[position][*earlier] && !rests[*earlier][position]
        });
        if let Some((_, other)) = clash {
            let flag: Option<&Arc<str>> = stage.flag.as_ref();
            faults.add(
                stage.at.clone(),
                format!(
                    "it changes the flag {:?} as {:?} does: with parallel_stages one of them has to depend on the other",
                    flag.map_or("", |flag| &**flag),
                    other.name
                ),
            );
        }
    }
}

/// For each stage, for which others it has to wait, perhaps through others. Each stage is looked at once.
fn rests_on(stages: &[Stage]) -> Vec<Vec<bool>> {
    let from = |stage: usize| {
        let (mut rests, mut open) = (vec![false; stages.len()], vec![stage]);
        while let Some(at) = open.pop() {
            for next in &stages[at].dependencies {
                if !rests[*next] {
                    rests[*next] = true;
                    open.push(*next);
                }
            }
        }
        rests
    };
    (0..stages.len()).map(from).collect()
}
