//! Texts as they are shown, without the passwords and keys that may be in them.

/// What is shown in the place of a secret.
pub(super) const HIDDEN: &str = "…";

/// How every API key begins, so that people, and scanners for secrets, know one when they see it.
pub const API_KEY_PREFIX: &str = "wck_";

/// The text with `…` in the place of an API key, and of the password in a URL: of what stands before the last `@`, and of the parameter
/// `pass`. Of several URLs in one text, only the end of the last one may be left.
pub fn without_secrets(text: &str) -> String {
    if let Some((before, _)) = text.split_once(API_KEY_PREFIX) {
        return format!("{}{API_KEY_PREFIX}{HIDDEN}", without_secrets(before));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return without_credentials(text);
    };
    // A password may have an @ itself.
    let (user, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => {
            let user = credentials.split(':').next().unwrap_or_default();
            // It is a part of a password with such characters.
            let user = if user.contains(['/', '?', '#']) {
                ""
            } else {
                user
            };
            (format!("{user}:{HIDDEN}@"), place)
        }
        None => (String::new(), rest),
    };
    let place = match place.split_once("pass=") {
        Some((before, password)) => {
            let end = password.find(['&', '#']).unwrap_or(password.len());
            format!("{before}pass={HIDDEN}{}", &password[end..])
        }
        None => place.to_owned(),
    };
    format!("{scheme}://{user}{place}")
}

/// The same of a URL whose scheme was forgotten.
fn without_credentials(text: &str) -> String {
    let credentials = text.rsplit_once('@');
    let credentials =
        credentials.and_then(|(before, place)| Some((before.split_once(':')?, place)));
    match credentials {
        Some(((user, _), place)) => format!("{user}:{HIDDEN}@{place}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        for (text, shown) in [
            ("no URL, but a@b", "no URL, but a@b"),
            ("me:sec@ret@here:80", "me:…@here:80"),
            ("redis://here:6379/1", "redis://here:6379/1"),
            ("redis://:secret@here", "redis://:…@here"),
            ("https://me:se://cr@et@here/?a=b", "https://me:…@here/?a=b"),
            ("http://a:secret@b,http://c:secret@d", "http://a:…@d"),
            ("redis://sec/ret@here", "redis://:…@here"),
            ("hash = wck_secret", "hash = wck_…"),
            (
                "unix:///s?user=me&pass=secret&db=1",
                "unix:///s?user=me&pass=…&db=1",
            ),
        ] {
            assert_eq!(without_secrets(text), shown);
            assert_eq!(without_secrets(shown), shown);
        }
    }
}
