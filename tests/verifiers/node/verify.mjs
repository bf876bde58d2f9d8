// Judges tokens: reads lines of {token, secret, now}, answers each with one line per library. `now` is in seconds.
// `claims` is text, because what a library made of them must not be read by a second JSON parser on the way.
import { createInterface } from 'node:readline';
import { jwtVerify } from 'jose';
import jsonwebtoken from 'jsonwebtoken';

const libraries = {
  jsonwebtoken: ({ token, secret, now }) =>
    // It floors the system's clock too.
    jsonwebtoken.verify(token, secret, { algorithms: ['HS256'], clockTimestamp: Math.floor(now) }),
  jose: async ({ token, secret, now }) => {
    const options = { algorithms: ['HS256'], currentDate: new Date(now * 1000) };
    return (await jwtVerify(token, new TextEncoder().encode(secret), options)).payload;
  },
};

async function judge(library, verify, question) {
  try {
    const { exp, ...claims } = await verify(question);
    return { library, ok: true, exp, claims: JSON.stringify(claims) };
  } catch (error) {
    return { library, ok: false, error: `${error.name}: ${error.message}` };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  for (const [library, verify] of Object.entries(libraries)) {
    console.log(JSON.stringify(await judge(library, verify, JSON.parse(line))));
  }
}
