//! Where settings' texts come from, and what was wrong with them.

use super::files::Files;
use super::table::{About, Default, Group, Setting};
use crate::session::duration;
use crate::session::keys::Secret;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The environment: a map in tests, the process's own in production.
pub trait Vars: Send + Sync {
    fn get(&self, name: &str) -> Option<OsString>;
    fn names(&self) -> Vec<String>;
    /// The same, for as long as the program runs.
    fn kept(&self) -> Arc<dyn Vars>;
}

/// The process's environment.
#[derive(Clone, Copy, Debug, std::default::Default)]
pub struct ProcessVars;

impl Vars for ProcessVars {
    #[expect(clippy::disallowed_methods, reason = "this is the room")]
    fn get(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the room")]
    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }

    fn kept(&self) -> Arc<dyn Vars> {
        Arc::new(*self)
    }
}

impl Vars for HashMap<String, String> {
    fn get(&self, name: &str) -> Option<OsString> {
        Self::get(self, name).map(OsString::from)
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }

    fn kept(&self) -> Arc<dyn Vars> {
        Arc::new(self.clone())
    }
}

/// One thing that is wrong with the settings; `Display` is the line that an operator reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub setting: String,
    /// `None` where there is no value to show, or where it is secret.
    pub value: Option<String>,
    /// What is wrong and what would be right.
    pub remedy: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value:?}: {}", self.setting, self.remedy),
            None => write!(f, "{}: {}", self.setting, self.remedy),
        }
    }
}

/// Where a setting's value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    Environment,
    File(PathBuf),
}

/// A setting as it holds: for `slidecar check`.
#[derive(Clone, Debug)]
pub struct Entry {
    pub about: &'static About,
    /// What may be shown of the value; `None` where nothing is set.
    pub shown: Option<String>,
    pub source: Source,
}

impl Entry {
    /// The value as it may be shown.
    #[must_use]
    pub fn value(&self) -> String {
        match (&self.shown, self.about.default) {
            (Some(shown), _) => shown.clone(),
            (None, Default::Derived(_)) => "(derived)".to_owned(),
            (None, _) => "-".to_owned(),
        }
    }

    /// Where it came from, in words.
    #[must_use]
    pub fn words(&self) -> String {
        match (&self.source, self.about.default) {
            (Source::Environment, _) => "environment".to_owned(),
            (Source::File(path), _) => format!("file {}", path.display()),
            (Source::Default, Default::Derived(words)) => format!("default: {words}"),
            (Source::Default, Default::Text(_)) => "default".to_owned(),
            (Source::Default, _) => "not set".to_owned(),
        }
    }
}

/// Reads settings one by one and remembers every problem and every source.
pub struct Reader<'a> {
    vars: &'a dyn Vars,
    files: &'a Files,
    /// Where the clocks may stand too (`SESSION_POLICY_DIR`).
    policy_dir: Option<PathBuf>,
    pub problems: Vec<Problem>,
    pub entries: Vec<Entry>,
}

impl<'a> Reader<'a> {
    pub fn new(vars: &'a dyn Vars, files: &'a Files) -> Self {
        Self { vars, files, policy_dir: None, problems: Vec::new(), entries: Vec::new() }
    }

    /// From here on, clocks may also stand in this folder, one file for each; answers the names that it holds.
    pub fn look_for_clocks_in(&mut self, folder: &Path) -> io::Result<Vec<String>> {
        self.policy_dir = Some(folder.to_owned());
        self.files.names(folder)
    }

    /// The value that holds: set, or by default. `None` without either, and for a bad value, which is a problem noted.
    pub fn get<T>(&mut self, setting: &'static Setting<T>) -> Option<T> {
        let about = &setting.about;
        let (bytes, source) = match self.raw(about) {
            Ok(Some(found)) => found,
            Ok(None) => match about.default {
                Default::Text(text) => (text.as_bytes().to_vec(), Source::Default),
                Default::Derived(_) | Default::Off | Default::Required => {
                    self.entries.push(Entry { about, shown: None, source: Source::Default });
                    if about.default == Default::Required {
                        self.problem(about.name, None, format!("not set; it is {}", about.meaning));
                    }
                    return None;
                }
            },
            Err(problem) => {
                self.problems.push(problem);
                return None;
            }
        };
        let Ok(text) = String::from_utf8(bytes) else {
            self.problem(about.name, None, "is not valid UTF-8".to_owned());
            return None;
        };
        let shown = (!about.secret).then(|| text.clone());
        match (setting.parse)(&text) {
            Ok(value) => {
                self.entries.push(Entry { about, shown: Some(shown.unwrap_or_else(|| "(hidden)".to_owned())), source });
                Some(value)
            }
            Err(remedy) => {
                // A file of another name may hold a key, if names were mixed up, and an address a password.
                let is_safe = about.is_clock() || !(matches!(source, Source::File(_)) || (text.contains("://") && text.contains('@')));
                self.problem(about.name, shown.filter(|_| is_safe), remedy);
                None
            }
        }
    }

