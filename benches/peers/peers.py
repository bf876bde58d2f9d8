"""The proxies and what each is configured to do."""

import json
import os
import resource
import subprocess

import tokens
from harness import free_port
from peer import Peer


class Slidecar(Peer):
    binary = None

    def command(self):
        upstream = self.backend if self.backend.startswith("unix:") else f"http://{self.backend}"
        return [self.binary], {
            "SLIDECAR_UPSTREAM": upstream,
            "SLIDECAR_LISTEN": self.address,
            "SLIDECAR_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            "SLIDECAR_WORKERS": "1",
            "SESSION_COOKIE_NAME": tokens.COOKIE,
            "JWT_SECRET": tokens.SECRET,
            "JWT_ISSUER": tokens.ISSUER,
            "JWT_AUDIENCE": tokens.AUDIENCE,
            "JWT_EXPIRES_IN": str(tokens.TTL),
            "SESSION_REFRESH_THRESHOLD": str(tokens.THRESHOLD),
            **({"SESSION_PROTECTED_PATHS": "/"} if self.options.get("session") else {}),
            **self.options.get("settings", {}),
        }

    @classmethod
    def accepts(cls, settings):
        """Whether this binary knows such settings."""
        env = {name: value for name, value in settings.items() if value is not None}
        env |= {"PATH": os.environ["PATH"], "SLIDECAR_UPSTREAM": "http://127.0.0.1:9"}
        done = subprocess.run([str(cls.binary), "check"], env=env, capture_output=True, check=False)
        return done.returncode == 0


LUA_SETUP = """
local ffi, base64 = require "ffi", require "ngx.base64"
ffi.cdef[[
const void *EVP_sha256(void);
unsigned char *HMAC(const void *md, const void *key, int key_len, const unsigned char *d, size_t n, unsigned char *out, unsigned int *len);
]]
local out, len = ffi.new("unsigned char[64]"), ffi.new("unsigned int[1]")
local sha256, decode, find = ffi.C.EVP_sha256(), base64.decode_base64url, string.find
local key = "%(secret)s"
function session_is_valid(token)
    local dot = token and find(token, ".", 1, true)
    local dot2 = dot and find(token, ".", dot + 1, true)
    if not dot2 then return false end
    local head = decode(token:sub(1, dot - 1))
    if not head or not find(head, '"alg":"HS256"', 1, true) then return false end
    ffi.C.HMAC(sha256, key, #key, token, dot2 - 1, out, len)
    if decode(token:sub(dot2 + 1)) ~= ffi.string(out, len[0]) then return false end
    local claims = decode(token:sub(dot + 1, dot2 - 1))
    local exp = claims and claims:match('"exp":(%%d+)')
    return exp and tonumber(exp) > ngx.time()
        and find(claims, '"iss":"%(issuer)s"', 1, true) and find(claims, '"aud":"%(audience)s"', 1, true)
end
"""


class Nginx(Peer):
    def command(self):
        o = self.options
        tls = o.get("tls")
        listen = f"listen {self.address}" + (" ssl http2" if tls else "") + ";"
        if tls:
            listen += f"ssl_certificate {tls.cert}; ssl_certificate_key {tls.key};"
        upgrade = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
        lua = LUA_SETUP % {"secret": tokens.SECRET, "issuer": tokens.ISSUER, "audience": tokens.AUDIENCE}
        modules = "/usr/lib/nginx/modules"
        config = f"""
{f"load_module {modules}/ndk_http_module.so; load_module {modules}/ngx_http_lua_module.so;" if o.get("session") else ""}
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile {resource.getrlimit(resource.RLIMIT_NOFILE)[0]};
pid {self.directory}/pid;
error_log stderr warn;
events {{ worker_connections 19000; }}
http {{
    log_format json escape=json '{{"timestamp":"$time_iso8601","id":"$request_id","method":"$request_method","path":"$uri","status":$status,"ms":"$request_time"}}';
    access_log {self.log} json;
    {"".join(f"{kind}_temp_path {self.directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))}
    {f'lua_package_path "/usr/share/lua/5.1/?.lua;;"; init_by_lua_block {{ {lua} }}' if o.get("session") else ""}
    upstream backend {{ server {self.backend} max_fails=0; keepalive 256; }}
    server {{
        {listen}
        {f"keepalive_requests {o['requests']};" if "requests" in o else ""}
        location / {{
            {f"access_by_lua_block {{ if not session_is_valid(ngx.var.cookie_{tokens.COOKIE}) then return ngx.exit(401) end }}" if o.get("session") else ""}
            proxy_pass http://backend;
            proxy_http_version 1.1;
            {upgrade if o.get("websocket") else 'proxy_set_header Connection "";'}
        }}
    }}
}}"""
        path = self.directory / "nginx.conf"
        path.write_text(config)
        return ["nginx", "-p", self.directory, "-e", "stderr", "-c", path], {}


