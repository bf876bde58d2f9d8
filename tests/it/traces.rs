//! Spans: what a collector gets, and what the backend hears of them.

use crate::harness::{
    Authority, Backend, Client, Collector, Http2, NOW, Process, Reply, SECRET, Sidecar, now, session_token, signal, token,
};
use slidecar::config;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SENDER: &str = "b7ad6b7169203331";

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{SENDER}-{flags}")
}

/// The values of this field, as the backend got them.
fn fields(request: &str, name: &str) -> Vec<String> {
    let pairs = request.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(": "));
    pairs.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

/// The trace, the span and the flags that the backend is told.
fn told(backend: &Backend) -> [String; 3] {
    let last = backend.requests().pop().expect("a request came");
    let [parent] = <[String; 1]>::try_from(fields(&last, "traceparent")).expect("one parent");
    let [version, trace, span, flags] = <[&str; 4]>::try_from(parent.split('-').collect::<Vec<_>>()).expect("four parts");
    assert_eq!((version, trace.len(), span.len()), ("00", 32, 16), "{parent}");
    [trace, span, flags].map(str::to_owned)
}

async fn sidecar(backend: &str, collector: &Collector, more: &[(&str, &str)]) -> Sidecar {
    let own = collector.settings();
    let settings: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied()).collect();
    Sidecar::before(backend, &settings).await
}

#[tokio::test]
async fn o3_without_a_collector_trace_fields_pass_byte_for_byte() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    let lines = concat!(
        "TraceParent: 00-0AF7651916cd43dd8448eb211c80319c-B7AD-zz\r\n",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        "X-Between: 1\r\ntracestate: a=1,,  b=2\r\nTRACESTATE: c=\u{e9}\r\nbaggage: d=%20\r\n"
    );
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).await;
    assert_eq!(client.answer("GET").await.status, 200);
    let lines: String = lines.bytes().map(char::from).collect();
    assert_eq!(backend.request(), format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
    client.request("GET", "/", &[]).await;
    assert_eq!(fields(&backend.requests()[1], "traceparent"), Vec::<String>::new(), "nothing is made up");
}

