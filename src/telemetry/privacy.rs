//! How users are named in what leaves the gateway.

use std::{borrow::Cow, fmt, fs, io, sync::Arc};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config;

/// A secret has so many bytes or more.
const SHORTEST: usize = 16;

/// Names users as they are, or by a keyed hash: the same for all gateways with the same secret. A clone is the same.
#[derive(Clone, Default)]
pub struct Privacy(Option<Arc<Hmac<Sha256>>>);

impl Privacy {
    /// As the configuration says.
    ///
    /// # Errors
    /// The file with the secret cannot be read, or is too short.
    pub fn new(config: &config::Privacy) -> io::Result<Self> {
        let Some(path) = &config.hash_user_ids else { return Ok(Self::default()) };
        let about = |why: &str| io::Error::other(format!("{}: {why}", path.display()));
        let secret = fs::read(path).map_err(|error| about(&error.to_string()))?;
        // An editor ends a file with a line's end.
        let secret = secret.trim_ascii_end();
        if secret.len() < SHORTEST {
            return Err(about("the secret that user ids are hashed with has at least 16 bytes"));
        }
        Ok(Self::hashing(secret))
    }

    /// Hashes with this secret.
    #[must_use]
    pub fn hashing(secret: &[u8]) -> Self {
        Self(Some(Arc::new(Hmac::new_from_slice(secret).expect("a key of any length does"))))
    }

    /// How a user's id is shown: as it is, or its HMAC-SHA256 in hex.
    #[must_use]
    pub fn shown<'u>(&self, user_id: &'u str) -> Cow<'u, str> {
        let Some(mac) = &self.0 else { return user_id.into() };
        let mut mac = Hmac::clone(mac);
        mac.update(user_id.as_bytes());
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
    }
}

impl fmt::Debug for Privacy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_some() { "Privacy(hashing)" } else { "Privacy(plain)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_stable_and_keyed() {
        assert_eq!(Privacy::default().shown("ann"), "ann");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "Jefe Jefe Jefe Jefe\n").unwrap();
        let privacy = Privacy::new(&config::Privacy { hash_user_ids: Some(path.clone()) }).unwrap();
        assert_eq!(privacy.shown("ann"), Privacy::hashing(b"Jefe Jefe Jefe Jefe").shown("ann"));
        assert_ne!(privacy.shown("ann"), Privacy::hashing(b"another another").shown("ann"));
        assert!(!format!("{privacy:?}").contains("Jefe"));
        fs::write(&path, "short").unwrap();
        assert!(Privacy::new(&config::Privacy { hash_user_ids: Some(path) }).is_err());
        // RFC 4231, test case 2.
        let shown = Privacy::hashing(b"Jefe");
        assert_eq!(
            shown.shown("what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
