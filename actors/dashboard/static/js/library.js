/** The chart library, loaded when the first coin is opened. */

/** @typedef {typeof import("lightweight-charts")} Charts */

const PATH = "vendor/lightweight-charts.js";

/** @type {Promise<Charts> | null} */
let loading = null;

/**
 * Return the library.
 * @returns {Promise<Charts>} Rejected with what is missing and how to get it.
 */
export function charts() {
  loading ??= load().catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

/** @returns {Promise<Charts>} */
async function load() {
  const script = document.createElement("script");
  script.src = PATH;
  /** @type {Promise<void>} */
  const loaded = new Promise((resolve, reject) => {
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => reject(new Error("missing")));
  });
  document.head.append(script);
  await loaded.catch(async () => {
    script.remove();
    const answer = await fetch(PATH).catch(() => null);
    if (answer === null) throw new Error("The chart library cannot be loaded: the server does not answer.");
    throw new Error(
      "The chart library is not installed, so there is no chart. Install Node.js with npm (Debian and " +
      "Ubuntu: the package npm), run “make install” in the project, and open the coin again. Everything " +
      "else works without it.",
    );
  });
  const found = /** @type {{LightweightCharts?: Charts}} */ (/** @type {unknown} */ (globalThis)).LightweightCharts;
  if (found === undefined) throw new Error(`${PATH} was loaded, but holds no chart library; run “make install” again.`);
  return found;
}