#[tokio::test]
async fn o3_a_request_leaves_a_span_and_the_backends_hang_from_it() {
    let (mut collector, backend) = (Collector::start().await, Backend::saying("200 OK", &[], "hello").await);
    let sidecar = sidecar(&backend.address, &collector, &[("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20key,x-other=1")]).await;
    sidecar.pass(4000);
    let session = token(&format!(r#"{{"sub":"ada-lovelace","sid":"s-1","iat":{NOW},"exp":{}}}"#, NOW + 7200));
    let cookies = format!("theme=dark; session={session}");
    let came = [
        ("traceparent", &*parent("01")),
        ("Cookie", &cookies),
        ("tracestate", "vendor=x:1"),
        ("tracestate", "other=2"),
        ("X-Forwarded-Proto", "https"),
        ("X-Api-Key", "something-secret"),
    ];
    let answer = sidecar.client().await.request("GET", "/orders/4711?card=4111-1111", &came).await;
    let renewed = answer.cookie("session");

    let export = collector.export().await;
    assert!(export.head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", export.head);
    assert_eq!(fields(&export.head, "x-key"), ["a key"]);
    assert_eq!(fields(&export.head, "x-other"), ["1"]);
    assert_eq!(fields(&export.head, "content-type"), ["application/x-protobuf"]);
    assert_eq!(export.resource["service.name"], "slidecar");
    assert_eq!(export.resource["telemetry.sdk.language"], "rust");
    let [span] = export.spans.as_slice() else { panic!("{:#?}", export.spans) };
    assert_eq!((&*span.trace, &*span.parent, &*span.state), (TRACE, SENDER, "vendor=x:1,other=2"));
    assert_eq!((&*span.name, span.kind, span.status), ("GET /orders/:id", 2, 0), "of the kind SERVER, and no error");
    let expected = [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
        ("slidecar.session.decision", "renewed"),
        ("slidecar.session.reason", "threshold"),
        ("url.path", "/orders/4711"),
        ("url.scheme", "https"),
    ];
    let attributes: Vec<_> = span.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(attributes, expected);
    let age = u64::try_from(now()).unwrap().abs_diff(span.begun / 1_000_000_000);
    assert!(age < 60 && span.nanos > 0 && span.nanos < 60_000_000_000, "{span:?}");

    assert_eq!(told(&backend), [TRACE, &span.id, "01"]);
    assert_eq!(fields(&backend.request(), "tracestate"), ["vendor=x:1", "other=2"]);
    let raw: String = export.body.iter().map(|&byte| char::from(byte)).collect();
    let secrets = ["4111", "ada-lovelace", "something-secret", "theme", SECRET, "s-1", "app.example"];
    for secret in secrets.into_iter().chain(session.split('.')).chain(renewed.split('.')) {
        assert!(!raw.contains(secret), "{secret} is in {raw}");
    }
}

#[tokio::test]
async fn o3_a_trace_begins_here_where_nobody_named_one() {
    let (mut collector, backend) = (Collector::start().await, Backend::saying("200 OK", &[], "hello").await);
    let settings = [
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=ignored, deployment.environment.name=a%2Cb"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", ""),
    ];
    let sidecar = sidecar(&backend.address, &collector, &settings).await;
    let mut client = sidecar.client().await;
    client.request("GET", "/", &[]).await;
    let [trace, span, flags] = told(&backend);
    let export = collector.export().await;
    let seen = &export.spans[0];
    assert_eq!((&*seen.trace, &*seen.id, &*seen.parent, &*flags), (&*trace, &*span, "", "01"));
    assert_eq!((&*export.resource["service.name"], &*export.resource["deployment.environment.name"]), ("shop", "a,b"));
    // What is badly written is none, and what it was said with goes with it.
    let bad = [&*parent("1"), &*parent("01-x"), &format!("ff-{TRACE}-{SENDER}-01"), &format!("00-{TRACE}-0000000000000000-01"), "x"];
    let mut traces = vec![trace];
    for bad in bad {
        client.request("GET", "/", &[("A", "1"), ("traceparent", bad), ("tracestate", "a=1"), ("B", "2")]).await;
        let [trace, span, _] = told(&backend);
        let seen = collector.span().await;
        assert_eq!((&seen.trace, &seen.id, &*seen.parent, &*seen.state), (&trace, &span, "", ""), "{bad}");
        assert_eq!(fields(&backend.requests().pop().unwrap(), "tracestate"), Vec::<String>::new(), "{bad}");
        traces.push(trace);
    }
    let own: std::collections::HashSet<_> = traces.iter().filter(|trace| *trace != TRACE).collect();
    assert_eq!(own.len(), 6, "each has an id of its own");
    client.request("GET", "/", &[("traceparent", &parent("01")), ("traceparent", &parent("01"))]).await;
    assert_ne!(told(&backend)[0], TRACE, "two parents are none");
    assert_eq!(collector.span().await.parent, "");
    // A connection's option takes the sender's field away, and not ours.
    client.request("GET", "/", &[("traceparent", &parent("01")), ("Connection", "traceparent")]).await;
    assert_eq!(told(&backend)[1], collector.span().await.id);
}

#[tokio::test]
async fn o3_what_is_not_sampled_leaves_no_span_and_says_so() {
    let (mut collector, backend) = (Collector::start().await, Backend::saying("200 OK", &[], "hello").await);
    // Sampler, its argument, what came, what goes on; none where the span is the test's to know.
    let table = [
        ("parentbased_always_on", "1", Some("00"), "00", false),
        ("parentbased_always_on", "1", Some("02"), "02", false),
        ("parentbased_always_on", "1", Some("03"), "03", true),
        ("parentbased_always_on", "1", Some("ff"), "03", true),
        ("parentbased_always_off", "1", Some("01"), "01", true),
        ("parentbased_always_off", "1", None, "00", false),
        ("parentbased_traceidratio", "0", None, "00", false),
        ("parentbased_traceidratio", "1", None, "01", true),
        ("always_off", "1", Some("03"), "02", false),
        ("traceidratio", "0", Some("01"), "00", false),
        ("always_on", "1", Some("00"), "01", true),
    ];
    for (sampler, argument, came, goes, is_recorded) in table {
        let what = format!("{sampler} {argument} {came:?}");
        let sidecar =
            sidecar(&backend.address, &collector, &[("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)]).await;
        let came = came.map(parent);
        let fields: Vec<_> = came.iter().map(|parent| ("traceparent", parent.as_str())).collect();
        let mut client = sidecar.client().await;
        client.request("GET", "/", &fields).await;
        let [trace, span, flags] = told(&backend);
        assert_eq!(flags, goes, "{what}");
        if is_recorded {
            let seen = collector.span().await;
            assert_eq!((seen.trace, seen.id), (trace, span), "{what}");
        } else if came.is_some_and(|came| came.ends_with(goes)) {
            assert_eq!([trace, span], [TRACE, SENDER], "{what}: it passes as it came");
        } else {
            assert_ne!(span, SENDER, "{what}: who changes the flags has a name of its own");
        }
    }
    // A span too many would have been taken for the next that is due.
    assert_eq!(collector.unread(), 0);
}

#[tokio::test]
async fn o3_errors_are_named_and_only_the_servers_own_are_errors() {
    let mut collector = Collector::start().await;
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |request| match request.split(' ').nth(1) {
        Some("/broken") => Reply::with("500 Oops", &[], ""),
        Some("/none/7") => Reply::with("404 Not Found", &[], ""),
        Some("/slow") => Reply::ok().held_by(&held),
        _ => Reply::ok(),
    })
    .await;
    let healthy = sidecar(&backend.address, &collector, &[("SESSION_PROTECTED_PATHS", "/private")]).await;
    let gone = sidecar("127.0.0.1:1", &collector, &[]).await;
    // The status, the span's name, its status (2 is an error), and the error.
    let table = [
        (&healthy, "GET", "/", 200, "GET /", 0, None),
        (&healthy, "GET", "/broken", 500, "GET", 2, Some("500")),
        (&healthy, "GET", "/none/7", 404, "GET", 0, None),
        (&healthy, "GET", "/private/x", 401, "GET", 0, Some("no_session")),
        (&healthy, "GET", "/auth/session-status", 200, "GET /auth/session-status", 0, None),
        (&healthy, "PROPFIND", "/", 200, "HTTP /", 0, None),
        (&healthy, "TRACE", "/", 405, "TRACE /", 0, Some("bad_message")),
        (&gone, "POST", "/", 502, "POST", 2, Some("upstream_unreachable")),
    ];
    for (sidecar, method, path, status, name, is_error, error) in table {
        assert_eq!(sidecar.client().await.request(method, path, &[]).await.status, status, "{path}");
        let span = collector.span().await;
        assert_eq!((&*span.name, span.status, span.attribute("error.type")), (name, is_error, error), "{method} {path}: {span:?}");
        assert_eq!(span.attribute("http.response.status_code"), Some(&*status.to_string()));
        let known = if method == "PROPFIND" { "_OTHER" } else { method };
        assert_eq!(span.attribute("http.request.method"), Some(known));
        assert_eq!(span.attribute("http.request.method_original"), (known == "_OTHER").then_some(method));
    }
    let mut client = healthy.client().await;
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    while !backend.requests().iter().any(|request| request.starts_with("GET /slow")) {
        tokio::task::yield_now().await;
    }
    drop(client);
    let span = collector.span().await;
    assert_eq!((span.attribute("error.type"), span.attribute("url.path")), (Some("unanswered"), Some("/slow")), "{span:?}");
    assert_eq!(span.attribute("http.response.status_code"), None);
    gate.notify_waiters();
}

#[tokio::test]
async fn o3_observe_makes_spans_and_changes_no_field() {
    let (mut collector, backend) = (Collector::start().await, Backend::saying("200 OK", &[], "hello").await);
    let sidecar = sidecar(&backend.address, &collector, &[("SLIDECAR_MODE", "observe")]).await;
    sidecar.pass(4000);
    let session = format!("session={}", session_token(NOW, NOW + 7200));
    let mut client = sidecar.client().await;
    client.request("GET", "/", &[("traceparent", &parent("01")), ("tracestate", "a=1"), ("Cookie", &session)]).await;
    assert_eq!(told(&backend), [TRACE, SENDER, "01"]);
    let span = collector.span().await;
    assert_eq!((&*span.parent, span.attribute("slidecar.observed")), (SENDER, Some("true")));
    assert_eq!(span.attribute("slidecar.session.decision"), Some("renewed"));
    client.request("GET", "/", &[]).await;
    assert_eq!(fields(&backend.requests()[1], "traceparent"), Vec::<String>::new());
}

#[tokio::test]
async fn o3_http2_requests_have_spans_too() {
    let (mut collector, backend) = (Collector::start().await, Backend::saying("200 OK", &[], "hello").await);
    let sidecar = sidecar(&backend.address, &collector, &[]).await;
    let mut client = Http2::to(&sidecar.address).await;
    client.get("http://a/x", &[("traceparent", &parent("01"))]).await.unwrap();
    let span = collector.span().await;
    assert_eq!((span.attribute("network.protocol.version"), span.attribute("url.scheme")), (Some("2"), Some("http")));
    assert_eq!(told(&backend), [TRACE, &span.id, "01"]);
}

/// What waits has an end; what is beyond it is counted, and no request waits for any of it.
#[tokio::test]
async fn o3_a_collector_that_is_away_holds_nobody_up_and_gets_what_waited() {
    let is_there = Arc::new(AtomicBool::new(false));
    let there = Arc::clone(&is_there);
    let mut collector = Collector::answering(move |_| {
        if there.load(Ordering::SeqCst) { Reply::with("200 OK", &[], "") } else { Reply::with("503 Busy", &[("Retry-After", "1")], "") }
    })
    .await;
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = sidecar(&backend.address, &collector, &[("OTEL_BSP_MAX_QUEUE_SIZE", "3")]).await;
    let mut client = sidecar.client().await;
    client.request("GET", "/1", &[]).await;
    let refused = collector.span().await;
    for path in ["/2", "/3", "/4", "/5", "/6"] {
        assert_eq!(client.request("GET", path, &[]).await.status, 200);
    }
    assert!(sidecar.metrics().await.contains("\nslidecar_spans_dropped_total 2\n"), "{}", sidecar.metrics().await);
    is_there.store(true, Ordering::SeqCst);
    let mut tries = 0;
    let waited = loop {
        let spans = collector.export().await.spans;
        if spans.iter().all(|span| span.id != refused.id) {
            break spans;
        }
        assert_eq!(spans.len(), 1, "the same again");
        tries += 1;
    };
    assert!(tries > 0, "what was refused for now comes again");
    let paths: Vec<_> = waited.iter().map(|span| span.attributes["url.path"].as_str()).collect();
    assert_eq!(paths, ["/2", "/3", "/4"], "and what found room meanwhile");
    assert!(sidecar.metrics().await.contains("\nslidecar_spans_dropped_total 2\n"));
}

#[tokio::test]
async fn o3_a_collector_that_refuses_is_not_asked_again() {
    let has_refused = AtomicBool::new(false);
    let mut collector = Collector::answering(move |_| {
        Reply::with(if has_refused.swap(true, Ordering::SeqCst) { "200 OK" } else { "403 Forbidden" }, &[], "")
    })
    .await;
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = sidecar(&backend.address, &collector, &[]).await;
    let mut client = sidecar.client().await;
    client.request("GET", "/1", &[]).await;
    let first = collector.span().await;
    client.request("GET", "/2", &[]).await;
    assert_ne!(collector.span().await.id, first.id);
    assert!(sidecar.metrics().await.contains("\nslidecar_spans_dropped_total 1\n"));
}

#[tokio::test]
async fn o3_nothing_listens_and_requests_are_served() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), ("OTEL_BSP_SCHEDULE_DELAY", "1")];
    let mut sidecar = Sidecar::before(&backend.address, &settings).await;
    let mut client = sidecar.client().await;
    for _ in 0..20 {
        assert_eq!(client.request("GET", "/", &[]).await.status, 200);
    }
    drop(client);
    sidecar.stop();
    tokio::time::timeout(Duration::from_secs(10), sidecar.stopped()).await.expect("the stop does not wait for it");
}

#[tokio::test]
async fn o3_a_stop_sends_what_waits() {
    let (mut collector, backend) = (Collector::start().await, Backend::saying("200 OK", &[], "hello").await);
    let settings = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{}/otlp/traces", collector.address())),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000".to_owned()),
        ("JWT_SECRET", SECRET.to_owned()),
        ("SLIDECAR_DRAIN", "500ms".to_owned()),
    ];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (mut process, address) = Process::slidecar(&backend.address, &settings);
    let mut client = Client::to(&address).await;
    for _ in 0..3 {
        client.request("GET", "/", &[]).await;
    }
    drop(client);
    assert_eq!(collector.unread(), 0);
    signal(process.id(), "-TERM");
    let export = collector.export().await;
    assert!(export.head.starts_with("POST /otlp/traces HTTP/1.1\r\n"), "{}", export.head);
    assert_eq!(export.spans.len(), 3);
    assert_eq!(process.ended().await, Some(0));
    assert_eq!(collector.unread(), 0, "its own messages leave no spans");
}

