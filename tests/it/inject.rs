//! `slidecar inject`, by the program itself: golden files for what people keep in their manifests, and a reader of YAML that is none of
//! ours (libyaml) for what the output means.

use crate::harness::bare;
use serde::Deserialize as _;
use serde_yaml_ng::{Deserializer, Value};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

/// Files `NAME.in.*`, `NAME.out.*` and `NAME.said` in `tests/it/inject`, and the options that lead from one to the others.
const GOLDEN: [(&str, &[&str]); 8] = [
    (
        "shop.yaml",
        &["--image=registry.example.com/slidecar:1", "--expires-in=90m", "--refresh-threshold=45m", "--cookie-name=sid", "--mode=observe"],
    ),
    ("anchors.yaml", &["--set=SESSION_ABSOLUTE_TIMEOUT=12h", "--set=SLIDECAR_DRAIN=1500ms"]),
    ("kinds.yaml", &["--secret=keys", "--container=web"]),
    (
        "brackets.yaml",
        &["--secret=keys", "--set=JWT_ALGORITHM=EdDSA", "--secret-key=pem", "--set=SESSION_LOGIN_URL=/login?to={return}&$(USER)"],
    ),
    ("list.json", &["--secret=keys"]),
    ("compact.json", &["--secret=keys"]),
    ("windows.yaml", &["--secret=keys"]),
    ("again.yaml", &["--image=slidecar:1", "--expires-in=2h", "--set=SESSION_ENDPOINTS=/session", "--secret=new"]),
];

struct Injected {
    code: Option<i32>,
    out: String,
    said: String,
}

fn inject(input: &[u8], options: &[&str]) -> Injected {
    let mut command = bare(env!("CARGO_BIN_EXE_slidecar"));
    command.arg("inject").args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let done = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Injected { code: done.status.code(), out: text(done.stdout), said: text(done.stderr) }
}

fn golden(name: &str, part: &str) -> PathBuf {
    let (stem, extension) = name.split_once('.').unwrap();
    let file = if part == "said" { format!("{stem}.said") } else { format!("{stem}.{part}.{extension}") };
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/inject").join(file)
}

fn read(name: &str, part: &str) -> String {
    let path = golden(name, part);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// As libyaml reads it.
fn documents(text: &str) -> Vec<Value> {
    Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{error}:\n{text}"))).collect()
}

#[test]
fn c4_inject_makes_the_golden_files() {
    for (name, options) in GOLDEN {
        let injected = inject(read(name, "in").as_bytes(), options);
        assert_eq!(injected.code, Some(0), "{name}: {}", injected.said);
        let run = format!("if this is meant, write it down: slidecar inject {options:?} < {}", golden(name, "in").display());
        assert!(injected.out == read(name, "out"), "{name}: {run}\n{}", injected.out);
        assert_eq!(injected.said, read(name, "said"), "{name}: {run}");
    }
}

/// What `after` has more than `before`, taken out of it; answers its paths.
fn take_out(before: &Value, after: &mut Value, path: &str, taken: &mut Vec<String>) {
    match (before, after) {
        (Value::Mapping(before), Value::Mapping(after)) => {
            after.retain(|key, value| {
                let path = format!("{path}.{}", key.as_str().unwrap_or_default());
                match before.get(key) {
                    Some(before) => take_out(before, value, &path, taken),
                    None => taken.push(path),
                }
                before.contains_key(key)
            });
        }
        (Value::Sequence(before), Value::Sequence(after)) => {
            let more = after.len() - before.len();
            let name = |item: &Value| item["name"].as_str().unwrap_or_default().to_owned();
            let is_new = |item: &Value| more > 0 && !before.iter().any(|before| name(before) == name(item));
            taken.extend(after.iter().filter(|item| is_new(item)).map(|item| format!("{path}[{}]", name(item))));
            after.retain(|item| !is_new(item));
            before.iter().zip(after).for_each(|(before, after)| take_out(before, after, &format!("{path}[]"), taken));
        }
        (before, after) if before == after => {}
        (before, after) => {
            taken.push(path.to_owned());
            *after = before.clone();
        }
    }
}

/// The first comment that is not there any more, or not in its order.
fn lost_comment<'a>(before: &'a str, after: &str) -> Option<&'a str> {
    let mut after = after.lines();
    let mut comments = before.lines().filter_map(|line| line.find('#').map(|start| &line[start..]));
    comments.find(|comment| !after.any(|line| line.ends_with(comment)))
}

