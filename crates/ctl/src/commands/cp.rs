//! `ctl cp`: files go to and from containers as tar archives through `tar`, which must be there. What an archive from a
//! container names outside of the destination is refused: the container is not trusted.

use std::{
    fs,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use clap::Args;
use kube::api::AttachParams;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::io::SyncIoBridge;

use super::{exec::pods_api, pods};
use crate::{
    api::Api,
    error::{Error, Result},
};

/// What to copy where.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// SOURCE and DESTINATION; one is [NAMESPACE/]POD:PATH
    files: Vec<String>,
    /// Container
    #[arg(short, long)]
    container: Option<String>,
    /// Owners and permissions are those of whoever unpacks
    #[arg(long)]
    no_preserve: bool,
    /// Go on so many times where a copy from a container broke off; negative means always
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    retries: i64,
}

/// A place in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Remote {
    namespace: Option<String>,
    pod: String,
    path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Local(PathBuf),
    Remote(Remote),
}

/// Runs the command.
///
/// # Errors
/// When a place makes no sense, a file cannot be read or written, or `tar` fails.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let [source, destination] = flags.files.as_slice() else {
        return Err(Error::usage("source and destination are required"));
    };
    match (place(source)?, place(destination)?) {
        (Place::Remote(_), Place::Remote(_)) => {
            Err(Error::usage("one of src or dest must be a local file specification"))
        }
        (Place::Local(_), Place::Local(_)) => {
            Err(Error::usage("one of src or dest must be a remote file specification"))
        }
        (Place::Local(from), Place::Remote(to)) => flags.upload(api, &from, &to).await,
        (Place::Remote(from), Place::Local(to)) => flags.download(api, &from, &to).await,
    }
}

fn place(text: &str) -> Result<Place> {
    let malformed = || Error::usage(format!("invalid file specification {text:?}"));
    let Some((pod, path)) = text.split_once(':').filter(|_| !text.starts_with(['/', '.'])) else {
        return if text.is_empty() {
            Err(Error::usage("filepath can not be empty"))
        } else {
            Ok(Place::Local(text.into()))
        };
    };
    if path.is_empty() || pod.is_empty() {
        return Err(Error::usage("filepath can not be empty"));
    }
    let (namespace, pod) = match pod.split('/').collect::<Vec<_>>()[..] {
        [pod] => (None, pod),
        [namespace, pod] => (Some(namespace.to_owned()), pod),
        _ => return Err(malformed()),
    };
    Ok(Place::Remote(Remote { namespace, pod: pod.to_owned(), path: path.to_owned() }))
}

impl Flags {
    async fn container(&self, api: &Api, remote: &Remote) -> Result<(Api, String)> {
        let mut api = api.clone();
        if let Some(namespace) = &remote.namespace {
            api.namespace.clone_from(namespace);
        }
        let pod = pods::find(&api, &remote.pod).await?;
        let container = pods::container(&pod, self.container.as_deref())?;
        Ok((api, container))
    }

    async fn upload(&self, api: &Api, from: &Path, to: &Remote) -> Result<()> {
        let about = fs::symlink_metadata(from)
            .map_err(|_| Error::usage(format!("{} doesn't exist in local filesystem", from.display())))?;
        let (api, container) = self.container(api, to).await?;
        let name = from.canonicalize().ok().and_then(|path| path.file_name().map(PathBuf::from));
        let name = name.ok_or_else(|| Error::usage(format!("{} has no name", from.display())))?;
        let mut target = PathBuf::from(&to.path);
        if to.path.ends_with('/') || is_directory(&api, &to.pod, &container, &to.path).await? {
            target.push(&name);
        }
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unpacked = target.file_name().map(PathBuf::from).unwrap_or(name);
        let mut command = vec!["tar", "-xmf", "-"];
        if self.no_preserve {
            command = vec!["tar", "--no-same-permissions", "--no-same-owner", "-xmf", "-"];
        }
        let parent = parent.to_string_lossy();
        command.extend(["-C", &parent]);
        let source = from.to_owned();
        let pack = move |out: SyncIoBridge<_>| pack(&source, &unpacked, about.is_dir(), out);
        send(&api, &to.pod, &container, &command, pack).await
    }

    async fn download(&self, api: &Api, from: &Remote, to: &Path) -> Result<()> {
        let (api, container) = self.container(api, from).await?;
        let clean = from.path.trim_end_matches('/');
        let name = Path::new(clean).file_name().map(PathBuf::from).unwrap_or_default();
        let target = if to.is_dir() { to.join(&name) } else { to.to_owned() };
        let root = clean.trim_start_matches('/').to_owned();
        let mut left = self.retries;
        let mut offset = 0;
        loop {
            let (root, target) = (root.clone(), target.clone());
            let (end, read) = receive(&api, from, &container, offset, move |input| unpack(input, &root, &target)).await;
            match end {
                Err(Error::Unreachable(_) | Error::File(_)) if left != 0 && read > 0 => {
                    left -= 1;
                    // The whole archive comes anew: what was unpacked is overwritten.
                    offset = 0;
                }
                end => return end,
            }
        }
    }
}

