import type { ClassGaussians, Classification, ModelCard } from "../../../src/browser.ts";
import type { Item } from "../use-items.ts";
import { number, scoreInWords, verdictOf } from "../words.ts";
import { Likelihoods } from "./likelihoods.tsx";
import { NearestMeans } from "./nearest-means.tsx";
import { Pixels } from "./pixels.tsx";

interface VerdictProps {
  readonly item: Item;
  readonly card: ModelCard;
  readonly result: Classification;
  readonly gaussians: ClassGaussians | undefined;
  readonly thresholds: readonly number[];
  readonly onInvert: () => void;
}

/** All that the model says of one image. */
export function VerdictPanel({ item, card, result, gaussians, thresholds, onInvert }: VerdictProps) {
  const { isAccepted, name, logLikelihood, threshold } = verdictOf(result, card);
  return (
    <div class={isAccepted ? "verdict accepted" : "verdict rejected"}>
      <div class="answer">
        <p class="words" role="status">
          {isAccepted ? (
            <>
              <strong>{name}</strong> <span class="badge">accepted</span>
            </>
          ) : (
            <>
              <strong>Not like anything it was trained on</strong> <span class="badge">rejected</span>
            </>
          )}
        </p>
        <p class="why">
          {isAccepted ? "Its" : `Closest is ${name}, but the`} {scoreInWords(card.model)} {number(logLikelihood)} is{" "}
          {isAccepted ? `not below the threshold of ${name},` : "below that class’s threshold,"} {number(threshold)}.
        </p>
        {gaussians && <NearestMeans card={card} representation={result.representations} gaussians={gaussians} />}
      </div>
      <figure class="saw">
        <Pixels picture={item.seen!.picture} label={`${item.name}, as the model sees it`} />
        <figcaption>
          What the model sees: {card.model.imageSize} × {card.model.imageSize}
        </figcaption>
        <button type="button" class="quiet" aria-pressed={item.isInverted} onClick={onInvert}>
          Invert light and dark
        </button>
      </figure>
      <Likelihoods
        card={card}
        scores={result.classLogLikelihoods}
        thresholds={thresholds}
        winner={result.labels[0]!}
        isAccepted={isAccepted}
      />
    </div>
  );
}
