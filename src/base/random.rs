//! Unguessable bytes from the one cryptographic source (aws-lc).

/// `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    aws_lc_rs::rand::fill(&mut out).expect("the system's random source answers");
    out
}

/// A short reference that people can read out: 10 characters, 50 bits, no
/// letters that look alike. Not a secret.
pub fn reference() -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    bytes::<10>()
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect()
}
