"""Customer accounts."""

import os
from datetime import datetime, timedelta, timezone

import jwt
from flask import Flask, jsonify, make_response, request
from werkzeug.serving import make_server

SECRET = os.environ.get("JWT_SECRET", "change-me-before-production-please")
SESSION = os.environ.get("SESSION", "session")
TOKEN_TTL = timedelta(days=7)
COOKIE_MAX_AGE = 3600

USERS = {
    "ada": {"password": "lovelace", "role": "admin"},
    "alan": {"password": "turing", "role": "member"},
}

app = Flask(__name__)


def sign(user, role):
    now = datetime.now(timezone.utc)
    claims = {"sub": user, "role": role, "iat": now, "exp": now + TOKEN_TTL}
    return jwt.encode(claims, SECRET, algorithm="HS256")


def current_user():
    try:
        return jwt.decode(request.cookies.get(SESSION, ""), SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        return None


@app.get("/")
def home():
    return """<!doctype html>
<title>Accounts</title>
<form method="post" action="/login">
  <input name="user"> <input name="password" type="password"> <button>Log in</button>
</form>
"""


@app.post("/login")
def login():
    form = request.get_json() if request.is_json else request.form
    user = form.get("user", "")
    known = USERS.get(user)
    if known is None or known["password"] != form.get("password"):
        return jsonify(error="wrong user or password"), 403
    response = make_response(jsonify(user=user, role=known["role"]))
    response.set_cookie(SESSION, sign(user, known["role"]), max_age=COOKIE_MAX_AGE, httponly=True)
    return response


@app.get("/account")
def account():
    user = current_user()
    cookies = request.headers.get("Cookie")
    if user is None:
        return jsonify(error="please log in", cookies=cookies), 401
    return jsonify(**user, cookies=cookies)


@app.post("/logout")
def logout():
    response = make_response(jsonify(ok=True))
    response.delete_cookie(SESSION, httponly=True)
    return response


if __name__ == "__main__":
    server = make_server("127.0.0.1", int(os.environ.get("PORT", "5000")), app, threaded=True)
    print(f"listening on {server.port}", flush=True)
    server.serve_forever()
