//! What every store of profiles promises.

use std::{sync::Arc, time::Duration};

use flaggate::{
    model::{Attribute, Profile},
    store::ProfileStore,
};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(10);

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

/// Goes through the life of a user, and listens to it.
pub(crate) async fn keeps_its_promises(store: Arc<dyn ProfileStore>) {
    let (user, other) = ("ann:{x}/é", "bob");
    let mut changed = store.changed_users().await.unwrap();
    assert_eq!(store.profile(user).await.unwrap(), None);
    store.put_profile(user, &profile(), Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(store.profile(user).await.unwrap(), Some(profile()));
    assert_eq!(store.profile(other).await.unwrap(), None);

    let activity = fields(json!({ "current_page": "/checkout" }));
    store.put_activity(user, &activity, SOON).await.unwrap();
    let found = store.profile(user).await.unwrap().unwrap();
    assert_eq!(found, Profile { activity: Some(activity.clone()), ..profile() });
    let changes = Profile { attributes: fields(json!({ "country": "FR" })), ..Profile::default() };
    store.put_profile(user, &changes, Timestamp::UNIX_EPOCH).await.unwrap();
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

    store.remove_profile(user).await.unwrap();
    assert_eq!(store.profile(user).await.unwrap(), None);
    for expected in [user, user, user, other, user] {
        let told = timeout(SOON, changed.next()).await.expect("a change is told");
        assert_eq!(told.as_deref(), Some(expected));
    }
}
