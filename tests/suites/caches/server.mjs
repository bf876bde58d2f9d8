// The origin of the caching tests, on a free port of the loopback (its own main file listens everywhere).
import http from 'node:http'
import handleConfig from 'http-cache-tests/server/handle-config.mjs'
import handleState from 'http-cache-tests/server/handle-state.mjs'
import handleTest from 'http-cache-tests/server/handle-test.mjs'

const handlers = { config: handleConfig, state: handleState, test: handleTest }

const server = http.createServer((request, response) => {
  const [, kind, ...rest] = new URL(request.url, 'http://localhost/').pathname.split('/')
  const handle = handlers[kind]
  if (handle) return handle(rest, request, response)
  response.writeHead(404).end()
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
