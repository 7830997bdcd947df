//! The scripts: each runs as one step that nothing comes between.

use redis::{Script, ScriptInvocation};
use uuid::Uuid;

use crate::{
    clock,
    model::{MAX_DOCUMENT_BYTES, WorldRevision},
    store::commit::{AUDIT_BYTES, AUDIT_ENTRIES},
};

use super::{connection::Live, names::Names};

/// All scripts, and the keys that they begin with.
pub(super) struct Scripts {
    control: [String; 6],
    prefix: String,
    channel: String,
    read: Script,
    write: Script,
    reseed: Script,
    pub(super) beat: Script,
    pub(super) gateways: Script,
    pub(super) lease: Script,
    pub(super) add_counts: Script,
    pub(super) add_experience: Script,
    pub(super) put_profiles: Script,
    pub(super) patch_profile: Script,
    pub(super) set_memberships: Script,
}

/// What documents are read for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// Their texts.
    Texts,
    /// To adopt what something else wrote.
    Check,
    /// To adopt what something else removed.
    Gone,
}

impl Scripts {
    pub(super) fn new(names: &Names) -> Self {
        let shared = |script: &str| Script::new(&format!("{}\n{script}", include_str!("scripts/shared.lua")));
        Self {
            control: names.control(),
            prefix: names.prefix().to_owned(),
            channel: names.channel(),
            read: shared(include_str!("scripts/read.lua")),
            write: shared(include_str!("scripts/write.lua")),
            reseed: shared(include_str!("scripts/reseed.lua")),
            beat: Script::new(include_str!("scripts/beat.lua")),
            gateways: Script::new(include_str!("scripts/gateways.lua")),
            lease: Script::new(include_str!("scripts/lease.lua")),
            add_counts: Script::new(include_str!("scripts/add_counts.lua")),
            add_experience: Script::new(include_str!("scripts/add_experience.lua")),
            put_profiles: Script::new(include_str!("scripts/put_profiles.lua")),
            patch_profile: Script::new(include_str!("scripts/patch_profile.lua")),
            set_memberships: Script::new(include_str!("scripts/set_memberships.lua")),
        }
    }

    /// Reads documents by their keys; with none, the revision of the whole.
    pub(super) fn read<'s>(&'s self, live: &Live, wanted: Wanted, keys: &[String]) -> ScriptInvocation<'s> {
        let mut call = self.begin(&self.read, live, &clock::now().to_string());
        call.key(keys);
        call.arg(match wanted {
            Wanted::Texts => "texts",
            Wanted::Check => "check",
            Wanted::Gone => "gone",
        });
        call
    }

    /// Writes the document at `key`; its own arguments are still to come.
    pub(super) fn write(&self, live: &Live, key: &str, at: &str) -> ScriptInvocation<'_> {
        let mut call = self.begin(&self.write, live, at);
        call.key(key);
        call
    }

    /// Replaces everything; its documents are still to come.
    pub(super) fn reseed(&self, live: &Live, expected: &WorldRevision, at: &str) -> ScriptInvocation<'_> {
        let mut call = self.begin(&self.reseed, live, at);
        call.arg(expected.to_string()).arg(Uuid::new_v4().to_string());
        call
    }

    fn begin<'s>(&'s self, script: &'s Script, live: &Live, at: &str) -> ScriptInvocation<'s> {
        let mut call = script.prepare_invoke();
        call.key(&self.control);
        call.arg(&self.prefix)
            .arg(&self.channel)
            .arg(Uuid::new_v4().to_string())
            .arg(at)
            .arg(MAX_DOCUMENT_BYTES)
            .arg(AUDIT_ENTRIES)
            .arg(AUDIT_BYTES)
            .arg(live.run());
        call
    }
}