#[tokio::test]
async fn o3_a_collector_may_speak_tls() {
    let (mut collector, backend) = (Collector::start().await, Backend::saying("200 OK", &[], "hello").await);
    let (authority, listener) = (Authority::new(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (port, behind) = (listener.local_addr().unwrap().port(), collector.address().to_owned());
    let acceptor = authority.issue().acceptor(&["http/1.1"]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut behind = TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await; // Either may leave.
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*format!("https://localhost:{port}/base/")),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", roots.to_str().unwrap()),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
    ];
    let sidecar = Sidecar::before(&backend.address, &settings).await;
    sidecar.get("/", "").await;
    let export = collector.export().await;
    assert!(export.head.starts_with("POST /base/v1/traces HTTP/1.1\r\n"), "{}", export.head);
    assert_eq!(export.spans[0].id, told(&backend)[1]);
}

#[test]
fn o3_settings_of_traces_are_checked_and_secrets_stay_hidden() {
    let with = |more: &[(&str, &str)]| {
        let own = [("JWT_SECRET", SECRET), ("SLIDECAR_UPSTREAM", "http://127.0.0.1:3000")];
        let vars: HashMap<String, String> = own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        config::load(&vars)
    };
    let bad = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hidden-part@collector:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization hidden-part"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/roots.pem"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a,b=c"),
        ("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_SDK_DISABLED", "yes"),
    ];
    for (name, value) in bad {
        let problems = with(&[(name, value)]).expect_err(name).problems;
        assert_eq!(problems.iter().map(|problem| problem.setting.as_str()).collect::<Vec<_>>(), [name], "{problems:?}");
        assert!(!problems[0].to_string().contains("hidden-part"), "{}", problems[0]);
    }
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
    let config =
        with(&[endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hidden-part"), ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=b")]);
    let config = config.unwrap();
    let said = format!("{}\n{:?}", slidecar::cli::check::describe(&config), config.traces);
    assert!(!said.contains("hidden-part"), "{said}");
    for part in ["http://collector:4317/v1/traces is where collectors expect gRPC", "OTEL_EXPORTER_OTLP_TRACES_HEADERS is no setting"] {
        assert!(said.contains(part), "{said}");
    }
    for more in [&[][..], &[endpoint, ("OTEL_SDK_DISABLED", "true")], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]] {
        assert!(with(more).unwrap().traces.is_none(), "{more:?}");
    }
}
