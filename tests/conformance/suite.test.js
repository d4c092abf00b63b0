// The public suite against a hub that runs already; STREAMHUB_URL says where.
import { runConformanceTests } from "@durable-streams/server-conformance-tests"

runConformanceTests({ baseUrl: process.env.STREAMHUB_URL, longPollTimeoutMs: 500 })