    /// A secret may be any bytes, in a file.
    pub fn secret(&mut self, setting: &'static Setting<Secret>, required: bool) -> Option<Secret> {
        let about = &setting.about;
        match self.raw(about) {
            Ok(Some((bytes, source))) => {
                // A stray byte shows in the count without showing the key.
                self.entries.push(Entry { about, shown: Some(format!("(hidden, {} bytes)", bytes.len())), source });
                Some(Secret::new(bytes))
            }
            Ok(None) => {
                self.entries.push(Entry { about, shown: None, source: Source::Default });
                if required {
                    self.problem(about.name, None, format!("not set, nor is {}; it is the {}", file_name(about.name), about.meaning));
                }
                None
            }
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// What stands in the file whose path is the setting's value.
    pub fn file_at(&mut self, setting: &'static Setting<PathBuf>) -> Option<Vec<u8>> {
        let path = self.get(setting)?;
        let name = setting.about.name;
        match self.file(name, &path) {
            Ok(Some(bytes)) => {
                if let Some(entry) = self.entries.iter_mut().find(|entry| entry.about.name == name) {
                    entry.source = Source::File(path);
                }
                return Some(bytes);
            }
            Ok(None) => self.problems.push(unreadable(name, &path, &io::ErrorKind::NotFound.into())),
            Err(problem) => self.problems.push(problem),
        }
        None
    }

    /// The file that is named for a setting and is not there, where that may be.
    pub fn missing_file(&self, setting: &'static Setting<Secret>) -> Option<PathBuf> {
        let path = self.vars.get(&file_name(setting.about.name)).map(PathBuf::from).filter(|_| setting.about.may_be_missing)?;
        self.files.read(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound).then_some(path)
    }

    /// What may be shown of a value that is secret as a whole.
    pub fn show(&mut self, about: &About, shown: String) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.about.name == about.name) {
            entry.shown = Some(shown);
        }
    }

    /// Fills in what was derived, once it is known.
    pub fn derive(&mut self, values: &[(&str, String)]) {
        for entry in self.entries.iter_mut().filter(|entry| entry.shown.is_none()) {
            entry.shown = values.iter().find(|(name, _)| *name == entry.about.name).map(|(_, value)| value.clone());
        }
    }

    pub fn problem(&mut self, setting: &str, value: Option<String>, remedy: String) {
        self.problems.push(Problem { setting: setting.to_owned(), value, remedy });
    }

    fn raw(&self, about: &About) -> Result<Option<(Vec<u8>, Source)>, Problem> {
        let problem = |setting: &str, remedy: String| Problem { setting: setting.to_owned(), value: None, remedy };
        // The standard says so of its names: charts and operators set them empty.
        let own = self.vars.get(about.name).filter(|value| about.group != Group::Traces || !value.is_empty());
        let file_name = file_name(about.name);
        let file = if about.file { self.vars.get(&file_name) } else { None };
        let (bytes, source) = match (own, file) {
            (Some(_), Some(_)) => {
                return Err(problem(about.name, format!("is set, and so is {file_name}; set only one of them")));
            }
            (Some(value), None) => self.unless_two_clocks(about, value.into_encoded_bytes())?,
            (None, Some(path)) if path.is_empty() => {
                return Err(problem(&file_name, "is set but empty; give it a value or leave it out".to_owned()));
            }
            (None, Some(path)) => {
                let path = PathBuf::from(path);
                match self.file(&file_name, &path)? {
                    Some(bytes) => (bytes, Source::File(path)),
                    None if about.may_be_missing => return Ok(None),
                    None => return Err(unreadable(&file_name, &path, &io::ErrorKind::NotFound.into())),
                }
            }
            (None, None) => match self.in_policy_dir(about)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        if bytes.is_empty() {
            return Err(match source {
                Source::File(path) => {
                    let setting = if about.group == Group::Policy { about.name.to_owned() } else { file_name };
                    Problem { setting, value: Some(path.display().to_string()), remedy: "names an empty file".to_owned() }
                }
                _ => problem(about.name, "is set but empty; give it a value or leave it out".to_owned()),
            });
        }
        Ok(Some((bytes, source)))
    }

    /// Rule S7: a clock that stands in two places must say the same in both.
    fn unless_two_clocks(&self, about: &About, own: Vec<u8>) -> Result<(Vec<u8>, Source), Problem> {
        let Some((other, Source::File(path))) = self.in_policy_dir(about)? else { return Ok((own, Source::Environment)) };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (here, there) = (text(&own), text(&other));
        if here == there || duration::parse(&here).is_ok_and(|here| duration::parse(&there) == Ok(here)) {
            return Ok((own, Source::Environment));
        }
        Err(Problem {
            setting: about.name.to_owned(),
            value: Some(here),
            remedy: format!("but {} says {there:?}: two clocks; leave it in one place, or make both alike", path.display()),
        })
    }

    fn in_policy_dir(&self, about: &About) -> Result<Option<(Vec<u8>, Source)>, Problem> {
        let Some(folder) = self.policy_dir.as_ref().filter(|_| about.is_clock()) else { return Ok(None) };
        let path = folder.join(about.name);
        let bytes = self.file(about.name, &path)?;
        Ok(bytes.map(|bytes| (bytes.trim_ascii().to_vec(), Source::File(path))))
    }

    /// What the file holds; `None` if it is not there.
    fn file(&self, setting: &str, path: &Path) -> Result<Option<Vec<u8>>, Problem> {
        match self.files.read(path) {
            Ok(mut bytes) => {
                // Editors and `echo` end a file with a newline that is no part of the value: one, not more.
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(setting, path, &error)),
        }
    }
}

fn file_name(setting: &str) -> String {
    format!("{setting}_FILE")
}

fn unreadable(setting: &str, path: &Path, error: &io::Error) -> Problem {
    let remedy = if error.kind() == io::ErrorKind::FileTooLarge {
        "is a file of more than 64 KiB; it should hold one value".to_owned()
    } else {
        format!("cannot be read: {error}")
    };
    Problem { setting: setting.to_owned(), value: Some(path.display().to_string()), remedy }
}
