/**
 * How long a test of the page may take, however vitest is called. It ends only what hangs, as
 * `tests/support/patience.py` says, whose factor counts here, too.
 */

import { loadEnv } from "vite";
import { defineConfig } from "vitest/config";

const { STREAMHUB_TEST_TIMEOUT_FACTOR: factor = "1" } = loadEnv("test", ".", "STREAMHUB_TEST_");
const patience = 120_000 * Number(factor);

export default defineConfig({ test: { testTimeout: patience, hookTimeout: patience } });
