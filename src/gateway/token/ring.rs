//! Signatures of tokens, checked by ring, which does the TLS as well: there is one library for it in the process.

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result, new_error},
    signature::{Error, Verifier},
};
use ring::{
    hmac,
    signature::{
        self as signatures, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
        RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
        RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
    },
};

/// What `jsonwebtoken` verifies with. Nothing is signed.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| -> Result<Box<dyn JwtSigner>> { Err(new_error(ErrorKind::UnsupportedAlgorithm)) },
    verifier_factory: |algorithm, key| match algorithm.family() == key.family() {
        true => Ok(Box::new(Check { algorithm: *algorithm, key: key.clone() })),
        false => Err(new_error(ErrorKind::InvalidAlgorithm)),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `jsonwebtoken` verify with ring, from the first call on.
pub(super) fn install() {
    // An error says that it is done already.
    PROVIDER.install_default().ok();
}

/// One key, and what it is used for.
struct Check {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for Check {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let by = |algorithm: &'static dyn VerificationAlgorithm| {
            let key = self.key.try_get_as_bytes().map_err(|_| Error::new())?;
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).map_err(|_| Error::new())
        };
        let by_secret = |algorithm| {
            let secret = self.key.try_get_as_bytes().map_err(|_| Error::new())?;
            hmac::verify(&hmac::Key::new(algorithm, secret), message, signature).map_err(|_| Error::new())
        };
        let by_rsa = |parameters: &'static RsaParameters| match self.key.kind() {
            DecodingKeyKind::SecretOrDer(_) => by(parameters),
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).map_err(|_| Error::new())
            }
        };
        match self.algorithm {
            Algorithm::HS256 => by_secret(hmac::HMAC_SHA256),
            Algorithm::HS384 => by_secret(hmac::HMAC_SHA384),
            Algorithm::HS512 => by_secret(hmac::HMAC_SHA512),
            Algorithm::ES256 => by(&signatures::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => by(&signatures::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => by(&signatures::ED25519),
            Algorithm::RS256 => by_rsa(&RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => by_rsa(&RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => by_rsa(&RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => by_rsa(&RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => by_rsa(&RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => by_rsa(&RSA_PSS_2048_8192_SHA512),
            // What a later version of the library knows.
            _ => Err(Error::new()),
        }
    }
}

impl JwtVerifier for Check {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