async fn is_directory(api: &Api, pod: &str, container: &str, path: &str) -> Result<bool> {
    let parameters = AttachParams::default().container(container).stdout(true).stderr(true);
    let process = pods_api(api).exec(pod, ["test", "-d", path], &parameters).await;
    let mut process = process.map_err(|error| api.explain(error))?;
    let status = process.take_status();
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    Ok(status.is_some_and(|status| status.status.as_deref() == Some("Success")))
}

/// Writes an archive of a file or a directory, called `name` in it.
fn pack(from: &Path, name: &Path, directory: bool, out: impl io::Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(out);
    archive.follow_symlinks(false);
    if directory {
        archive.append_dir_all(name, from)?;
    } else {
        archive.append_path_with_name(from, name)?;
    }
    archive.into_inner()?.flush()
}

/// Bytes that are under way between the process and the archive.
const UNDER_WAY: usize = 64 << 10;

/// Runs a command in the container, and gives it what `write` writes.
async fn send<F>(api: &Api, pod: &str, container: &str, command: &[&str], write: F) -> Result<()>
where
    F: FnOnce(SyncIoBridge<tokio::io::DuplexStream>) -> io::Result<()> + Send + 'static,
{
    let parameters = AttachParams::default().container(container).stdin(true).stdout(true).stderr(true);
    let process = pods_api(api).exec(pod, command.iter().copied(), &parameters).await;
    let mut process = process.map_err(|error| api.explain(error))?;
    let status = process.take_status();
    let (near, mut far) = tokio::io::duplex(UNDER_WAY);
    let near = SyncIoBridge::new(near);
    let written = tokio::task::spawn_blocking(move || write(near));
    let mut input = process.stdin();
    let mut errors = process.stderr();
    let output = process.stdout();
    let feed = async {
        if let Some(input) = &mut input {
            // A process that ends early says why itself.
            let _ = tokio::io::copy(&mut far, input).await;
            let _ = input.shutdown().await;
        }
        drop(far);
        drop(input);
    };
    let drain = async {
        if let Some(mut output) = output {
            let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
        }
    };
    let said = async {
        let mut text = Vec::new();
        if let Some(errors) = &mut errors {
            let _ = errors.take(UNDER_WAY as u64).read_to_end(&mut text).await;
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    let ((), (), said) = tokio::join!(feed, drain, said);
    eprint!("{said}");
    finished(status).await?;
    match written.await {
        Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::File(error.to_string())),
        _ => Ok(()),
    }
}

async fn finished(status: Option<impl Future<Output = Option<api_types::meta::Status>>>) -> Result<()> {
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    match status {
        Some(status) if status.status.as_deref() == Some("Failure") => Err(super::exec::failure(&status)),
        Some(_) => Ok(()),
        None => Err(Error::Unreachable("the connection ended before the copy".to_owned())),
    }
}

/// Has the container pack a path, and gives the archive to `read`; how many bytes came.
async fn receive<F>(api: &Api, from: &Remote, container: &str, offset: u64, read: F) -> (Result<()>, u64)
where
    F: FnOnce(SyncIoBridge<tokio::io::DuplexStream>) -> io::Result<()> + Send + 'static,
{
    let mut command = vec!["tar".to_owned(), "cf".to_owned(), "-".to_owned(), from.path.clone()];
    if offset > 0 {
        let path = from.path.replace('\'', "'\\''");
        command = ["sh", "-c", &format!("tar cf - '{path}' | tail -c+{offset}")].map(str::to_owned).to_vec();
    }
    let parameters = AttachParams::default().container(container).stdout(true).stderr(true);
    let mut process = match pods_api(api).exec(&from.pod, command, &parameters).await {
        Ok(process) => process,
        Err(error) => return (Err(api.explain(error)), 0),
    };
    let status = process.take_status();
    let (mut near, far) = tokio::io::duplex(UNDER_WAY);
    let far = SyncIoBridge::new(far);
    let unpacked = tokio::task::spawn_blocking(move || read(far));
    let (output, errors) = (process.stdout(), process.stderr());
    let copied = async {
        let mut count = 0;
        if let Some(mut output) = output {
            count = tokio::io::copy(&mut output, &mut near).await.unwrap_or(0);
        }
        drop(near);
        count
    };
    let told = async {
        if let Some(mut errors) = errors {
            let _ = tokio::io::copy(&mut errors, &mut tokio::io::stderr()).await;
        }
    };
    let (count, ()) = tokio::join!(copied, told);
    let result = match unpacked.await {
        Ok(Err(error)) => Err(Error::File(error.to_string())),
        _ => finished(status).await,
    };
    (result, count)
}

/// Unpacks what is below `root` in an archive to `target`, and nothing to anywhere else.
fn unpack(input: impl Read, root: &str, target: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(input);
    let mut links = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let Some(place) = below(&path, root, target) else {
            eprintln!("warning: file {:?} is outside target destination, skipping", path.display().to_string());
            continue;
        };
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            links.push(path.display().to_string());
            continue;
        }
        if crosses_link(&place, target) {
            eprintln!("warning: file {:?} is behind a symbolic link, skipping", path.display().to_string());
            continue;
        }
        if kind.is_dir() {
            fs::create_dir_all(&place)?;
        } else if kind.is_file() {
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent)?;
            }
            write_file(&mut entry, &place)?;
        }
    }
    for link in links {
        eprintln!(
            "warning: skipping symlink: {link:?} (consider using \"{} exec -n \\\"NAMESPACE\\\" \\\"POD\\\" -- tar cf - PATH | tar xf -\")",
            crate::program::name()
        );
    }
    Ok(())
}

