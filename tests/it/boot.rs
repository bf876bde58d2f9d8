//! The real program: its settings, its exit codes, its signals.

use crate::harness::Process;
use std::process::{Command, Output, Stdio};

fn slidecar(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    // One that starts although it should not would serve for ever.
    let mut command = Command::new("/usr/bin/timeout");
    command.args(["20", env!("CARGO_BIN_EXE_slidecar")]).args(arguments).env_clear().envs(settings.iter().copied()).stdin(Stdio::null());
    command.output().expect("the program runs")
}

fn problems(settings: &[(&str, &str)]) -> Vec<String> {
    let output = slidecar(&[], settings);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).expect("text").lines().map(str::to_owned).collect()
}

const GOOD: [(&str, &str); 4] = [
    ("JWT_SECRET", "a secret of at least thirty-two bytes"),
    ("SLIDECAR_UPSTREAM", "http://127.0.0.1:9"),
    ("SLIDECAR_LISTEN", "127.0.0.1:0"),
    ("SLIDECAR_ADMIN_LISTEN", "127.0.0.1:0"),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut settings: Vec<_> = GOOD.iter().filter(|(name, _)| !more.iter().any(|(own, _)| own == name)).copied().collect();
    settings.extend(more.iter().filter(|(_, value)| *value != "-"));
    settings
}

#[test]
fn s1_all_problems_at_once_each_with_name_value_and_remedy() {
    let lines = problems(&with(&[("JWT_EXPIRES_IN", "2 hours"), ("SESSION_COOKIE_NAME", "a b"), ("SLIDECAR_LISTEN", "8080")]));
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines[0].starts_with("slidecar: JWT_EXPIRES_IN=\"2 hours\": write one whole number and one unit"));
    assert!(lines[1].starts_with("slidecar: SESSION_COOKIE_NAME=\"a b\": a cookie name has"));
    assert!(lines[2].starts_with("slidecar: SLIDECAR_LISTEN=\"8080\": write address:port"));
    assert!(lines[3].starts_with("slidecar: 3 problems"));
}

#[test]
fn s1_each_bad_value_is_refused() {
    let bad = [
        ("JWT_EXPIRES_IN", ""),
        ("JWT_EXPIRES_IN", "0"),
        ("SESSION_ABSOLUTE_TIMEOUT", "1h"),
        ("SESSION_REFRESH_THRESHOLD", "2h"),
        ("SESSION_HEARTBEAT_INTERVAL", "1h"),
        ("JWT_ALGORITHM", "none"),
        ("JWT_ALGORITHM", "RS1"),
        ("JWT_IAT", "x"),
        ("JWT_ALLOW_WEAK_SECRET", "yes"),
        ("JWT_DEMO_CLAIM", "demo"),
        ("JWT_DEMO_EXPIRES_IN", "30m"),
        ("SESSION_TOKEN_CLAIMS", "a,,b"),
        ("SESSION_COOKIE_ATTRIBUTES", "Max-Age=5"),
        ("SESSION_COOKIE_ATTRIBUTES", "SameSite=None"),
        ("SESSION_COOKIE_PERSISTENCE", "yes"),
        ("SESSION_COOKIE_FALLBACK", "1x"),
        ("SESSION_PROTECTED_PATHS", "app"),
        ("SESSION_LOGIN_URL", "//evil"),
        ("SESSION_ENDPOINTS", "/"),
        ("SLIDECAR_UPSTREAM", "127.0.0.1:3000"),
        ("SLIDECAR_UPSTREAM", "http://a/path"),
        ("SLIDECAR_UPSTREAM", "ftp://a"),
        ("SLIDECAR_UPSTREAM", "https://a/path"),
        ("SLIDECAR_UPSTREAM", "unix:relative"),
        ("SLIDECAR_TLS_CERT", "x"),
        ("SLIDECAR_TLS_KEY", "x"),
        ("SLIDECAR_UPSTREAM_CA", "x"),
        ("SLIDECAR_MAX_TARGET", "70000"),
        ("SESSION_STREAMS", "maybe"),
        ("SLIDECAR_UPSTREAM", "-"),
        ("SLIDECAR_WORKERS", "0"),
        ("SLIDECAR_LOG", "loud"),
        ("SLIDECAR_LOG_FORMAT", "xml"),
        ("SLIDECAR_DRAIN", "0"),
        ("SLIDECAR_MAX_HEAD", "100"),
        ("JWT_SECRET", "-"),
        ("SESSION_TIMEOUT_BUFFER", "30d"),
    ];
    for setting in bad {
        let lines = problems(&with(&[setting]));
        assert_eq!(lines.len(), 2, "{setting:?}: {lines:#?}");
        let named = lines[0].contains(setting.0) || setting.0.contains("DEMO");
        assert!(named, "{setting:?}: {lines:#?}");
    }
}

