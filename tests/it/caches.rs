//! A real shared cache in front: nginx, between two people who ask for the same things.

use crate::harness::{Backend, Client, NOW, Reply, Sidecar, session_token, token};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;

const TTL: i64 = 7200;

/// nginx that caches for everybody; ended when dropped.
struct SharedCache {
    process: Child,
    address: String,
    _folder: TempDir,
}

impl SharedCache {
    async fn before(sidecar: &Sidecar) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().display();
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        // One worker, as whoever runs the test: a master of root's would want another user for its folders.
        let settings = format!(
            "daemon off; master_process off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;
             events {{ worker_connections 64; }}
             http {{
                 access_log off;
                 client_body_temp_path {root}/body; proxy_temp_path {root}/temp; fastcgi_temp_path {root}/f;
                 uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
                 proxy_cache_path {root}/cache keys_zone=all:1m;
                 server {{
                     listen 127.0.0.1:{port};
                     location / {{
                         proxy_pass http://{};
                         proxy_http_version 1.1;
                         proxy_set_header Connection \"\";
                         proxy_set_header Host $http_host;
                         proxy_cache all;
                         # As careless as caches are by the letter: RFC 9111 lets them store an answer that sets a cookie.
                         proxy_ignore_headers Set-Cookie;
                         proxy_cache_key $request_uri;
                         add_header X-Cache $upstream_cache_status always;
                     }}
                 }}
             }}",
            sidecar.address
        );
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, settings).expect("written");
        let process = Command::new("nginx").arg("-p").arg(folder.path()).arg("-c").arg(&path).stderr(Stdio::null()).spawn();
        let cache = Self {
            process: process.expect("nginx is installed; tests/run does it"),
            address: format!("127.0.0.1:{port}"),
            _folder: folder,
        };
        for _ in 0..500 {
            if TcpStream::connect(&cache.address).await.is_ok() {
                return cache;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nginx does not listen");
    }

    async fn get(&self, path: &str, session: &str) -> crate::harness::Answer {
        Client::to(&self.address).await.get(path, &format!("session={session}")).await
    }
}

impl Drop for SharedCache {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn h1_h2_a_shared_cache_never_gives_one_person_the_session_of_another() {
    let backend = Backend::start(|request| match request.split(' ').nth(1) {
        // A careless application: everything may be cached, even a login.
        Some("/login") => {
            let line = format!("session={}; Max-Age=60; Path=/; HttpOnly; SameSite=Lax", session_token(NOW, NOW + TTL));
            Reply::with("200 OK", &[("Cache-Control", "public, max-age=600"), ("Set-Cookie", &line)], "welcome")
        }
        Some(path) => Reply::with("200 OK", &[("Cache-Control", "public, max-age=600")], path),
        None => Reply::ok(),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let cache = SharedCache::before(&sidecar).await;
    let ada = session_token(NOW, NOW + TTL);
    let bob = token(&format!(r#"{{"sub":"bob","sid":"s-2","iat":{},"exp":{}}}"#, NOW + 1, NOW + 1 + TTL));
    let cached = |answer: &crate::harness::Answer| answer.field("x-cache").unwrap_or_default().to_owned();

    // Due, with time left: the logo goes into the cache, and no session with it.
    sidecar.pass(4000);
    let first = cache.get("/logo", &ada).await;
    let second = cache.get("/logo", &bob).await;
    assert_eq!((cached(&first).as_str(), cached(&second).as_str()), ("MISS", "HIT"));
    for answer in [&first, &second] {
        assert_eq!((answer.all("set-cookie").count(), answer.field("session-expires-in")), (0, None));
    }

    // Nearly over: the session is worth more than the cache, and the cache must not keep it.
    sidecar.pass(TTL - 4000 - 600);
    let first = cache.get("/other", &ada).await;
    let second = cache.get("/other", &bob).await;
    assert_eq!((cached(&first).as_str(), cached(&second).as_str()), ("MISS", "MISS"));
    let (of_ada, of_bob) = (first.cookie("session"), second.cookie("session"));
    assert_eq!((&crate::harness::claims(of_ada)["sub"], &crate::harness::claims(of_bob)["sub"]), (&"ada".into(), &"bob".into()));

    // The backend's own careless login.
    for _ in 0..2 {
        let login = cache.get("/login", "none").await;
        assert_eq!((cached(&login).as_str(), login.cookie_lines("session").len()), ("MISS", 1));
    }
}
