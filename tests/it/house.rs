//! The house keeps its own rules: floors, one list of settings, nothing left behind.

use slidecar::config::table::{ALL, Default};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The floor of each room under `src`, as the crate's front page draws it.
const FLOORS: [(&str, u8); 20] = [
    ("main", 7),
    ("lib", 7),
    ("cli", 7),
    ("app", 6),
    ("config", 6),
    ("server", 5),
    ("admin", 5),
    ("proxy", 4),
    ("endpoints", 3),
    ("rewrite", 3),
    ("upstream", 3),
    ("clock", 2),
    ("drain", 2),
    ("headers", 2),
    ("live", 2),
    ("memory", 2),
    ("metrics", 2),
    ("telemetry", 2),
    ("traces", 2),
    ("session", 1),
];

fn floor(room: &str) -> u8 {
    FLOORS
        .iter()
        .find(|(name, _)| *name == room)
        .unwrap_or_else(|| panic!("the room {room} has no floor: add it to the front page and here"))
        .1
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that a source names: `crate::room` and `use crate::{a, b}`.
fn imports(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    for after in code.split("crate::").skip(1) {
        let names: Vec<&str> = match after.strip_prefix('{') {
            Some(list) => list
                .split('}')
                .next()
                .unwrap_or_default()
                .split(',')
                .map(|name| name.trim().split("::").next().unwrap_or_default())
                .collect(),
            None => vec![after],
        };
        rooms.extend(names.into_iter().map(|name| name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()));
    }
    rooms.remove("");
    rooms
}

#[test]
fn a_file_imports_only_from_floors_below() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    assert!(files.len() > 30, "the sources are where they should be");
    let mut wrong = Vec::new();
    for file in files {
        let place = file.strip_prefix(root().join("src")).expect("under src").with_extension("");
        let room = place.components().next().expect("a room").as_os_str().to_string_lossy().into_owned();
        for import in imports(&std::fs::read_to_string(&file).expect("readable")) {
            let is_below = floor(&import) < floor(&room);
            let is_exception = room == "app" && import == "config";
            if import != room && !is_below && !is_exception {
                wrong.push(format!("{} imports {import}", place.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_core_is_pure() {
    let mut files = Vec::new();
    sources(&root().join("src/session"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        for banned in [
            "use hyper",
            "use tokio",
            "use http::",
            "std::net",
            "std::fs",
            "std::env",
            // `Arc` is a value like another; what waits or changes behind one's back is not.
            "Mutex",
            "RwLock",
            "Atomic",
            "OnceLock",
            "LazyLock",
            "SystemTime",
            "Instant::now",
            "use tracing",
        ] {
            assert!(!text.contains(banned), "{} has {banned}", file.display());
        }
    }
}

fn default_words(default: Default) -> String {
    match default {
        Default::Text(text) => format!("`{text}`"),
        Default::Derived(words) => words.to_owned(),
        Default::Off => "–".to_owned(),
        Default::Required => "required".to_owned(),
    }
}

/// What the table's setting looks like in the README.
fn readme_row(about: &slidecar::config::table::About) -> String {
    let file = if about.file { format!(" or `{}_FILE`", about.name) } else { String::new() };
    format!("| `{}`{file} | {} | {} |", about.name, default_words(about.default), about.meaning)
}

/// What the table's setting looks like in the reference file.
fn reference_lines(about: &slidecar::config::table::About) -> String {
    let value = match about.default {
        Default::Text(text) => text.to_owned(),
        _ => String::new(),
    };
    let default = match about.default {
        Default::Derived(words) => format!(" Default: {words}."),
        Default::Required => " Required.".to_owned(),
        Default::Off | Default::Text(_) => String::new(),
    };
    format!("# {}.{default}\n#{}={value}\n", about.meaning, about.name)
}

#[test]
fn the_readme_lists_every_setting_as_the_table_has_it() {
    let readme = read("README.md");
    let expected: Vec<String> = ALL.iter().map(|about| readme_row(about)).collect();
    let listed: Vec<&str> = readme
        .lines()
        .filter(|line| ["| `JWT_", "| `SESSION_", "| `SLIDECAR_", "| `OTEL_"].iter().any(|start| line.starts_with(start)))
        .collect();
    assert_eq!(listed, expected, "write this into README.md:\n{}", expected.join("\n"));
}

/// Each group has a table of its own, in the order of the groups.
#[test]
fn the_readme_has_each_setting_in_its_own_table() {
    let readme = read("README.md");
    for group in slidecar::config::table::Group::ALL {
        let table = readme.split(&format!("### {}\n", group.title())).nth(1).unwrap_or_else(|| panic!("no table {}", group.title()));
        let table = table.split("\n#").next().unwrap_or_default();
        for about in ALL.iter().filter(|about| about.group == group) {
            assert!(table.contains(&format!("| `{}`", about.name)), "{} belongs under {}", about.name, group.title());
        }
    }
}

#[test]
fn the_reference_file_lists_every_setting_as_the_table_has_it() {
    let expected: String = ALL.iter().map(|about| reference_lines(about)).collect::<Vec<_>>().join("\n");
    let file = read("config/slidecar.env");
    let listed = file.split_once("\n\n").map_or("", |(_, list)| list);
    assert_eq!(listed, expected, "write this into config/slidecar.env:\n{expected}");
}

#[test]
fn o1_the_readme_lists_every_word() {
    let readme = read("README.md");
    for outcome in slidecar::session::outcome::Outcome::all() {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{}` |", outcome.decision())));
        assert!(row.is_some_and(|row| row.contains(&format!("`{}`", outcome.reason()))), "{outcome:?}");
    }
}

#[test]
fn every_default_is_read_by_its_own_parser() {
    let vars: std::collections::HashMap<String, String> =
        [("JWT_SECRET", "a secret of at least thirty-two bytes"), ("SLIDECAR_UPSTREAM", "http://127.0.0.1:3000")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let config = slidecar::config::load(&vars).expect("the defaults hold");
    assert_eq!(config.entries.len(), ALL.len(), "every setting is read, once");
}

/// A claim without a test is a wish.
#[test]
fn every_test_that_the_security_page_names_exists() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    sources(&root().join("tests/it"), &mut files);
    let code: String = files.iter().map(|file| std::fs::read_to_string(file).expect("readable")).collect();
    let page = read("SECURITY.md");
    let is_name =
        |text: &&str| text.contains('_') && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() > 40, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert_eq!(missing, Vec::<&&str>::new());
}

#[test]
fn nothing_is_left_behind() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    sources(&root().join("tests/it"), &mut files);
    for file in files.iter().filter(|file| !file.ends_with("house.rs")) {
        let text = std::fs::read_to_string(file).expect("readable");
        for left in ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "#[ignore"] {
            assert!(!text.contains(left), "{} has {left}", file.display());
        }
    }
}
