'use strict';

const crypto = require('crypto');
const path = require('path');
const { Readable, pipeline } = require('stream');
const express = require('express');
const cookieParser = require('cookie-parser');
const jwt = require('jsonwebtoken');

const SECRET = process.env.JWT_SECRET || 'change-me-before-production-please';
const SESSION = process.env.SESSION || 'session';
const TOKEN_TTL = process.env.TOKEN_TTL || '7d';
const REFRESH_THRESHOLD_SECONDS = Number(process.env.REFRESH_THRESHOLD_SECONDS || 5 * 60);
const COOKIE_MAX_AGE = 60 * 60 * 1000;
const FRONT_END = process.env.FRONT_END || 'session.js';
const BLOCK = 64 * 1024;

const USERS = {
  ada: { password: 'lovelace', role: 'admin' },
  alan: { password: 'turing', role: 'member' },
};

const cookieOptions = { httpOnly: true, sameSite: 'lax', maxAge: COOKIE_MAX_AGE };

function startSession(res, user) {
  const token = jwt.sign({ sub: user.sub, role: user.role }, SECRET, { expiresIn: TOKEN_TTL });
  res.cookie(SESSION, token, cookieOptions);
}

function verified(req) {
  try {
    return jwt.verify(req.cookies[SESSION], SECRET);
  } catch (err) {
    return null;
  }
}

// Sliding session: a token that is about to expire is replaced.
function slide(req, res, next) {
  req.user = verified(req);
  if (req.user && req.user.exp - Date.now() / 1000 < REFRESH_THRESHOLD_SECONDS) {
    startSession(res, req.user);
  }
  next();
}

function requireLogin(req, res, next) {
  if (!req.user) {
    return res.status(401).json({ error: 'please log in', cookies: req.headers.cookie || null });
  }
  next();
}

const app = express();
app.use(express.static(path.join(__dirname, 'public')));
app.use(cookieParser());
app.use(express.json());
app.use(express.urlencoded({ extended: false }));
app.use(slide);

app.get('/', (req, res) => {
  res.send(`<!doctype html>
<title>Accounts</title>
<script src="/${FRONT_END}" defer></script>
<form method="post" action="/login">
  <input name="user"> <input name="password" type="password"> <button>Log in</button>
</form>
`);
});

app.post('/login', (req, res) => {
  const { user, password } = req.body;
  const known = Object.hasOwn(USERS, user) && USERS[user];
  if (!known || known.password !== password) {
    return res.status(403).json({ error: 'wrong user or password' });
  }
  startSession(res, { sub: user, role: known.role });
  res.json({ user, role: known.role });
});

app.get('/account', requireLogin, (req, res) => {
  const { sub, role, iat, exp } = req.user;
  res.json({ sub, role, iat, exp, cookies: req.headers.cookie });
});

app.post('/logout', (req, res) => {
  res.clearCookie(SESSION, cookieOptions);
  res.json({ ok: true });
});

app.post('/upload', (req, res, next) => {
  const hash = crypto.createHash('sha256');
  let length = 0;
  req.on('data', (chunk) => {
    length += chunk.length;
    hash.update(chunk);
  });
  req.on('end', () => res.json({ length, sha256: hash.digest('hex') }));
  req.on('error', next);
});

// Each block begins with its number, so that a lost or repeated one shows in the hash.
function* blocks(bytes) {
  for (let number = 0; number * BLOCK < bytes; number += 1) {
    const block = Buffer.alloc(BLOCK, number % 251);
    block.writeUInt32BE(number, 0);
    yield block.subarray(0, Math.min(BLOCK, bytes - number * BLOCK));
  }
}

app.get('/download', (req, res) => {
  res.type('application/octet-stream');
  pipeline(Readable.from(blocks(Number(req.query.bytes) || 0)), res, () => {});
});

const server = app.listen(Number(process.env.PORT || 3000), '127.0.0.1', () => {
  console.log(`listening on ${server.address().port}`);
});
