//! How tokens are signed.

use aws_lc_rs::signature::{self, VerificationAlgorithm};

/// An algorithm of signatures, by the name that RFC 7518 gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// RSA (PKCS #1 v1.5) with SHA-384.
    Rs384,
    /// RSA (PKCS #1 v1.5) with SHA-512.
    Rs512,
    /// RSA (PSS) with SHA-256.
    Ps256,
    /// RSA (PSS) with SHA-384.
    Ps384,
    /// RSA (PSS) with SHA-512.
    Ps512,
    /// ECDSA over P-256.
    Es256,
    /// ECDSA over P-384.
    Es384,
    /// ECDSA over P-521.
    Es512,
}

impl Algorithm {
    /// Those of service account tokens, as upstream.
    pub const OF_SERVICE_ACCOUNTS: &[Self] = &[Self::Rs256, Self::Es256, Self::Es384, Self::Es512];

    /// All, by name.
    pub const ALL: &[(&str, Self)] = &[
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("ES512", Self::Es512),
    ];

    /// The algorithm of this name; `None` for any other, `none` among them.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find_map(|(own, algorithm)| (*own == name).then_some(*algorithm))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find_map(|(name, algorithm)| (*algorithm == self).then_some(*name)).unwrap_or_default()
    }

    pub(super) fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Self::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
        }
    }
}
