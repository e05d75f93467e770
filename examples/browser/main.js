// Classifies the pictures that are chosen, in the page. Usage: npx vite examples/browser
import { loadClassifier, verdictsOf } from "sdim/browser";

const state = document.querySelector("#state");
const verdicts = document.querySelector("#verdicts");

try {
  const classifier = await loadClassifier(new URL("../../models/mnist/model.onnx", import.meta.url), {
    onProgress: (loaded, total) => {
      state.textContent = `Loading the model: ${loaded} of ${total} bytes`;
    },
  });
  state.textContent = `Ready: ${classifier.card.classNames.length} classes.`;
  document.querySelector("input").addEventListener("change", async ({ target }) => {
    for (const file of target.files) {
      const line = verdicts.appendChild(document.createElement("li"));
      try {
        const result = await classifier.classify(file, { percentile: 2 });
        for (const { label, accepted } of verdictsOf(result, classifier.card))
          line.textContent = `${file.name}: ${accepted ? label : "I don't know"}`;
      } catch (error) {
        line.textContent = error.message;
      }
    }
  });
} catch (error) {
  state.textContent = error.message;
}