#[test]
fn s1_no_secret_is_shown() {
    for arguments in [&[][..], &["check"]] {
        let output = slidecar(arguments, &[("JWT_SECRET", "hunter2"), ("JWT_EXPIRES_IN", "x")]);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("JWT_SECRET") && !text.contains("hunter2"), "{text}");
    }
    let output = slidecar(&["check"], &GOOD);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("thirty-two"));
}

#[test]
fn s3_a_demo_ttl_of_its_own_needs_a_demo_claim() {
    let lines = problems(&with(&[("JWT_DEMO_EXPIRES_IN", "30m")]));
    assert!(lines[0].starts_with("slidecar: JWT_DEMO_CLAIM: not set, but JWT_DEMO_EXPIRES_IN differs"), "{lines:?}");
    let output = slidecar(&["check"], &with(&[("JWT_DEMO_EXPIRES_IN", "30m"), ("JWT_DEMO_CLAIM", "role=demo")]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("The clocks of the demo class"));
    assert_eq!(slidecar(&["check"], &with(&[("JWT_DEMO_EXPIRES_IN", "2h")])).status.code(), Some(0));
}

#[test]
fn s4_weak_secrets_need_a_yes() {
    let repeated = "a".repeat(40);
    for secret in ["short", repeated.as_str()] {
        assert!(problems(&with(&[("JWT_SECRET", secret)]))[0].starts_with("slidecar: JWT_SECRET: "));
        let output = slidecar(&["check"], &with(&[("JWT_SECRET", secret), ("JWT_ALLOW_WEAK_SECRET", "true")]));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("warning: JWT_SECRET"));
    }
    assert_eq!(slidecar(&[], &with(&[("JWT_SECRET", ""), ("JWT_ALLOW_WEAK_SECRET", "true")])).status.code(), Some(64));
}

#[test]
fn a_secret_can_be_a_file_with_one_newline_that_does_not_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    let path = path.to_str().expect("text");
    let file = |bytes: &[u8]| std::fs::write(path, bytes).expect("written");
    let check = |more: &[(&str, &str)]| slidecar(&["check"], &with(more)).status.code();
    file(b"exactly-thirty-two-bytes-of-key!\n");
    assert_eq!(check(&[("JWT_SECRET", "-"), ("JWT_SECRET_FILE", path)]), Some(0));
    file(b"only-thirty-one-bytes-of-a-key!\n");
    assert_eq!(check(&[("JWT_SECRET", "-"), ("JWT_SECRET_FILE", path)]), Some(64));
    let both = problems(&with(&[("JWT_SECRET_FILE", path)]));
    assert!(both[0].contains("JWT_SECRET: is set, and so is JWT_SECRET_FILE"), "{both:?}");
    let missing = problems(&with(&[("JWT_SECRET", "-"), ("JWT_SECRET_FILE", "/nonexistent/key")]));
    assert!(missing[0].contains("JWT_SECRET_FILE=\"/nonexistent/key\": cannot be read"), "{missing:?}");
    file(b"\n");
    assert!(problems(&with(&[("JWT_SECRET", "-"), ("JWT_SECRET_FILE", path)]))[0].contains("names an empty file"));
    assert!(problems(&with(&[("JWT_SECRET", "-"), ("JWT_SECRET_FILE", "")]))[0].contains("JWT_SECRET_FILE: is set but empty"));
}

#[test]
fn s1_slidecar_is_not_its_own_backend() {
    for (listen, upstream) in
        [("0.0.0.0:18080", "http://127.0.0.1:18080"), ("127.0.0.1:18080", "http://localhost:18080"), ("[::]:18080", "http://[::1]:18080")]
    {
        let lines = problems(&with(&[("SLIDECAR_LISTEN", listen), ("SLIDECAR_UPSTREAM", upstream)]));
        assert!(lines[0].contains("would call itself"), "{lines:?}");
    }
    for (listen, upstream) in [("0.0.0.0:18080", "http://127.0.0.1:18081"), ("127.0.0.1:18080", "http://10.0.0.7:18080")] {
        assert_eq!(slidecar(&["check"], &with(&[("SLIDECAR_LISTEN", listen), ("SLIDECAR_UPSTREAM", upstream)])).status.code(), Some(0));
    }
}