#[test]
fn c4_nothing_but_what_is_added_changes() {
    const ADDED: [&str; 11] = [
        "metadata",
        "labels",
        "labels.slidecar",
        "terminationGracePeriodSeconds",
        "initContainers",
        "initContainers[slidecar]",
        "lifecycle",
        "lifecycle.preStop",
        "volumes",
        "volumes[slidecar-key]",
        "targetPort",
    ];
    for (name, options) in GOLDEN.iter().filter(|(name, _)| !name.starts_with("again")) {
        let input = read(name, "in");
        let injected = inject(input.as_bytes(), options);
        let (before, mut after) = (documents(&input), documents(&injected.out));
        assert_ne!(before, after, "{name}");
        let mut taken = Vec::new();
        take_out(&Value::Sequence(before.clone()), &mut Value::Sequence(after.clone()), "", &mut taken);
        let unexpected: Vec<_> = taken.iter().filter(|path| !ADDED.iter().any(|added| path.ends_with(&format!(".{added}")))).collect();
        assert_eq!(unexpected, Vec::<&String>::new(), "{name}");
        assert_eq!(before.len(), after.len(), "{name}");
        before.iter().zip(&mut after).for_each(|(before, after)| take_out(before, after, "", &mut Vec::new()));
        assert_eq!(before, after, "{name}");

        assert_eq!(lost_comment(&input, &injected.out), None, "{name}");
    }
}

#[test]
fn c4_injecting_twice_is_injecting_once() {
    for (name, options) in GOLDEN {
        let once = read(name, "out");
        let twice = inject(once.as_bytes(), options);
        assert!(twice.out == once, "{name}: {}\n{}", twice.said, twice.out);
    }
}

#[test]
fn c4_the_container_is_the_template_with_settings() {
    let template = include_str!("../../src/cli/inject/container.yaml");
    let template = documents(template).remove(0);
    let deployment = inject(read("shop.yaml", "in").as_bytes(), &[]);
    let mut container = documents(&deployment.out)[1]["spec"]["template"]["spec"]["initContainers"][0].clone();
    let env = container["env"].as_sequence_mut().unwrap();
    let own: Vec<_> = env.split_off(template["env"].as_sequence().unwrap().len());
    assert_eq!(container, template);
    let own: Vec<_> = own.iter().map(|one| (one["name"].as_str().unwrap(), one["value"].as_str().unwrap())).collect();
    let expected = [
        ("SLIDECAR_UPSTREAM", "http://127.0.0.1:3000"),
        ("SESSION_COOKIE_NAME", "session"),
        ("JWT_EXPIRES_IN", "2h"),
        ("SESSION_REFRESH_THRESHOLD", "1h"),
    ];
    assert_eq!(own, expected);
}

