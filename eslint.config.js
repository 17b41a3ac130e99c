import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["node_modules/", ".venv/", ".cache/", "var/"] },
  js.configs.recommended,
  {
    rules: {
      eqeqeq: "error",
      "no-console": ["error", { allow: ["error", "warn"] }],
      "no-var": "error",
      "prefer-const": "error",
      "no-eval": "error",
      // Text of others stays text: nothing here is ever parsed as markup.
      "no-restricted-properties": [
        "error",
        ...["innerHTML", "outerHTML", "insertAdjacentHTML"].map((property) => ({ property })),
        { object: "document", property: "write" },
      ],
    },
  },
  { files: ["actors/**/*.js"], languageOptions: { globals: globals.browser } },
  { files: ["tests/js/**/*.js"], languageOptions: { globals: globals.node } },
];