fn write_file<R: Read>(entry: &mut tar::Entry<'_, R>, place: &Path) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
    // A link that stands there already is not written through.
    match fs::symlink_metadata(place) {
        Ok(about) if !about.is_dir() => fs::remove_file(place)?,
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(place)?;
    io::copy(entry, &mut file)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// Where an entry goes; nowhere when its path leads out.
fn below(path: &Path, root: &str, target: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    let root: PathBuf = Path::new(root).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let rest = clean.strip_prefix(&root).ok()?;
    Some(if rest.as_os_str().is_empty() { target.to_owned() } else { target.join(rest) })
}

/// Whether a directory on the way from the target is a link.
fn crosses_link(place: &Path, target: &Path) -> bool {
    let Ok(rest) = place.strip_prefix(target) else { return true };
    let mut way = target.to_owned();
    let Some(parent) = rest.parent() else { return false };
    parent.components().any(|part| {
        way.push(part);
        fs::symlink_metadata(&way).is_ok_and(|about| about.is_symlink())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        let remote = |namespace: Option<&str>, pod: &str, path: &str| {
            Place::Remote(Remote { namespace: namespace.map(str::to_owned), pod: pod.into(), path: path.into() })
        };
        for (text, expected) in [
            ("/tmp/a", Place::Local("/tmp/a".into())),
            ("./a:b", Place::Local("./a:b".into())),
            ("p:/a", remote(None, "p", "/a")),
            ("n/p:/a:b", remote(Some("n"), "p", "/a:b")),
        ] {
            assert_eq!(place(text).unwrap(), expected, "{text}");
        }
        assert!(place("a/b/c:/x").is_err() && place("p:").is_err() && place("").is_err());
    }

    #[test]
    fn an_archive_cannot_lead_out() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("to");
        let mut archive = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind: tar::EntryType, link: Option<&str>| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o640);
            header.set_size(if kind.is_file() { 2 } else { 0 });
            // Names that a builder refuses are what an attacker writes.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            if let Some(link) = link {
                header.set_link_name_literal(link).unwrap();
            }
            header.set_cksum();
            archive.append(&header, if kind.is_file() { &b"hi"[..] } else { b"" }).unwrap();
        };
        add("src", tar::EntryType::Directory, None);
        add("src/fine", tar::EntryType::Regular, None);
        add("src/../../evil", tar::EntryType::Regular, None);
        add("other/evil", tar::EntryType::Regular, None);
        add("src/link", tar::EntryType::Symlink, Some("/"));
        add("src/link/evil", tar::EntryType::Regular, None);
        let bytes = archive.into_inner().unwrap();
        unpack(&bytes[..], "src", &target).unwrap();
        assert_eq!(fs::read(target.join("fine")).unwrap(), b"hi");
        assert!(fs::symlink_metadata(target.join("link")).is_ok_and(|about| about.is_dir()));
        assert!(!directory.path().join("evil").exists() && !Path::new("/evil").exists());
        // A link that is there already is not followed either.
        fs::remove_dir_all(target.join("link")).unwrap();
        std::os::unix::fs::symlink(directory.path(), target.join("link")).unwrap();
        unpack(&bytes[..], "src", &target).unwrap();
        assert!(!directory.path().join("evil").exists());
    }
}