/// The same Deployment, as people may have written the places where something is put in.
#[test]
fn c4_each_way_of_writing_a_place_is_kept() {
    let head = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n";
    let labels = [
        "    metadata:\n      labels:\n        a: b\n",
        "    metadata: {labels: {a: b}}\n",
        "    metadata:\n      labels: {}\n",
        "    metadata:\n      labels:\n      annotations: {x: \"y\"}\n",
        "",
        "    metadata:\n",
        "    metadata: {\n      labels: {\n        a: b,\n      },\n    }\n",
        "    metadata:\n      labels: # these\n        # this\n        a: b # b\n        # not this\n",
        "    metadata:\n      labels: ~   # none\n",
        "    metadata: &m\n      labels: &l\n        a: b\n      annotations: *l\n",
    ];
    let containers = "      containers:\n      - name: c\n        image: c\n        ports: [{containerPort: 3000}]\n";
    let specs = [
        format!("    spec:\n{containers}"),
        format!("    spec:\n{}", containers.trim_end()),
        format!("    spec:\n{containers}        # no newline"),
        format!("    spec:\n{containers}        lifecycle:\n"),
        format!("    spec:\n{containers}        lifecycle: {{postStart: {{exec: {{command: [a]}}}}}}\n"),
        format!("    spec:\n      initContainers: []\n{containers}"),
        format!("    spec:\n      initContainers:   # none\n{containers}"),
        format!("    spec:\n      initContainers:   # some\n      # one\n\n      - name: i\n        image: i\n{containers}"),
        format!("    spec:\n{containers}        args:\n        - |+\n          keep\n\n\n"),
        format!("    spec:\n{containers}        args: [a]\n        command:\n        - >-\n          folded\n          more\n\n   \n"),
        format!("    spec:\n{containers}        workingDir: \"a\n          b\"   # c\n"),
        format!("    spec:\n{containers}        workingDir: a\n          b\n          c\n"),
        format!("    spec:\n      terminationGracePeriodSeconds: 10  # ten\n{containers}      volumes: [{{name: x, emptyDir: {{}}}}]\n"),
        format!("    spec:\n{containers}      volumes:\n        - name: x\n          emptyDir: {{}}\n        # y\n  # end\n# very end\n"),
        format!("    spec: !!map\n{containers}        workingDir: !!str 5\n"),
        format!("    spec:\n{containers}        workingDir: \"\\u00e9 é ☕\"   # é ☕\n        args: [é, \"☕\"]\n"),
        format!("    spec:\n{containers}      ? nodeSelector\n      : {{a: b}}\n"),
        "    \"spec\":\n      \"containers\":\n        - \"name\": \"c\"\n          \"ports\":\n            - \"containerPort\": 3000\n          'image': 'it''s'\n".to_owned(),
        "    spec: {containers: [{name: c, image: c, ports: [{containerPort: 3000}]}]}\n".to_owned(),
        "    spec: {\n      containers: [\n        { name: c, image: c, # why\n          ports: [ {containerPort: 3000} ], },   # c\n      ],\n    }\n".to_owned(),
    ];
    let tails =
        ["", "\n...\n", "\n---\n", "\n---\nx: 1\n---\n# only\n", "\n--- # c\nkind: ConfigMap\nmetadata: {name: x}\n", "\n\n\n   \n"];
    // All of one list with the first of the others: what can meet, meets at one end.
    let mut inputs: Vec<String> = labels.iter().flat_map(|labels| specs.iter().map(move |spec| format!("{head}{labels}{spec}"))).collect();
    inputs.extend(specs.iter().flat_map(|spec| tails.iter().map(move |tail| format!("{head}{}{spec}{tail}", labels[0]))));
    // One stream holds them all, which saves a process for each.
    for (line_end, step) in [("\n", 1), ("\r\n", 3)] {
        let joined = inputs
            .iter()
            .step_by(step)
            .map(|input| input.trim_end_matches("---\n"))
            .collect::<Vec<_>>()
            .join("\n---\n")
            .replace('\n', line_end);
        let injected = inject(joined.as_bytes(), &["--secret=k"]);
        assert_eq!(injected.code, Some(0), "{}", injected.said);
        assert!(!injected.said.contains("anew"), "{}", injected.said);
        let (before, mut after) = (documents(&joined), documents(&injected.out));
        assert_eq!(before.len(), after.len());
        for (place, (before, after)) in before.iter().zip(&mut after).enumerate() {
            if before["kind"] == "Deployment" {
                let pod = &after["spec"]["template"];
                assert_eq!(pod["metadata"]["labels"]["slidecar"], "on", "{place}");
                assert_eq!(pod["spec"]["initContainers"][0]["resources"]["limits"]["memory"], "256Mi", "{place}");
                assert_eq!(pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"], 5, "{place}");
                let had = before["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
                assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], had + 30, "{place}");
                let volumes = pod["spec"]["volumes"].as_sequence().unwrap();
                assert_eq!(volumes.last().unwrap()["name"], "slidecar-key", "{place}");
            }
            take_out(before, after, "", &mut Vec::new());
            assert_eq!(before, after, "{place}");
        }
        assert_eq!(lost_comment(&joined, &injected.out), None);
        assert_eq!(line_end == "\r\n", !injected.out.replace("\r\n", "").contains('\n'), "lines end as they did");
        assert!(inject(injected.out.as_bytes(), &["--secret=k"]).out == injected.out, "twice is once");
    }
}

/// An anchor whose value is replaced, and an alias of it that wants the new value: no line can say both.
#[test]
fn c4_what_cannot_be_kept_is_written_anew_and_said() {
    let ports = "    - {name: a, port: 80, targetPort: &p 3000} # a\n    - {name: b, port: 81, targetPort: *p}\n";
    let (shop, _) = read("shop.yaml", "in")
        .split_once("    - name: http\n      port: 80")
        .map(|(head, tail)| (head.to_owned(), tail.to_owned()))
        .unwrap();
    let input = format!("{shop}{ports}");
    let injected = inject(input.as_bytes(), &[]);
    assert_eq!(injected.code, Some(0), "{}", injected.said);
    assert!(injected.said.contains("(document 3 was written anew, without its comments)"), "{}", injected.said);
    assert!(injected.out.contains("# The application of 2014."), "the other documents keep theirs");
    let (before, mut after) = (documents(&input), documents(&injected.out));
    let targets: Vec<_> = after[2]["spec"]["ports"].as_sequence().unwrap().iter().map(|port| port["targetPort"].as_u64()).collect();
    assert_eq!(targets, [Some(8080), Some(8080)]);
    before.iter().zip(&mut after).for_each(|(before, after)| take_out(before, after, "", &mut Vec::new()));
    assert_eq!(before, after);
}

