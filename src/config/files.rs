//! Files that hold settings, read as one snapshot. A kubelet swaps a whole folder by one symbolic link (`..data`), and other
//! tools write file by file: what is taken up must have stood there together.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

/// A link of this name in a folder leads to the version that holds, if a kubelet wrote the folder.
const KUBELET_LINK: &str = "..data";
/// Files that hold one setting are small; a larger one is a mistake in a mount.
const LARGEST_FILE: u64 = 64 * 1024;

/// What was read so far, for one set of settings.
#[derive(Debug, Default)]
pub struct Files {
    read: RefCell<BTreeMap<PathBuf, Result<Vec<u8>, io::ErrorKind>>>,
    /// For each folder: where its link led when it was first looked at.
    roots: RefCell<BTreeMap<PathBuf, Option<PathBuf>>>,
}

/// What files came to: equal as long as nothing in them changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<PathBuf, u64>);

impl Files {
    /// The whole file. One path is read once; a folder that a kubelet swaps is always read in the same version.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if let Some(known) = self.read.borrow().get(path) {
            return known.clone().map_err(io::Error::from);
        }
        let read = self.look(path);
        self.read.borrow_mut().insert(path.to_owned(), read.as_ref().map(Clone::clone).map_err(io::Error::kind));
        read
    }

    /// The names in a folder that may be settings.
    pub fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let place = self.root(folder).unwrap_or_else(|| folder.to_owned());
        let names = std::fs::read_dir(place)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        Ok(names)
    }

    /// Whether something moved while it was read, so that what was read may never have stood there together.
    pub fn is_torn(&self) -> bool {
        let (read, roots) = (self.read.borrow(), self.roots.borrow());
        read.iter().filter(|(path, _)| !is_stream(path)).any(|(path, before)| match path.parent().and_then(|folder| roots.get(folder)) {
            // One version of a swapped folder is whole, until it is removed under us.
            Some(Some(root)) => before.is_err() && path.parent().and_then(root_of).as_ref() != Some(root),
            _ => Self::default().look(path).map_err(|error| error.kind()) != *before,
        })
    }

    /// Whether every folder is swapped as a whole, so that no file is ever half written.
    pub fn are_swapped(&self) -> bool {
        self.roots.borrow().values().all(Option::is_some)
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let read = self.read.borrow();
        let print = read.iter().filter(|(path, _)| !is_stream(path)).map(|(path, bytes)| {
            let mut hasher = DefaultHasher::new();
            bytes.as_ref().map_err(ToString::to_string).hash(&mut hasher);
            (path.clone(), hasher.finish())
        });
        Fingerprint(print.collect())
    }

    fn look(&self, path: &Path) -> io::Result<Vec<u8>> {
        let in_root = path.parent().and_then(|folder| self.root(folder)).zip(path.file_name()).map(|(root, name)| root.join(name));
        // A file beside the swapped ones is one like any other. A link into them would lead to the next version already.
        let is_swapped = |place: &PathBuf| place.exists() || std::fs::read_link(path).is_ok_and(|link| link.starts_with(KUBELET_LINK));
        let path = in_root.as_ref().filter(|place| is_swapped(place)).map_or(path, PathBuf::as_path);
        let about = std::fs::metadata(path)?;
        if about.is_file() && about.len() > LARGEST_FILE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        std::fs::read(path)
    }

    fn root(&self, folder: &Path) -> Option<PathBuf> {
        self.roots.borrow_mut().entry(folder.to_owned()).or_insert_with(|| root_of(folder)).clone()
    }
}

impl Fingerprint {
    /// What the same files hold now.
    #[must_use]
    pub fn look_again(&self) -> Self {
        let files = Files::default();
        for path in self.0.keys() {
            let _ = files.read(path); // A failure is part of the print.
        }
        files.fingerprint()
    }

    /// Whether there is anything to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this file holds something else than it did.
    #[must_use]
    pub fn differs_at(&self, other: &Self, path: &Path) -> bool {
        self.0.get(path) != other.0.get(path)
    }

    /// The folders in which a change shows first; where one is a link that may be led elsewhere, the one that holds the link.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let folders = self.0.keys().filter_map(|path| path.parent());
        let is_link = |folder: &Path| std::fs::symlink_metadata(folder).is_ok_and(|about| about.is_symlink());
        let with_holder = |folder: &Path| {
            let holder = folder.parent().filter(|_| is_link(folder)).map(Path::to_owned);
            std::iter::once(folder.to_owned()).chain(holder).collect::<Vec<_>>()
        };
        let mut folders: Vec<_> = folders.flat_map(with_holder).collect();
        folders.sort();
        folders.dedup();
        folders
    }
}

/// A pipe gives what it holds once: it can be read at the start, and never looked at again.
fn is_stream(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

fn root_of(folder: &Path) -> Option<PathBuf> {
    std::fs::canonicalize(folder.join(KUBELET_LINK)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn version(folder: &Path, name: &str, files: &[(&str, &str)]) {
        std::fs::create_dir(folder.join(name)).unwrap();
        for (file, text) in files {
            std::fs::write(folder.join(name).join(file), text).unwrap();
        }
        symlink(name, folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join(KUBELET_LINK)).unwrap();
    }

    #[test]
    fn t7_a_swapped_folder_is_read_in_one_version() {
        let folder = tempfile::tempdir().unwrap();
        version(folder.path(), "..1", &[("a", "1"), ("b", "1")]);
        for name in ["a", "b"] {
            symlink(format!("..data/{name}"), folder.path().join(name)).unwrap();
        }
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let files = Files::default();
        assert_eq!(files.read(&a).unwrap(), b"1");
        version(folder.path(), "..2", &[("a", "2"), ("b", "2")]);
        assert_eq!((files.read(&b).unwrap(), files.read(&a).unwrap()), (b"1".to_vec(), b"1".to_vec()));
        assert!(!files.is_torn() && files.are_swapped());
        assert_ne!(files.fingerprint(), files.fingerprint().look_again());

        let files = Files::default();
        assert_eq!(files.read(&a).unwrap(), b"2");
        version(folder.path(), "..3", &[("a", "3"), ("b", "3")]);
        std::fs::remove_dir_all(folder.path().join("..2")).unwrap();
        assert!(files.read(&b).is_err(), "not the new version's beside the old one's");
        assert!(files.is_torn(), "the version went away while it was read");
    }

    #[test]
    fn t7_plain_files_that_change_under_the_reader_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "1").unwrap();
        let files = Files::default();
        files.read(&path).unwrap();
        assert!(!files.is_torn() && !files.are_swapped());
        std::fs::write(&path, "2").unwrap();
        assert!(files.is_torn());
        assert_eq!(files.read(&path).unwrap(), b"1", "a path is read once");
        let missing = Files::default();
        assert!(missing.read(&folder.path().join("none")).is_err());
        assert!(!missing.is_torn());
        assert_eq!(missing.fingerprint(), missing.fingerprint().look_again());
    }

    #[test]
    fn a_file_that_holds_more_than_a_setting_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, vec![b'x'; 65 * 1024]).unwrap();
        assert_eq!(Files::default().read(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
