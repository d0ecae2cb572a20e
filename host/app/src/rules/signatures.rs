//! Signatures of modules: Ed25519 over the module's digest, world, name and version, so that a signature says nothing
//! about other bytes and nothing about the same bytes under another name.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context as _, bail};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use tollgate_engine::Module;
use tollgate_ledger::Signature;

use crate::config::{self, Signatures};

/// What a signature of this kind begins with; another kind of statement would begin with other words.
const CONTEXT: &str = "tollgate rule module 1";

/// First word of a file with a private key, and of a file with a signature.
const KEY_WORD: &str = "ed25519-private";
const SIGNATURE_WORD: &str = "ed25519-signature";

/// Why a module's signature is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error(
        "rule {rule} is not signed, and this site takes signed rules only; sign it (`tollgate rule sign`) and publish it \
         with its signature"
    )]
    Missing { rule: String },
    #[error(
        "rule {rule} is signed with the key {signer}, which nobody here trusts; add it to rules.trusted_keys, or sign with \
         a trusted key"
    )]
    UnknownKey { rule: String, signer: String },
    #[error(
        "the signature of rule {rule} by {signer} is not one of these bytes, this world, this name and this version; \
         sign this very file"
    )]
    Wrong { rule: String, signer: String },
}

impl SignatureError {
    /// Stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "SIGNATURE_MISSING",
            Self::UnknownKey { .. } => "SIGNATURE_UNKNOWN_KEY",
            Self::Wrong { .. } => "SIGNATURE_WRONG",
        }
    }
}

/// Whose signatures count, and whether there has to be one.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    required: bool,
    /// Names by public key in hexadecimal.
    names: BTreeMap<String, String>,
}

impl Trust {
    #[must_use]
    pub fn new(rules: &config::Rules) -> Self {
        let names = rules.trusted_keys.iter();
        Self {
            required: rules.signatures == Signatures::Required,
            names: names.map(|(name, key)| (key.to_ascii_lowercase(), name.clone())).collect(),
        }
    }

    /// Name of the holder of a key, as the configuration has it.
    #[must_use]
    pub fn name(&self, signer: &str) -> Option<&str> {
        self.names.get(signer).map(String::as_str)
    }

    /// A signature that is there has to be right, whatever is required.
    ///
    /// # Errors
    /// The module must not be used here.
    pub fn check(
        &self,
        module: &Module,
        signature: Option<&Signature>,
    ) -> Result<(), SignatureError> {
        let description = module.description();
        let rule = format!("{} {}", description.name, description.version);
        let Some(signature) = signature else {
            return if self.required { Err(SignatureError::Missing { rule }) } else { Ok(()) };
        };
        let signer = signature.signer.clone();
        if !is_right(&message_of(module), signature) {
            return Err(SignatureError::Wrong { rule, signer });
        }
        if self.required && self.name(&signer).is_none() {
            return Err(SignatureError::UnknownKey { rule, signer });
        }
        Ok(())
    }
}

/// A private key.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate() -> anyhow::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).context("the system gives no random numbers")?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// # Errors
    /// The file cannot be read, or is none of `keygen`.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let seed = text.trim().strip_prefix(KEY_WORD).and_then(|hex| bytes(hex.trim()));
        let Some(seed) = seed else {
            bail!("{}: not a private key of `tollgate rule keygen`", path.display());
        };
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Writes a new file that only this user can read.
    ///
    /// # Errors
    /// There is such a file, or it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| path.display().to_string())?;
        writeln!(file, "{KEY_WORD} {}", hex(&self.0.to_bytes()))?;
        Ok(file.sync_all()?)
    }

    /// The public key in hexadecimal, as `rules.trusted_keys` has it.
    #[must_use]
    pub fn public(&self) -> String {
        hex(self.0.verifying_key().as_bytes())
    }

    #[must_use]
    pub fn sign(&self, module: &Module) -> Signature {
        let signature = self.0.sign(&message_of(module));
        Signature { signer: self.public(), signature: hex(&signature.to_bytes()) }
    }
}

