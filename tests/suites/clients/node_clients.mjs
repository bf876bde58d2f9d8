// Clients of node: its own http and http2, undici and fetch. Arguments: plain port, TLS port, certificate of the root.
// Prints a line for each check: "ok name", or "fail name: why".
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import { Client, Pool } from 'undici'

const [plain, secure, root] = process.argv.slice(2)
const ca = fs.readFileSync(root)
const SIZE = 5 * 1024 * 1024
const blob = randomBytes(SIZE)
const digest = createHash('sha256').update(blob).digest('hex')

function ask (agent, path, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const isTls = agent instanceof https.Agent
    const request = (isTls ? https : http).request({ host: 'localhost', family: 4, port: isTls ? secure : plain, path, method, headers, agent }, async response => {
      try {
        const parts = []
        for await (const part of response) parts.push(part)
        resolve({ status: response.statusCode, headers: response.headers, trailers: response.trailers, body: Buffer.concat(parts), reused: request.reusedSocket })
      } catch (error) {
        reject(error)
      }
    })
    request.on('error', reject)
    request.end(body)
  })
}

async function keepAlive (agent) {
  let reused = 0
  await Promise.all(Array.from({ length: 4 }, async (_, lane) => {
    for (let i = 0; i < 250; i++) {
      const answer = await ask(agent, `/number/${lane}-${i}`)
      assert.equal(answer.body.toString(), `${lane}-${i}`)
      reused += answer.reused ? 1 : 0
    }
  }))
  // SLIDECAR_MAX_REQUESTS ends no connection before its thousandth request.
  assert.ok(reused >= 990, `only ${reused} of 1000 requests on a connection that was there`)
  agent.destroy()
}

async function bigOnes (agent) {
  const up = await ask(agent, '/hash', { method: 'POST', body: blob })
  assert.deepEqual(JSON.parse(up.body), { length: SIZE, sha256: digest })
  const chunked = await ask(agent, '/hash', { method: 'POST', headers: { 'transfer-encoding': 'chunked' }, body: blob })
  assert.deepEqual(JSON.parse(chunked.body), { length: SIZE, sha256: digest })
  const down = await ask(agent, `/bytes/${SIZE}`)
  assert.equal(down.body.length, SIZE)
  const both = await ask(agent, '/mirror', { method: 'POST', body: blob })
  assert.ok(both.body.equals(blob))
  agent.destroy()
}

// The answers come in the order of the questions, also where the first ones take longer.
async function pipelinedByHand () {
  const socket = net.connect(plain, '127.0.0.1')
  const count = 50
  let text = ''
  for (let i = 0; i < count; i++) {
    text += i % 5 === 0
      ? `POST /mirror HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\nbody-${String(i).padStart(2, '0')}`
      : `GET /number/${i} HTTP/1.1\r\nHost: localhost\r\n${i === count - 1 ? 'Connection: close\r\n' : ''}\r\n`
  }
  socket.write(text)
  let all = ''
  for await (const part of socket) all += part
  assert.equal(all.match(/HTTP\/1\.1 200 OK\r\n/g).length, count)
  const bodies = [...all.matchAll(/\r\n\r\n(?:[0-9a-f]+\r\n)?(body-\d\d|\d+)/g)].map(match => match[1])
  assert.deepEqual(bodies, Array.from({ length: count }, (_, i) => i % 5 === 0 ? `body-${String(i).padStart(2, '0')}` : String(i)))
}

async function undiciPipelining () {
  const client = new Client(`http://127.0.0.1:${plain}`, { pipelining: 10 })
  const answers = await Promise.all(Array.from({ length: 500 }, async (_, i) => {
    const { statusCode, body } = await client.request({ path: `/number/${i}`, method: 'GET' })
    assert.equal(statusCode, 200)
    return body.text()
  }))
  assert.deepEqual(answers, Array.from({ length: 500 }, (_, i) => String(i)))
  await client.close()
}

async function undiciBig (dispatcher) {
  const up = await dispatcher.request({ path: '/hash', method: 'POST', body: blob })
  assert.deepEqual(await up.body.json(), { length: SIZE, sha256: digest })
  const down = await dispatcher.request({ path: `/bytes/${SIZE}`, method: 'GET' })
  assert.equal((await down.body.arrayBuffer()).byteLength, SIZE)
  await dispatcher.close()
}