class Haproxy(Peer):
    def command(self):
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        checks = f"""
    http-request set-var(txn.jwt) req.cook({tokens.COOKIE})
    http-request deny deny_status 401 unless {{ var(txn.jwt) -m found }}
    http-request deny deny_status 401 unless {{ var(txn.jwt),jwt_header_query('$.alg') -m str HS256 }}
    http-request deny deny_status 401 unless {{ var(txn.jwt),jwt_verify("HS256","{tokens.SECRET}") -m int 1 }}
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.jwt),jwt_payload_query('$.exp','int'),sub(txn.now) -m int gt 0 }}
    http-request deny deny_status 401 unless {{ var(txn.jwt),jwt_payload_query('$.iss') -m str {tokens.ISSUER} }}
    http-request deny deny_status 401 unless {{ var(txn.jwt),jwt_payload_query('$.aud') -m str {tokens.AUDIENCE} }}
""" if self.options.get("session") else ""
        config = f"""
global
    nbthread 1
    maxconn {min(9900, (files - 200) // 2)}
    log stdout format raw local0
defaults
    mode http
    log global
    log-format '{{"timestamp":"%T","id":"%ID","method":"%HM","path":"%HPO","status":%ST,"ms":%Ta}}'
    unique-id-format %pid-%rt
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend front
    bind {self.address}
{checks}
    default_backend back
backend back
    server only {self.backend.replace("unix:", "unix@")}
"""
        path = self.directory / "haproxy.cfg"
        path.write_text(config)
        return ["haproxy", "-db", "-f", path], {}


class Envoy(Peer):
    binary = None

    def command(self):
        http = "type.googleapis.com/envoy.extensions.filters.http"
        filters = [{"name": "router", "typed_config": {"@type": f"{http}.router.v3.Router"}}]
        if self.options.get("session"):
            secret = tokens.b64(tokens.SECRET.encode()).decode()
            keys = {"keys": [{"kty": "oct", "alg": "HS256", "k": secret}]}
            provider = {"issuer": tokens.ISSUER, "audiences": [tokens.AUDIENCE], "from_cookies": [tokens.COOKIE],
                        "local_jwks": {"inline_string": json.dumps(keys)}, "forward": True}
            filters.insert(0, {"name": "jwt", "typed_config": {
                "@type": f"{http}.jwt_authn.v3.JwtAuthentication", "providers": {"session": provider},
                "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "session"}}]}})
        log = {"name": "file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(self.log),
            "log_format": {"json_format": {"timestamp": "%START_TIME%", "id": "%REQ(X-REQUEST-ID)%", "method": "%REQ(:METHOD)%",
                                           "path": "%PATH(NQ)%", "status": "%RESPONSE_CODE%", "ms": "%DURATION%"}}}}
        manager = {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                   "stat_prefix": "front", "access_log": [log], "http_filters": filters,
                   "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                       {"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]}]}}
        host, port = self.backend.split(":")
        config = {"static_resources": {
            "listeners": [{"name": "front", "address": socket_address("127.0.0.1", self.port), "filter_chains": [
                {"filters": [{"name": "http", "typed_config": manager}]}]}],
            "clusters": [{"name": "backend", "type": "STATIC", "load_assignment": {"cluster_name": "backend", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": socket_address(host, int(port))}}]}]}}]}}
        path = self.directory / "envoy.json"
        path.write_text(json.dumps(config))
        return [self.binary, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "error"], {}


def socket_address(host, port):
    return {"socket_address": {"address": host, "port_value": port}}