/// The line of a signature file.
#[must_use]
pub fn to_line(signature: &Signature) -> String {
    format!("{SIGNATURE_WORD} {} {}\n", signature.signer, signature.signature)
}

/// # Errors
/// The file cannot be read, or is none of `tollgate rule sign`.
pub fn read_signature(path: &Path) -> anyhow::Result<Signature> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [SIGNATURE_WORD, signer, signature]
            if bytes::<32>(signer).is_some() && bytes::<64>(signature).is_some() =>
        {
            let lower = str::to_ascii_lowercase;
            Ok(Signature { signer: lower(signer), signature: lower(signature) })
        }
        _ => bail!("{}: not a signature of `tollgate rule sign`", path.display()),
    }
}

/// Whether a text is a public key.
#[must_use]
pub fn is_public_key(text: &str) -> bool {
    bytes(text).is_some_and(|key| VerifyingKey::from_bytes(&key).is_ok())
}

fn message_of(module: &Module) -> Vec<u8> {
    let description = module.description();
    message(module.world().as_str(), &description.name, &description.version, module.digest())
}

/// None of the parts can hold the separator.
fn message(world: &str, name: &str, version: &str, digest: &str) -> Vec<u8> {
    [CONTEXT, world, name, version, digest].join("\0").into_bytes()
}

fn is_right(message: &[u8], signature: &Signature) -> bool {
    let key = bytes(&signature.signer).and_then(|key| VerifyingKey::from_bytes(&key).ok());
    let signature =
        bytes(&signature.signature).map(|bytes| ed25519_dalek::Signature::from_bytes(&bytes));
    match (key, signature) {
        (Some(key), Some(signature)) => key.verify_strict(message, &signature).is_ok(),
        _ => false,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of hexadecimal digits; `None` when there are too few, too many, or others.
fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    if hex.len() != 2 * N || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(key: &PrivateKey, message: &[u8]) -> Signature {
        let signature = hex(&key.0.sign(message).to_bytes());
        Signature { signer: key.public(), signature }
    }

    #[test]
    fn a_signature_is_about_one_digest_world_name_and_version() {
        let key = PrivateKey::generate().unwrap();
        let said = message("pricing", "night", "1.0.0", "aa");
        let signature = signed(&key, &said);
        assert!(is_right(&said, &signature));
        for other in [
            message("pricing", "night", "1.0.0", "ab"),
            message("refund", "night", "1.0.0", "aa"),
            message("pricing", "nigh", "t1.0.0", "aa"),
            message("pricing", "night", "1.0.1", "aa"),
            b"aa".to_vec(),
        ] {
            assert!(!is_right(&other, &signature));
        }
        let stranger = PrivateKey::generate().unwrap();
        assert!(!is_right(&said, &Signature { signer: stranger.public(), ..signature.clone() }));
        for wrong in ["", "zz", &"0".repeat(128), &signature.signature[..126]] {
            assert!(!is_right(&said, &Signature { signature: wrong.into(), ..signature.clone() }));
        }
    }

    #[test]
    fn keys_and_signatures_come_back_from_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("key"), PrivateKey::generate().unwrap());
        key.write(&path).unwrap();
        assert_eq!(PrivateKey::read(&path).unwrap().public(), key.public());
        assert!(is_public_key(&key.public()) && !is_public_key("00"));
        assert!(key.write(&path).is_err(), "a key is never overwritten");
        let signature = signed(&key, b"x");
        let path = folder.path().join("signature");
        fs::write(&path, to_line(&signature)).unwrap();
        assert_eq!(read_signature(&path).unwrap(), signature);
        for wrong in ["", "ed25519-signature 00 00", "ed25519-private 00"] {
            fs::write(&path, wrong).unwrap();
            assert!(read_signature(&path).is_err() && PrivateKey::read(&path).is_err(), "{wrong}");
        }
    }
}