async function fetching () {
  const stream = new ReadableStream({
    start (controller) {
      for (let i = 0; i < SIZE; i += 65536) controller.enqueue(blob.subarray(i, i + 65536))
      controller.close()
    }
  })
  const up = await fetch(`http://127.0.0.1:${plain}/hash`, { method: 'POST', body: stream, duplex: 'half' })
  assert.deepEqual(await up.json(), { length: SIZE, sha256: digest })
  const zipped = await fetch(`http://127.0.0.1:${plain}/gzip`)
  assert.equal(await zipped.text(), 'hello')
}

async function http2Session (address, options) {
  const session = http2.connect(address, options)
  await once(session, 'connect')
  const get = async (path, headers = {}, body) => {
    const stream = session.request({ ':path': path, ...(body ? { ':method': 'POST' } : {}), ...headers })
    if (body) stream.end(body)
    const [answer] = await once(stream, 'response')
    let trailers = {}
    stream.on('trailers', fields => { trailers = fields })
    const parts = []
    for await (const part of stream) parts.push(part)
    return { status: answer[':status'], headers: answer, trailers, body: Buffer.concat(parts) }
  }
  const numbers = await Promise.all(Array.from({ length: 90 }, (_, i) => get(`/number/${i}`)))
  assert.deepEqual(numbers.map(answer => answer.body.toString()), Array.from({ length: 90 }, (_, i) => String(i)))
  const both = await get('/mirror', {}, blob)
  assert.ok(both.body.equals(blob))
  const crumbs = JSON.parse((await get('/seen', { cookie: ['a=1', 'b=2', 'c=3'] })).body)
  assert.equal(crumbs.headers.cookie, 'a=1; b=2; c=3')
  assert.equal(crumbs.headers.host, new URL(address).host)
  const trailing = await get('/trailers', { te: 'trailers' })
  assert.equal(trailing.trailers['x-sum'], 'four')
  session.close()
  await once(session, 'close')
}

async function trailers (agent) {
  const answer = await ask(agent, '/trailers', { headers: { te: 'trailers' } })
  assert.equal(answer.trailers['x-sum'], 'four')
  agent.destroy()
}

const tls = { ca, servername: 'localhost' }
const checks = {
  'http, 1000 requests on 4 connections': () => keepAlive(new http.Agent({ keepAlive: true, maxSockets: 4 })),
  'https, 1000 requests on 4 connections': () => keepAlive(new https.Agent({ keepAlive: true, maxSockets: 4, ...tls })),
  'http, 5 MB up, up in chunks, down, both': () => bigOnes(new http.Agent({ keepAlive: true })),
  'https, 5 MB up, up in chunks, down, both': () => bigOnes(new https.Agent({ keepAlive: true, ...tls })),
  'http, trailers': () => trailers(new http.Agent({ keepAlive: true })),
  '50 requests in one write': pipelinedByHand,
  'undici, pipelining of 10, 500 requests': undiciPipelining,
  'undici, 5 MB up and down': () => undiciBig(new Pool(`http://127.0.0.1:${plain}`)),
  'undici with HTTP/2, 5 MB up and down': () => undiciBig(new Client(`https://localhost:${secure}`, { allowH2: true, connect: { ca, family: 4 } })),
  'fetch, a stream up, gzip down': fetching,
  'http2 without TLS': () => http2Session(`http://127.0.0.1:${plain}`),
  'http2 with TLS': () => http2Session(`https://localhost:${secure}`, { ca, family: 4 })
}

for (const [name, check] of Object.entries(checks)) {
  let timer
  const late = new Promise((resolve, reject) => { timer = setTimeout(reject, 20000, new Error('no end within 20 s')) })
  try {
    await Promise.race([check(), late])
    console.log(`ok ${name}`)
  } catch (error) {
    console.log(`fail ${name}: ${String(error.stack ?? error).replaceAll('\n', ' | ').slice(0, 400)}`)
  }
  clearTimeout(timer)
}
process.exit()
