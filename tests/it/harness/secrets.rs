//! The search for secrets where none may be.

/// Panics where one of `secrets` stands in `haystack`, in clear or
/// percent-encoded; short values are passed over, they occur by chance.
pub fn absent(place: &str, haystack: &[u8], secrets: &[String]) {
    let text = String::from_utf8_lossy(haystack);
    for secret in secrets.iter().filter(|secret| secret.len() >= 12) {
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for form in [secret, &encoded] {
            if let Some(at) = text.find(form.as_str()) {
                let from = text[..at].rfind('\n').map_or(0, |line| line + 1);
                let end = text[at..].find('\n').map_or(text.len(), |line| at + line);
                panic!("{place} tells a secret ({form}):\n{}", &text[from..end]);
            }
        }
    }
}
