//! A mounted ConfigMap or Secret, written as a kubelet writes it: each version in a folder of its own, all names as links
//! through `..data`, and that link replaced at once.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Mutex;
use tempfile::TempDir;

pub struct Mount {
    folder: TempDir,
    version: Mutex<usize>,
}

impl Mount {
    pub fn with(files: &[(&str, &str)]) -> Self {
        let mount = Self { folder: tempfile::tempdir().expect("a folder"), version: Mutex::new(0) };
        mount.swap(files);
        mount
    }

    pub fn path(&self) -> &str {
        self.folder.path().to_str().expect("text")
    }

    /// The next version; the old one goes away.
    pub fn swap(&self, files: &[(&str, &str)]) {
        let mut version = self.version.lock().expect("no writer panics");
        let folder = self.folder.path();
        let (old, new) = (format!("..{version}"), format!("..{}", *version + 1));
        *version += 1;
        std::fs::create_dir(folder.join(&new)).expect("a new folder");
        for (name, text) in files {
            std::fs::write(folder.join(&new).join(name), text).expect("written");
        }
        symlink(&new, folder.join("..data_tmp")).expect("a link");
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("replaced");
        let kept: BTreeSet<&str> = files.iter().map(|(name, _)| *name).collect();
        for name in &kept {
            if !is_link(&folder.join(name)) {
                symlink(format!("..data/{name}"), folder.join(name)).expect("a link");
            }
        }
        for entry in std::fs::read_dir(folder).expect("the folder").flatten() {
            let name = entry.file_name().into_string().expect("text");
            if !name.starts_with("..") && !kept.contains(name.as_str()) {
                std::fs::remove_file(entry.path()).expect("removed");
            }
        }
        if *version > 1 {
            std::fs::remove_dir_all(folder.join(old)).expect("removed");
        }
    }
}

fn is_link(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
