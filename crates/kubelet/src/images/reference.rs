//! Image references: enough of Docker's grammar to refuse what cannot be one.

/// Whether the name can be an image reference.
///
/// # Errors
/// Docker's words for what is wrong.
pub(super) fn check(image: &str) -> Result<(), &'static str> {
    const INVALID: &str = "invalid reference format";
    const UPPER: &str = "invalid reference format: repository name must be lowercase";
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let (path, tag) = split_tag(name);
    let path_start = path.find('/').filter(|at| is_host(&path[..*at])).map_or(0, |at| at + 1);
    let components = path[path_start..].split('/');
    let fits = |component: &str| {
        let ends = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        ends(component.bytes().next())
            && ends(component.bytes().next_back())
            && component.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
    };
    let tag_fits = |tag: &str| {
        (1..=128).contains(&tag.len())
            && !tag.starts_with(['.', '-'])
            && tag.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
    };
    let digest_fits = |digest: &str| {
        digest.split_once(':').is_some_and(|(_, hex)| hex.len() >= 32 && hex.bytes().all(|c| c.is_ascii_hexdigit()))
    };
    if !components.clone().all(fits) || !tag.is_none_or(tag_fits) || !digest.is_none_or(digest_fits) {
        return Err(INVALID);
    }
    if path[path_start..].bytes().any(|c| c.is_ascii_uppercase()) { Err(UPPER) } else { Ok(()) }
}

/// Whether the reference means the tag `latest`.
pub(super) fn is_latest(image: &str) -> bool {
    !image.contains('@') && matches!(split_tag(image).1, None | Some("latest"))
}

/// The registry of a reference; `docker.io` when it names none.
pub(super) fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if is_host(host) => host,
        _ => "docker.io",
    }
}

fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    }
}

fn is_host(component: &str) -> bool {
    component == "localhost" || component.contains(['.', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_from_nonsense() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        let good = ["a", "a:b", "ferrokube/demo:v1", "localhost:5000/a/b:c", "reg.io/A", "Host.io/a", digest.as_str()];
        for image in good.iter().filter(|image| **image != "reg.io/A") {
            assert_eq!(check(image), Ok(()), "{image}");
        }
        for image in ["", "A", "reg.io/A", "a b", "a:", "a:b c", "/a", "a/", "a@sha256:1", "a//b", "-a"] {
            assert!(check(image).is_err(), "{image}");
        }
    }

    #[test]
    fn registries_and_tags_are_found() {
        for (image, host, latest) in [
            ("busybox", "docker.io", true),
            ("ferrokube/demo:v1", "docker.io", false),
            ("localhost:5000/a", "localhost:5000", true),
            ("quay.io/a/b:latest", "quay.io", true),
            ("a@sha256:00", "docker.io", false),
        ] {
            assert_eq!((registry(image), is_latest(image)), (host, latest), "{image}");
        }
    }
}
