//! What every store of profiles promises.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use flaggate::{
    model::{Attribute, Profile},
    store::{
        ChangedUsers, Count, MAX_PROFILE_BYTES, MemoryProfiles, Moved, Patched, ProfilePatch, ProfileStore,
        StoredProfile,
    },
};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// `profile_contract!(module, home)`: a test of each promise, in `module`, of what `home()` gives.
/// `profile_contract!(each store)`: all promises in turn, each of the store that `store(its name)` gives.
macro_rules! profile_contract {
    ($module:ident, $home:path) => {
        profile_contract! { @ ($module, $home) }
    };
    (each $store:expr) => {
        profile_contract! { @ (each $store) }
    };
    (@ $what:tt) => {
        profile_contract! {
            @ $what
            knows_a_user_until_forgotten
            forgets_activity_alone
            reads_all_that_is_stored
            keeps_memberships
            changes_single_fields
            loses_no_change_of_many
            writes_a_batch
            scans_everybody
            draws_a_sample
        }
    };
    (@ ($module:ident, $home:path) $($promise:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let home = $home();
                crate::profile_promises::$promise(home.profiles.clone()).await;
            })*
        }
    };
    (@ (each $store:expr) $($promise:ident)*) => {
        {$(crate::profile_promises::$promise($store(stringify!($promise))).await;)*}
    };
}

const SOON: Duration = Duration::from_secs(10);

