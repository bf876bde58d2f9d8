//! Where settings' texts come from, and what was wrong with them.

use super::table::{About, Default, Setting};
use crate::server::Pem;
use crate::session::keys::Secret;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// Files that hold one setting are small; a larger one is a mistake in a mount.
const LARGEST_FILE: usize = 64 * 1024;

/// The environment: a map in tests, the process's own in production.
pub trait Vars {
    fn get(&self, name: &str) -> Option<OsString>;
    fn names(&self) -> Vec<String>;
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
}

impl Vars for HashMap<String, String> {
    fn get(&self, name: &str) -> Option<OsString> {
        Self::get(self, name).map(OsString::from)
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
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

/// Reads settings one by one and remembers every problem and every source.
pub struct Reader<'a> {
    vars: &'a dyn Vars,
    pub problems: Vec<Problem>,
    pub entries: Vec<Entry>,
}

impl<'a> Reader<'a> {
    pub fn new(vars: &'a dyn Vars) -> Self {
        Self { vars, problems: Vec::new(), entries: Vec::new() }
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
                self.problem(about.name, shown, remedy);
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
                    self.problem(about.name, None, format!("not set, nor is {}_FILE; it is the {}", about.name, about.meaning));
                }
                None
            }
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// A PEM text, or the file that holds it.
    pub fn pem(&mut self, setting: &'static Setting<Secret>) -> Option<Pem> {
        let text = self.secret(setting, false)?;
        let source = self.entries.last().map(|entry| entry.source.clone());
        Some(match source {
            Some(Source::File(path)) => Pem::File(path),
            _ => Pem::Text(text.expose().to_vec()),
        })
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
        let own = self.vars.get(about.name);
        let file_name = format!("{}_FILE", about.name);
        let file = if about.secret { self.vars.get(&file_name) } else { None };
        let (bytes, source) = match (own, file) {
            (Some(_), Some(_)) => {
                return Err(problem(about.name, format!("is set, and so is {file_name}; set only one of them")));
            }
            (Some(value), None) => (value.into_encoded_bytes(), Source::Environment),
            (None, Some(path)) if path.is_empty() => {
                return Err(problem(&file_name, "is set but empty; give it a value or leave it out".to_owned()));
            }
            (None, Some(path)) => {
                let path = PathBuf::from(path);
                let mut bytes = std::fs::read(&path).map_err(|error| Problem {
                    setting: file_name.clone(),
                    value: Some(path.display().to_string()),
                    remedy: format!("cannot be read: {error}"),
                })?;
                if bytes.len() > LARGEST_FILE {
                    return Err(problem(&file_name, format!("names a file of more than {LARGEST_FILE} bytes; it should hold one value")));
                }
                // Editors and `echo` end a file with a newline that is no part of the value: one, not more.
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                (bytes, Source::File(path))
            }
            (None, None) => return Ok(None),
        };
        if bytes.is_empty() {
            return Err(match source {
                Source::File(path) => {
                    Problem { setting: file_name, value: Some(path.display().to_string()), remedy: "names an empty file".to_owned() }
                }
                _ => problem(about.name, "is set but empty; give it a value or leave it out".to_owned()),
            });
        }
        Ok(Some((bytes, source)))
    }
}
