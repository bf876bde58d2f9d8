// Runs all caching tests against the base URL and prints the results as JSON.
import fetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import surrogate from 'http-cache-tests/tests/surrogate-control.mjs'
import tests from 'http-cache-tests/tests/index.mjs'

tests.push(surrogate)
await runTests(tests, fetch, false, process.argv[2], 100)
// Connections that are kept alive would keep the process, too.
process.stdout.write(JSON.stringify(getResults()), () => process.exit())
