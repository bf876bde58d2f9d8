// One application behind every kind of socket: HTTP/1.1, a path, TLS with HTTP/1.1, TLS with HTTP/2, HTTP/2 without TLS.
// Arguments: certificate, key, path. Prints its ports as JSON.
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'

const [cert, key, path] = process.argv.slice(2)
const tls = { cert: fs.readFileSync(cert), key: fs.readFileSync(key) }
const block = Buffer.alloc(64 * 1024, 'slidecar')

async function answer (request, response) {
  const url = new URL(request.url, 'http://localhost')
  const [, what, argument] = url.pathname.split('/')
  response.setHeader('x-backend', request.httpVersion)
  switch (what) {
    case 'bytes': {
      let left = Number(argument)
      response.setHeader('content-length', left)
      while (left > 0) {
        const part = block.subarray(0, left)
        left -= part.length
        if (!response.write(part)) await new Promise(resolve => response.once('drain', resolve))
      }
      return response.end()
    }
    case 'hash': {
      const hash = createHash('sha256')
      let length = 0
      for await (const part of request) {
        hash.update(part)
        length += part.length
      }
      return json(response, { length, sha256: hash.digest('hex') })
    }
    case 'mirror':
      for await (const part of request) {
        if (!response.write(part)) await new Promise(resolve => response.once('drain', resolve))
      }
      return response.end()
    case 'status':
      if (argument === '304') response.setHeader('etag', '"one"')
      response.statusCode = Number(argument)
      return response.end()
    case 'seen':
      return json(response, { method: request.method, version: request.httpVersion, headers: request.headers })
    case 'gzip':
      response.setHeader('content-encoding', 'gzip')
      return response.end(Buffer.from('H4sIAAAAAAAAA8tIzcnJBwCGphA2BQAAAA==', 'base64'))
    case 'trailers':
      response.setHeader('trailer', 'x-sum')
      response.write('body')
      response.addTrailers({ 'x-sum': 'four' })
      return response.end()
    case 'number':
      return response.end(argument)
    default:
      response.setHeader('content-length', 6)
      return response.end('hello\n')
  }
}

function json (response, value) {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(value))
}

const guarded = (request, response) => answer(request, response).catch(() => response.destroy())
const servers = {
  http: http.createServer(guarded),
  https: https.createServer(tls, guarded),
  h2: http2.createSecureServer(tls, guarded),
  h2c: http2.createServer({ settings: { maxConcurrentStreams: 100 } }, guarded)
}

const listening = Object.entries(servers).map(([kind, server]) => new Promise(resolve => {
  server.listen(0, '127.0.0.1', () => resolve([kind, server.address().port]))
}))
const unix = new Promise(resolve => http.createServer(guarded).listen(path, resolve))
Promise.all([...listening, unix]).then(ports => console.log(JSON.stringify(Object.fromEntries(ports.slice(0, -1)))))
