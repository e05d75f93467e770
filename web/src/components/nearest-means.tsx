import { type ClassGaussians, distancesToMeans, type ModelCard } from "../../../src/browser.ts";

interface NearestMeansProps {
  readonly card: ModelCard;
  /** [d] */
  readonly representation: Float32Array;
  readonly gaussians: ClassGaussians;
}

const shown = 3;

/** The classes whose means are nearest to what the encoder made of the image. */
export function NearestMeans({ card, representation, gaussians }: NearestMeansProps) {
  const all = distancesToMeans(representation, gaussians)
    .map((distance, c) => ({ name: card.classNames[c]!, distance }))
    .sort((a, b) => a.distance - b.distance);
  const farthest = all.at(-1)!.distance;
  return (
    <section class="nearest">
      <h3>Nearest class means</h3>
      <ol>
        {all.slice(0, shown).map(({ name, distance }) => (
          <li key={name}>
            <span class="name">{name}</span>
            <span class="track" aria-hidden="true">
              <span class="bar" style={{ width: `${((100 * distance) / farthest).toFixed(1)}%` }} />
            </span>
            <span class="value">{distance.toFixed(1)}</span>
          </li>
        ))}
      </ol>
      <p class="legend">In standard deviations of each class; a full bar is the farthest.</p>
    </section>
  );
}