#[test]
fn s4_a_key_with_a_stray_line_break_is_a_warning() {
    for secret in
        ["a secret of at least thirty-two bytes\r", "a secret of at least thirty-two bytes\n", " a secret of at least thirty-two bytes"]
    {
        let output = slidecar(&["check"], &with(&[("JWT_SECRET", secret)]));
        assert!(String::from_utf8_lossy(&output.stdout).contains("warning: JWT_SECRET begins or ends"), "{output:?}");
    }
}

#[test]
fn s5_names_that_promise_are_held_to_it() {
    for (name, attributes) in [("__Host-s", "Path=/app; Secure"), ("__Host-s", "Path=/; Secure; Domain=a.b"), ("__Secure-s", "Path=/")] {
        let lines = problems(&with(&[("SESSION_COOKIE_NAME", name), ("SESSION_COOKIE_ATTRIBUTES", attributes)]));
        assert!(lines[0].contains("SESSION_COOKIE_ATTRIBUTES"), "{lines:?}");
    }
    for (name, attributes) in [("__Host-s", "Path=/; Secure; HttpOnly"), ("s", "Path=/; SameSite=None; Secure")] {
        let output = slidecar(&["check"], &with(&[("SESSION_COOKIE_NAME", name), ("SESSION_COOKIE_ATTRIBUTES", attributes)]));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

#[test]
fn s6_unknown_names_are_warnings_with_a_hint() {
    let output = slidecar(
        &["check"],
        &with(&[
            ("SESSION_REFRESH_TRESHOLD", "1h"),
            ("JWT_SECRETT", "x"),
            ("SLIDECAR_PORT", "tcp://10.0.0.1:8080"),
            ("SLIDECAR_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("SLIDECAR_SERVICE_HOST", "10.0.0.1"),
            ("SLIDECAR_SERVICE_PORT_HTTP", "80"),
            ("OTHER", "x"),
        ]),
    );
    let text = String::from_utf8(output.stdout).expect("text");
    let warnings: Vec<_> = text.lines().filter(|line| line.contains("is no setting")).collect();
    assert_eq!(warnings.len(), 2, "{text}");
    assert!(warnings[0].contains("JWT_SECRETT") && warnings[0].ends_with("did you mean JWT_SECRET?"), "{warnings:?}");
    assert!(warnings[1].ends_with("did you mean SESSION_REFRESH_THRESHOLD?"), "{warnings:?}");
}

#[test]
fn check_draws_the_clocks_and_names_every_source() {
    let output = slidecar(&["check"], &with(&[("JWT_EXPIRES_IN", "4h"), ("SESSION_ABSOLUTE_TIMEOUT", "12h")]));
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    let line = |start: &str| text.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"));
    assert!(line("JWT_EXPIRES_IN").split_whitespace().eq(["JWT_EXPIRES_IN", "4h", "environment"]));
    assert!(
        line("SESSION_REFRESH_THRESHOLD").contains(" 2h ")
            && line("SESSION_REFRESH_THRESHOLD").ends_with("default: half of JWT_EXPIRES_IN")
    );
    assert!(line("absolute cap").contains("12h"));
    assert!(text.ends_with("The settings hold.\n"), "{text}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let output = slidecar(&[], &with(&[("SLIDECAR_LISTEN", &address)]));
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("SLIDECAR_LISTEN={address}: cannot listen there")));
}

/// A running program; killed when dropped.
struct Running(std::process::Child, Vec<serde_json::Value>);

impl Running {
    fn start(settings: &[(&str, &str)]) -> Self {
        use std::io::BufRead as _;
        let mut child = Command::new(env!("CARGO_BIN_EXE_slidecar"))
            .env_clear()
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("runs");
        let mut lines = Vec::new();
        let output = std::io::BufReader::new(child.stdout.take().expect("piped"));
        for line in output.lines().map_while(Result::ok) {
            let line: serde_json::Value = serde_json::from_str(&line).expect("every log line is JSON");
            let is_listening = line["event"] == "listening";
            lines.push(line);
            if is_listening {
                break;
            }
        }
        Self(child, lines)
    }

    fn event(&self, name: &str) -> &serde_json::Value {
        self.1.iter().find(|line| line["event"] == name).unwrap_or_else(|| panic!("{name}: {:#?}", self.1))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn s8_one_line_states_all_clocks() {
    let running = Running::start(&GOOD);
    let policy = running.event("policy");
    assert_eq!((policy["ttl_ms"].as_u64(), policy["refresh_threshold_ms"].as_u64()), (Some(7_200_000), Some(3_600_000)));
    assert_eq!((policy["heartbeat_ms"].as_u64(), policy["timeout_buffer_ms"].as_u64()), (Some(600_000), Some(300_000)));
    assert_eq!(policy["version"].as_str().map(str::len), Some(12));
}

#[test]
fn t7_sigterm_ends_with_zero_within_the_drain() {
    let mut running = Running::start(&with(&[("SLIDECAR_DRAIN", "1s")]));
    let killed = Command::new("kill").arg("-TERM").arg(running.0.id().to_string()).status().expect("kill runs");
    assert!(killed.success());
    assert_eq!(running.0.wait().expect("ends").code(), Some(0));
}

#[test]
fn the_demo_names_its_addresses_first_and_heals_the_page_with_a_dialog() {
    use std::io::{BufRead as _, Read as _, Write as _};
    let page = |address: &str| -> String {
        let mut stream = std::net::TcpStream::connect(address).expect("connects");
        write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("asks");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answers");
        assert!(text.starts_with("HTTP/1.1 200") && text.contains("</html>"), "{text}");
        text
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_slidecar")).args(["demo"]).env_clear().stdout(Stdio::piped()).spawn().expect("runs");
    let mut output = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
    let lines: Vec<String> = output.by_ref().take(2).map_while(Result::ok).collect();
    let addresses: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("http://")?.split('/').next()).collect();
    let pages: Vec<String> = addresses.iter().map(|address| page(address)).collect();
    let _ = child.kill();
    let _ = child.wait();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.starts_with("http://127.0.0.1:")), "{lines:?}");
    // One and the same page, which does not know of the client.
    let has_client: Vec<bool> = pages.iter().map(|page| page.contains("<script src=\"/auth/session-client-")).collect();
    assert_eq!(has_client, [true, false]);
}

#[test]
fn s5_a_cookie_that_does_not_reach_the_own_endpoints_is_a_warning() {
    let warnings = |attributes: &str, endpoints: &str| -> Vec<String> {
        let output = slidecar(&["check"], &with(&[("SESSION_COOKIE_ATTRIBUTES", attributes), ("SESSION_ENDPOINTS", endpoints)]));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().filter(|line| line.contains("will not send")).map(str::to_owned).collect()
    };
    for path in ["/app", "/app/"] {
        let lines = warnings(&format!("Path={path}; HttpOnly"), "/auth");
        let [line] = lines.as_slice() else { panic!("one warning, not {lines:?}") };
        assert!(line.contains(&format!("SESSION_COOKIE_ATTRIBUTES: with Path={path} ")), "{line}");
        assert!(line.contains(" /auth/session-status ") && line.ends_with(": set SESSION_ENDPOINTS=/app/auth"), "{line}");
    }
    for (path, endpoints) in [("/app", "/app/auth"), ("/app", "/app"), ("/", "/auth")] {
        assert!(warnings(&format!("Path={path}; HttpOnly"), endpoints).is_empty(), "{path} {endpoints}");
    }
}

#[test]
fn s7_two_clocks_for_one_thing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("JWT_EXPIRES_IN", "3h\n");
    write("JWT_EXPIRE_IN", "3h");
    let lines = problems(&with(&[("SESSION_POLICY_DIR", path), ("JWT_EXPIRES_IN", "2h")]));
    assert!(lines[0].contains("JWT_EXPIRES_IN=\"2h\"") && lines[0].contains("says \"3h\": two clocks"), "{lines:?}");
    for same in ["3h", "10800", "180m"] {
        let output = slidecar(&["check"], &with(&[("SESSION_POLICY_DIR", path), ("JWT_EXPIRES_IN", same)]));
        assert_eq!(output.status.code(), Some(0), "{same}: {output:?}");
    }
    let output = slidecar(&["check"], &with(&[("SESSION_POLICY_DIR", path)]));
    let text = String::from_utf8_lossy(&output.stdout);
    let row = text.lines().find(|line| line.contains("JWT_EXPIRES_IN ")).unwrap();
    assert!(row.contains("3h") && row.contains(&format!("file {path}/JWT_EXPIRES_IN")), "{row}");
    assert!(text.contains("holds JWT_EXPIRE_IN, which is no clock"), "{text}");
    let lines = problems(&with(&[("SESSION_POLICY_DIR", "/nonexistent")]));
    assert!(lines[0].contains("SESSION_POLICY_DIR=\"/nonexistent\": cannot be read"), "{lines:?}");
    write("SESSION_TIMEOUT_BUFFER", "\n");
    let lines = problems(&with(&[("SESSION_POLICY_DIR", path)]));
    assert!(lines[0].contains("SESSION_TIMEOUT_BUFFER") && lines[0].contains("empty file"), "{lines:?}");
}

#[test]
fn s4_a_previous_key_has_an_end_and_is_of_the_same_kind() {
    let previous = ("JWT_PREVIOUS_SECRET", "the previous secret, thirty-two bytes and more");
    let far = ("JWT_PREVIOUS_UNTIL", "2099-01-31T00:00:00+02:00");
    let lines = problems(&with(&[previous]));
    assert!(lines[0].starts_with("slidecar: JWT_PREVIOUS_UNTIL: not set, but JWT_PREVIOUS_SECRET is"), "{lines:?}");
    for (bad, named) in [
        (("JWT_PREVIOUS_UNTIL", "tomorrow"), "JWT_PREVIOUS_UNTIL=\"tomorrow\": write a moment of RFC 3339"),
        (("JWT_PREVIOUS_SECRET", "short"), "JWT_PREVIOUS_SECRET: has 5 bytes"),
        (("JWT_PREVIOUS_PUBLIC_KEY", "x"), "JWT_PREVIOUS_PUBLIC_KEY: is set, but JWT_ALGORITHM=HS256"),
    ] {
        let lines = problems(&with(&[previous, far, bad]));
        assert!(lines[0].contains(named), "{lines:?}");
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
    let said = |settings: &[(&str, &str)]| {
        let output = slidecar(&["check"], &with(settings));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(!said(&[previous, far]).contains("warning: JWT_"), "{}", said(&[previous, far]));
    assert!(said(&[previous, ("JWT_PREVIOUS_UNTIL", "2020-01-01T00:00:00Z")]).contains("has passed"));
    let soon = slidecar::session::time::Span::from_secs(600);
    let soon = crate::harness::now() + i64::try_from(soon.as_secs()).unwrap();
    let soon = jiff::Timestamp::from_second(soon).unwrap().to_string();
    assert!(said(&[previous, ("JWT_PREVIOUS_UNTIL", &soon)]).contains("is less than a token's life (2h) away"));
    assert!(said(&[far]).contains("there is no JWT_PREVIOUS_SECRET"));
    let missing = said(&[("JWT_PREVIOUS_SECRET_FILE", "/nonexistent/key"), far]);
    assert!(missing.contains("JWT_PREVIOUS_SECRET_FILE names /nonexistent/key, which is not there"), "{missing}");
}

/// Files of one Secret are easily mixed up.
#[test]
fn s1_a_key_in_the_place_of_something_else_is_not_shown_and_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "hunter2 hunter2 hunter2 hunter2 hunter2").unwrap();
    let path = path.to_str().unwrap();
    let lines = problems(&with(&[("JWT_PREVIOUS_UNTIL_FILE", path)]));
    assert!(lines[0].starts_with("slidecar: JWT_PREVIOUS_UNTIL: write a moment"), "{lines:?}");
    let lines = problems(&with(&[("JWT_SECRET", "-"), ("JWT_SECRET_FILE", path), ("JWT_KEY_ID_FILE", path)]));
    assert!(lines[0].contains("JWT_KEY_ID: is a key itself") && !lines.join("").contains("hunter2"), "{lines:?}");
    let lines = problems(&with(&[("SESSION_STORE", "redis-cluster://h1,user:hunter2 x")]));
    assert!(lines[0].contains("SESSION_STORE: one of its hosts is none") && !lines[0].contains("hunter2"), "{lines:?}");
}

#[test]
fn c_help_stands_alone_and_a_wrong_argument_is_a_wrong_setting() {
    let help = slidecar(&["--help"], &[]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    for word in ["SLIDECAR_UPSTREAM", "JWT_SECRET_FILE", "slidecar check", "Exit codes", "health", "completions"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let wrong = slidecar(&["chekc"], &[]);
    assert_eq!((wrong.status.code(), wrong.stdout.is_empty()), (Some(64), true));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("'check'"), "it says what may have been meant");
    for shell in ["bash", "zsh", "fish"] {
        let script = slidecar(&["completions", shell], &[]);
        assert!(script.status.success() && String::from_utf8(script.stdout).unwrap().contains("revoke"), "{shell}");
    }
}

#[tokio::test]
async fn t4_as_many_files_may_be_open_as_the_system_allows() {
    let mut command = Command::new("prlimit");
    command.args(["--nofile=256:4096", env!("CARGO_BIN_EXE_slidecar")]).env_clear().envs(GOOD);
    let (process, _) = Process::start(command, |line| line.contains("\"listening\"").then(String::new));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["4096", "4096"]);
}
