//! One-time join codes: the pin of the CA's key and a secret, as text that can be read out: `PIN-SECRET`.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use sha2::{Digest, Sha256};

use crate::quic::tls::Pin;

/// Bytes of the secret: 80 bits, tried only online, only a few at a time, for fifteen minutes.
const SECRET_BYTES: usize = 10;

/// A join code. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinCode {
    /// Of the cluster's CA key: the newcomer checks it before it says anything.
    pub pin: Pin,
    /// The one-time secret. Never logged.
    pub secret: Vec<u8>,
}

impl JoinCode {
    /// A fresh code.
    ///
    /// # Errors
    /// The random source failed.
    pub fn generate(pin: Pin) -> Result<Self, getrandom::Error> {
        let mut secret = vec![0; SECRET_BYTES];
        getrandom::fill(&mut secret)?;
        Ok(JoinCode { pin, secret })
    }

    /// What the cluster keeps of it.
    pub fn hash(secret: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(b"samira join code").chain_update(secret).finalize().into()
    }
}

impl fmt::Debug for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinCode").field("pin", &self.pin).finish_non_exhaustive()
    }
}

impl fmt::Display for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pin, BASE32_NOPAD.encode(&self.secret).to_lowercase())
    }
}

/// Text that is no join code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a join code: two groups of letters and digits with a dash between them are expected, as `node join-code` prints them"
)]
pub struct CodeError;

impl FromStr for JoinCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let (pin, secret) = text.trim().split_once('-').ok_or(CodeError)?;
        let secret = BASE32_NOPAD_NOCASE.decode(secret.as_bytes()).map_err(|_| CodeError)?;
        if secret.len() != SECRET_BYTES {
            return Err(CodeError);
        }
        Ok(JoinCode { pin: pin.parse().map_err(|_| CodeError)?, secret })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_survives_its_text_form_in_any_case() {
        let code = JoinCode::generate(Pin([7; 16])).unwrap();
        let text = code.to_string();
        assert_eq!(text.parse(), Ok(code.clone()));
        assert_eq!(text.to_uppercase().parse(), Ok(code));
    }

    #[test]
    fn damaged_codes_are_refused() {
        let text = JoinCode::generate(Pin([7; 16])).unwrap().to_string();
        for damaged in
            ["", "-", "abc", &text[1..], &text[..text.len() - 1], &text.replace('-', ""), &format!("{text}a")]
        {
            assert_eq!(damaged.parse::<JoinCode>(), Err(CodeError), "{damaged}");
        }
    }

    #[test]
    fn debug_hides_the_secret() {
        let code = JoinCode { pin: Pin([0; 16]), secret: vec![0xab; SECRET_BYTES] };
        assert!(!format!("{code:?}").contains("171"));
    }
}
