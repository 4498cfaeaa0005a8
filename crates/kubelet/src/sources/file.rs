//! A directory of manifests, watched by inotify; a slow rescan finds what inotify missed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api_types::core::Pod;

use super::decode::decode;
use super::{ManifestSender, Manifests, StaticSource};
use crate::news::News;

/// As much of a manifest as upstream reads.
const LIMIT: u64 = 10 << 20;

/// A manifest directory, or a single manifest.
#[derive(Debug, Clone)]
pub struct FileSource {
    /// The path.
    pub path: PathBuf,
    /// This node's name.
    pub node: String,
    /// How often to look even without news.
    pub rescan: Duration,
}

impl FileSource {
    /// Reports all pods now and after every change, until the receiver is gone.
    pub async fn run(self, sender: ManifestSender) {
        let mut known = BTreeMap::new();
        let mut told = false;
        let mut watch = None;
        loop {
            if watch.is_none() {
                watch = News::of(&self.path).inspect_err(|error| self.log(error)).ok();
            }
            let changed = self.scan(&mut known);
            if changed || !told {
                told = true;
                let pods = known.values().flat_map(|file: &Parsed| file.pods.clone()).collect();
                if sender.send(Manifests { source: StaticSource::File, pods }).await.is_err() {
                    return;
                }
            }
            if let Ok(Err(error)) = tokio::time::timeout(self.rescan, changes(watch.as_mut())).await {
                self.log(&error);
                watch = None;
            }
        }
    }

    fn log(&self, error: &io::Error) {
        tracing::warn!(path = %self.path.display(), "watching manifests: {error}");
    }

    /// Reads what is there; says whether anything is different from what is known. A manifest that has become
    /// unreadable keeps its pods: a typing error must not stop the control plane.
    fn scan(&self, known: &mut BTreeMap<PathBuf, Parsed>) -> bool {
        let files = match manifests(&self.path) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.log(&error);
                return false;
            }
        };
        let before = known.len();
        known.retain(|path, _| files.contains(path));
        let mut changed = known.len() != before;
        for path in files {
            let text = match read(&path) {
                Ok(text) => text,
                Err(error) => {
                    tracing::error!(manifest = %path.display(), "reading: {error}");
                    continue;
                }
            };
            if known.get(&path).is_some_and(|parsed| parsed.text == text) {
                continue;
            }
            changed = true;
            let old = known.remove(&path).map(|parsed| parsed.pods).unwrap_or_default();
            let pods = match decode(&text, StaticSource::File, &self.node) {
                Ok(pods) => pods.into_iter().map(Arc::new).collect(),
                Err(error) => {
                    tracing::error!(manifest = %path.display(), "{error}");
                    old
                }
            };
            known.insert(path, Parsed { text, pods });
        }
        changed
    }
}

struct Parsed {
    text: String,
    pods: Vec<Arc<Pod>>,
}

/// The manifests: files whose name does not begin with a dot.
fn manifests(path: &Path) -> io::Result<Vec<PathBuf>> {
    if fs::metadata(path)?.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path)?.flatten().map(|entry| entry.path());
    let visible = |path: &PathBuf| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
    let mut files: Vec<PathBuf> = entries.filter(|path| visible(path) && path.is_file()).collect();
    files.sort();
    Ok(files)
}

/// A manifest's text.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("has more than {LIMIT} bytes")));
    }
    Ok(text)
}

/// Waits for news; without a watch, for ever.
async fn changes(watch: Option<&mut News>) -> io::Result<()> {
    match watch {
        Some(watch) => watch.wait().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::pod::PodExt;

    fn manifest(name: &str) -> String {
        format!("kind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: i}}]}}\n")
    }

    async fn names(receiver: &mut mpsc::Receiver<Manifests>, wanted: &[&str]) {
        loop {
            let manifests = receiver.recv().await.unwrap();
            let names: Vec<String> = manifests.pods.iter().map(|pod| pod.key().name).collect();
            if names == wanted {
                return;
            }
        }
    }

    #[tokio::test]
    async fn pods_follow_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let source =
            FileSource { path: directory.path().to_owned(), node: "n".into(), rescan: Duration::from_secs(3600) };
        let (sender, mut receiver) = mpsc::channel(4);
        let task = tokio::spawn(source.run(sender));
        names(&mut receiver, &[]).await;
        fs::write(directory.path().join("a.yaml"), manifest("a")).unwrap();
        names(&mut receiver, &["a-n"]).await;
        fs::write(directory.path().join("b.yaml"), manifest("b")).unwrap();
        names(&mut receiver, &["a-n", "b-n"]).await;
        fs::write(directory.path().join("b.yaml"), "{{{").unwrap();
        fs::write(directory.path().join(".hidden"), manifest("h")).unwrap();
        fs::write(directory.path().join("c.yaml"), manifest("c")).unwrap();
        names(&mut receiver, &["a-n", "b-n", "c-n"]).await;
        fs::remove_file(directory.path().join("a.yaml")).unwrap();
        names(&mut receiver, &["b-n", "c-n"]).await;
        task.abort();
    }
}
