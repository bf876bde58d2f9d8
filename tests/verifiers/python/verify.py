"""Judges tokens: reads lines of {token, secret, now}, answers each with one line per library. `now` is in seconds.

`claims` is text, because what a library made of them must not be read by a second JSON parser on the way.
"""

import json
import sys
from datetime import datetime, timedelta

import freezegun
import jose.jwt
import jwt

LIBRARIES = {
    "PyJWT": lambda token, secret: jwt.decode(token, secret, algorithms=["HS256"]),
    "python-jose": lambda token, secret: jose.jwt.decode(token, secret, algorithms=["HS256"]),
}


def judge(library, verify, token, secret, now):
    try:
        with freezegun.freeze_time(datetime(1970, 1, 1) + timedelta(seconds=now)):
            claims = verify(token, secret)
    except Exception as error:
        return {"library": library, "ok": False, "error": f"{type(error).__name__}: {error}"}
    exp = claims.pop("exp", None)
    return {"library": library, "ok": True, "exp": exp, "claims": json.dumps(claims)}


for line in sys.stdin:
    question = json.loads(line)
    for library, verify in LIBRARIES.items():
        print(json.dumps(judge(library, verify, **question)))