const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn fields(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn profile() -> Profile {
    Profile {
        attributes: fields(json!({ "country": "DE", "name": "Ann é\n" })),
        behavioral_data: fields(json!({ "purchase_count": 7.5 })),
        activity: None,
    }
}

/// A profile that says this number.
fn numbered(number: usize) -> Profile {
    Profile { attributes: fields(json!({ "number": number })), ..Profile::default() }
}

fn many(numbers: std::ops::Range<usize>) -> Vec<(String, Profile)> {
    numbers.map(|number| (format!("user-{number}"), numbered(number))).collect()
}

async fn next(changed: &mut ChangedUsers) -> Option<Arc<str>> {
    timeout(SOON, changed.next()).await.expect("a change is told")
}

/// Goes through the life of a user, and listens to it.
pub(crate) async fn knows_a_user_until_forgotten(store: Arc<dyn ProfileStore>) {
    let (user, other) = ("ann:{x}/é", "bob");
    let mut changed = store.changed_users().await.unwrap();
    assert_eq!(store.profile(user).await.unwrap(), None);
    assert!(store.put_profile(user, &profile(), AT).await.unwrap(), "it is new");
    assert_eq!(store.profile(user).await.unwrap(), Some(profile()));
    assert_eq!(store.profile(other).await.unwrap(), None);

    let activity = fields(json!({ "current_page": "/checkout" }));
    store.put_activity(user, &activity, SOON).await.unwrap();
    let found = store.profile(user).await.unwrap().unwrap();
    assert_eq!(found, Profile { activity: Some(activity.clone()), ..profile() });
    let changes = Profile { attributes: fields(json!({ "country": "FR" })), ..Profile::default() };
    assert!(!store.put_profile(user, &changes, AT).await.unwrap(), "it is not new");
    let found = store.profile(user).await.unwrap().unwrap();
    assert_eq!(found.attribute("country"), Some(Attribute::Text("FR")));
    assert_eq!((found.attribute("name"), found.attribute("purchase_count")), (None, None));
    assert_eq!(found.attribute("activity.current_page"), Some(Attribute::Text("/checkout")));

    // Activity alone makes a user known, for as long as it lasts.
    store.put_activity(other, &activity, Duration::from_millis(30)).await.unwrap();
    assert!(store.profile(other).await.unwrap().is_none_or(|found| found.activity.is_some()));
    while store.profile(other).await.unwrap().is_some() {
        sleep(Duration::from_millis(5)).await;
    }

    assert!(store.remove_profile(user).await.unwrap(), "something was known");
    assert!(!store.remove_profile(user).await.unwrap(), "nothing was known any more");
    assert_eq!(store.profile(user).await.unwrap(), None);
    for expected in [user, user, user, other, user, user] {
        assert_eq!(next(&mut changed).await.as_deref(), Some(expected));
    }
}

pub(crate) async fn forgets_activity_alone(store: Arc<dyn ProfileStore>) {
    let activity = fields(json!({ "current_page": "/" }));
    for user in ["ann", "bob"] {
        store.put_activity(user, &activity, SOON).await.unwrap();
    }
    store.put_profile("ann", &profile(), AT).await.unwrap();
    let mut changed = store.changed_users().await.unwrap();
    assert!(store.remove_activity("ann").await.unwrap());
    assert_eq!(next(&mut changed).await.as_deref(), Some("ann"));
    assert!(!store.remove_activity("ann").await.unwrap());
    assert_eq!(store.profile("ann").await.unwrap(), Some(profile()));
    assert!(store.remove_profile("bob").await.unwrap(), "an activity is something, too");
    assert_eq!(store.profile("bob").await.unwrap(), None);
}

pub(crate) async fn reads_all_that_is_stored(store: Arc<dyn ProfileStore>) {
    let at: Timestamp = "2026-11-24T05:26:11.942215Z".parse().unwrap();
    let activity = fields(json!({ "current_page": "/" }));
    store.put_profile("ann", &profile(), at).await.unwrap();
    store.put_activity("bob", &activity, SOON).await.unwrap();
    assert_eq!(store.stored_profile("nobody").await.unwrap(), None);
    let ann = StoredProfile { profile: profile(), last_updated: Some(at), ..StoredProfile::default() };
    assert_eq!(store.stored_profile("ann").await.unwrap(), Some(ann.clone()));
    let bob = Profile { activity: Some(activity), ..Profile::default() };
    let bob = StoredProfile { profile: bob, ..StoredProfile::default() };
    let asked = ["bob", "nobody", "ann", "ann"].map(str::to_owned);
    let found = store.stored_profiles(&asked).await.unwrap();
    assert_eq!(found, [Some(bob), None, Some(ann.clone()), Some(ann)]);
    assert_eq!(store.stored_profiles(&[]).await.unwrap(), []);
}

pub(crate) async fn keeps_memberships(store: Arc<dyn ProfileStore>) {
    let segments = ["high_value", "é\""].map(str::to_owned);
    let moved = |user_id: &str, segments: &[String], entered: &[String], left: &[String]| {
        let [segments, entered, left] = [segments, entered, left].map(<[String]>::to_vec);
        Moved { user_id: user_id.to_owned(), segments, entered, left }
    };
    let mut heard = store.moved_users().await.unwrap();
    let first = [moved("ann", &segments, &segments, &[])];
    assert_eq!(store.set_memberships(&first).await.unwrap(), 0, "there is no profile");
    assert_eq!(store.stored_profile("ann").await.unwrap(), None);
    store.put_profile("ann", &profile(), AT).await.unwrap();
    assert_eq!(store.stored_profile("ann").await.unwrap().unwrap().segment_memberships, [""; 0]);
    let both = [first[0].clone(), moved("nobody", &segments, &segments, &[])];
    assert_eq!(store.set_memberships(&both).await.unwrap(), 1);
    let found = store.stored_profile("ann").await.unwrap().unwrap();
    assert_eq!(
        (&found.segment_memberships[..], &found.profile, found.last_updated),
        (&segments[..], &profile(), Some(AT))
    );
    // No write of anything else touches them.
    store.put_profile("ann", &numbered(1), AT).await.unwrap();
    store.put_profiles(&[("ann".to_owned(), numbered(2))], AT).await.unwrap();
    store.patch_profile("ann", &ProfilePatch::default(), AT).await.unwrap();
    assert_eq!(store.stored_profile("ann").await.unwrap().unwrap().segment_memberships, segments);
    store.set_memberships(&[moved("ann", &[], &[], &segments)]).await.unwrap();
    assert_eq!(store.stored_profile("ann").await.unwrap().unwrap().segment_memberships, [""; 0]);
    let mut told = Vec::new();
    while told.len() < 4 {
        let next = timeout(Duration::from_secs(5), heard.next()).await.unwrap().unwrap();
        told.extend(next.iter().map(|moved| (moved.user_id.clone(), moved.entered.len(), moved.left.len())));
    }
    let told: Vec<(&str, usize, usize)> = told.iter().map(|(user, entered, left)| (&**user, *entered, *left)).collect();
    assert_eq!(told, [("ann", 2, 0), ("ann", 2, 0), ("nobody", 2, 0), ("ann", 0, 2)]);
}

fn attributes(value: Value) -> ProfilePatch {
    ProfilePatch { attributes: fields(value), ..ProfilePatch::default() }
}

pub(crate) async fn changes_single_fields(store: Arc<dyn ProfileStore>) {
    let mut changed = store.changed_users().await.unwrap();
    let patch = ProfilePatch {
        attributes: fields(json!({ "country": "FR", "list": [], "gone": null, "deep": { "a": 1 } })),
        behavioral_data: fields(json!({ "n": 0.1, "large": 9_007_199_254_740_993_u64, "whole": 7.0 })),
    };
    assert_eq!(store.patch_profile("ann", &patch, AT).await.unwrap(), Patched::Created);
    let later = AT + Duration::from_secs(60);
    let patch = attributes(json!({ "country": null, "deep": { "b": 2 } }));
    assert_eq!(store.patch_profile("ann", &patch, later).await.unwrap(), Patched::Updated);
    let expected = Profile {
        attributes: fields(json!({ "list": [], "deep": { "b": 2 } })),
        behavioral_data: fields(json!({ "n": 0.1, "large": 9_007_199_254_740_993_u64, "whole": 7.0 })),
        activity: None,
    };
    let found = store.stored_profile("ann").await.unwrap().unwrap();
    assert_eq!((&found.profile, found.last_updated), (&expected, Some(later)));

    let long = "x".repeat(MAX_PROFILE_BYTES / 2);
    store.patch_profile("ann", &attributes(json!({ "one": long })), AT).await.unwrap();
    let refused = store.patch_profile("ann", &attributes(json!({ "two": long })), AT).await.unwrap();
    assert!(matches!(refused, Patched::TooLarge(bytes) if bytes > MAX_PROFILE_BYTES), "{refused:?}");
    assert_eq!(store.profile("ann").await.unwrap().unwrap().attribute("two"), None);
    for _ in 0..3 {
        assert_eq!(next(&mut changed).await.as_deref(), Some("ann"));
    }
}

pub(crate) async fn loses_no_change_of_many(store: Arc<dyn ProfileStore>) {
    const WRITERS: usize = 40;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for round in 0..3 {
                let patch = match writer % 2 {
                    0 => attributes(json!({ format!("f{writer}"): round })),
                    _ => ProfilePatch {
                        behavioral_data: fields(json!({ format!("f{writer}"): round })),
                        ..ProfilePatch::default()
                    },
                };
                store.patch_profile("ann", &patch, AT).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let found = store.profile("ann").await.unwrap().unwrap();
    for writer in 0..WRITERS {
        assert_eq!(found.attribute(&format!("f{writer}")), Some(Attribute::Integer(2)), "{writer}");
    }
}

pub(crate) async fn writes_a_batch(store: Arc<dyn ProfileStore>) {
    let mut changed = store.changed_users().await.unwrap();
    let mut batch = many(0..700);
    batch.push(("user-3".to_owned(), numbered(1000)));
    assert_eq!(store.put_profiles(&batch, AT).await.unwrap(), []);
    assert_eq!(store.put_profiles(&[], AT).await.unwrap(), []);
    for (user, _) in &batch {
        assert_eq!(next(&mut changed).await.as_deref(), Some(user.as_str()));
    }
    assert_eq!(store.profile("user-3").await.unwrap(), Some(numbered(1000)), "the later one stays");
    assert_eq!(store.profile("user-699").await.unwrap(), Some(numbered(699)));
    assert_eq!(store.count_profiles().await.unwrap(), Count { number: 700, exact: true });
}

pub(crate) async fn scans_everybody(store: Arc<dyn ProfileStore>) {
    assert_eq!(store.scan(None, 10).await.unwrap(), (Vec::new(), None));
    store.put_profiles(&many(0..3000), AT).await.unwrap();
    let activity = fields(json!({ "current_page": "/" }));
    for user in ["user-7", "only-active"] {
        store.put_activity(user, &activity, SOON * 10).await.unwrap();
    }
    let (mut seen, mut after) = (BTreeMap::new(), None);
    for page in 0.. {
        assert!(page < 1000, "it does not end");
        let (found, next) = store.scan(after.as_ref(), 100).await.unwrap();
        assert!(found.len() < 300, "{} are more than about 100", found.len());
        seen.extend(found);
        // Others come and go meanwhile, so many that the store's own order may change.
        let others: Vec<_> =
            many(page * 500..(page + 1) * 500).into_iter().map(|(user, _)| format!("other-{user}")).collect();
        let written: Vec<_> = others.iter().map(|user| (user.clone(), numbered(0))).collect();
        store.put_profiles(&written, AT).await.unwrap();
        for user in &others[..20] {
            store.remove_profile(user).await.unwrap();
        }
        after = next;
        // Enough of them, or the scan would hardly catch up.
        if after.is_none() || page > 20 {
            break;
        }
    }
    while let Some(place) = after {
        let (found, next) = store.scan(Some(&place), 1000).await.unwrap();
        seen.extend(found);
        after = next;
    }
    for (user, profile) in many(0..3000) {
        let found = seen.get(&user).unwrap_or_else(|| panic!("{user} did not come"));
        assert_eq!((&found.profile.attributes, found.last_updated), (&profile.attributes, Some(AT)));
        assert_eq!(found.profile.activity.is_some(), user == "user-7");
    }
    assert!(!seen.contains_key("only-active"));
}

pub(crate) async fn draws_a_sample(store: Arc<dyn ProfileStore>) {
    let users = many(0..1200);
    store.put_profiles(&users, AT).await.unwrap();
    store.put_activity("only-active", &Map::new(), SOON).await.unwrap();
    let drawn = store.sample(100, 42).await.unwrap();
    let known: BTreeSet<_> = users.iter().map(|(user, _)| user).collect();
    assert_eq!((drawn.user_ids.len(), drawn.total), (100, 1200));
    assert!(drawn.user_ids.iter().all(|user| known.contains(user)));
    let elsewhere = MemoryProfiles::new();
    elsewhere.put_profiles(&users, AT).await.unwrap();
    assert_eq!(elsewhere.sample(100, 42).await.unwrap(), drawn, "the store makes no difference");
    assert_ne!(store.sample(100, 43).await.unwrap().user_ids, drawn.user_ids);
    assert_eq!(store.sample(5000, 42).await.unwrap().user_ids.len(), 1200);
}