#[test]
fn c4_bad_input_is_named_and_nothing_is_written() {
    let shop = read("shop.yaml", "in");
    let kinds = read("kinds.yaml", "in");
    let changed = |from: &str, to: &str| {
        assert!(shop.contains(from), "{from}");
        shop.replacen(from, to, 1).into_bytes()
    };
    let as_it_is = || shop.clone().into_bytes();
    let two_pods = format!("{shop}---\n{}", shop.split("---").nth(1).unwrap_or_default().replace("name: shop\n", "name: more\n"));
    let table: [(Vec<u8>, &[&str], &str); 24] = [
        (Vec::new(), &[], "standard input holds no manifest"),
        (b"a: [\n".to_vec(), &[], "document 1, line 2: is no YAML"),
        (b"x: 1\n---\na: {{ .Values.a }}\nb: c: d\n".to_vec(), &[], "helm template . | slidecar inject"),
        (b"\xff\xfea\0".to_vec(), &[], "UTF-16; save it as UTF-8"),
        (b"a: \xff".to_vec(), &[], "not UTF-8 at byte 3"),
        ("- ".repeat(300).into_bytes(), &[], "nested too deeply"),
        (as_it_is(), &["--set=JWT_EXPIRE_IN=2h"], "JWT_EXPIRE_IN: is no setting; did you mean JWT_EXPIRES_IN?"),
        (as_it_is(), &["--set=JWT_SECRET=abc"], "put it in a Secret"),
        (as_it_is(), &["--set=SESSION_STORE=redis://u:p@h/0"], "put it in a Secret"),
        (as_it_is(), &["--set=SESSION_ENDPOINTS="], "has no value"),
        (as_it_is(), &["--set=JWT_ALGORITHM=HS257"], "JWT_ALGORITHM=\"HS257\": write one of HS256"),
        (as_it_is(), &["--expires-in=2x"], "JWT_EXPIRES_IN=\"2x\""),
        (as_it_is(), &["--expires-in=1h", "--set=JWT_EXPIRES_IN=2h"], "JWT_EXPIRES_IN is given twice"),
        (as_it_is(), &["--expires-in=1h", "--refresh-threshold=3h"], "SESSION_REFRESH_THRESHOLD=\"3h\": must be shorter"),
        (as_it_is(), &["--set=SLIDECAR_LISTEN=127.0.0.1:8080"], "others in the cluster cannot reach it"),
        (as_it_is(), &["--port=3000"], "document 2, deployment \"shop\": --port: 3000 is a port of another container"),
        (changed("secretKeyRef", "configMapKeyRef"), &[], "document 2, deployment \"shop\": no Secret is named"),
        (changed("replicas: 2", "replicas: 2\n  replicas: 3"), &[], "the key \"replicas\" stands twice"),
        (changed("- name: app", "- name: slidecar"), &[], "a container is called \"slidecar\" already"),
        (
            changed("    - name: gossip\n", "    - {name: more, port: 81, targetPort: 3001}\n    - name: gossip\n"),
            &[],
            "3000 (service \"shop\", port 80), 3001 (service \"shop\", port 81)",
        ),
        (changed("containers:\n", "initContainers: [{name: slidecar}]\n      containers:\n"), &[], "is no sidecar"),
        (kinds.clone().into_bytes(), &["--secret=k"], "document 2, pod \"lone\": which port is the backend's?"),
        (kinds.into_bytes(), &["--secret=k", "--container=web", "--upstream-port=80", "--port=80"], "document 1, cronjob"),
        (
            two_pods.replacen("containerPort: 3000", "containerPort: 3000\n            - containerPort: 8080", 1).into_bytes(),
            &[],
            "leads to pods with slidecar on",
        ),
    ];
    for (input, options, expected) in table {
        let injected = inject(&input, options);
        assert_eq!((injected.code, injected.out.as_str()), (Some(64), ""), "{options:?}: {}", injected.said);
        assert!(injected.said.contains(expected), "{expected}: {}", injected.said);
    }
}
