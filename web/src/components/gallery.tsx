import type { ModelCard } from "../../../src/browser.ts";
import type { ListedModel } from "../models.ts";
import { useEvaluation } from "../use-evaluation.ts";
import { ordinal, percent } from "../words.ts";

interface GalleryProps {
  readonly models: readonly ListedModel[];
  readonly chosen: ListedModel | undefined;
  readonly onChoose: (model: ListedModel) => void;
}

/** The models there are, and what their cards say. */
export function Gallery({ models, chosen, onChoose }: GalleryProps) {
  return (
    <section aria-labelledby="gallery-heading">
      <h2 id="gallery-heading">Models</h2>
      <ul class="gallery">
        {models.map((model) => (
          <li key={model.name} class={model === chosen ? "panel card chosen" : "panel card"}>
            <h3>{model.name}</h3>
            <p class="note">{model.classNames.join(", ")}</p>
            {model.measured && <CardNumbers url={model.measured.url} card={model.measured.card} />}
            <button type="button" aria-pressed={model === chosen} onClick={() => onChoose(model)}>
              {model === chosen ? "In use" : "Use this model"}
              <span class="for-readers">: {model.name}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function CardNumbers({ url, card }: { readonly url: string; readonly card: ModelCard }) {
  const state = useEvaluation(url);
  const evaluation = state.kind === "ready" ? state.evaluation : undefined;
  const { percentile } = card.calibration;
  const row = evaluation?.rejection.find((one) => one.percentile === percentile);
  if (state.kind === "failed") return <p class="note">{state.message}</p>;
  return (
    <dl>
      <div>
        <dt>kind</dt>
        <dd>{card.model.head === "sdim" ? `SDIM ResNet${card.model.depth}` : `softmax ResNet${card.model.depth}, for comparison`}</dd>
      </div>
      <div>
        <dt>weights</dt>
        <dd>{card.parameters.toLocaleString("en")}</dd>
      </div>
      {evaluation && (
        <div>
          <dt>accuracy</dt>
          <dd>{percent(evaluation.accuracy)}</dd>
        </div>
      )}
      {row && (
        <div>
          <dt>rejected at the {ordinal(percentile)} percentile</dt>
          <dd>{percent(row.rejectionRate)}</dd>
        </div>
      )}
      {evaluation?.ood[0] && (
        <div>
          <dt>AUROC against {evaluation.ood[0].data}</dt>
          <dd>{evaluation.ood[0].auroc.toFixed(3)}</dd>
        </div>
      )}
    </dl>
  );
}
