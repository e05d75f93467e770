import type { ModelCard } from "../../../src/browser.ts";
import { number, scoreInWords } from "../words.ts";

interface LikelihoodsProps {
  readonly card: ModelCard;
  readonly scores: Float32Array;
  readonly thresholds: readonly number[];
  readonly winner: number;
  readonly isAccepted: boolean;
}

/**
 * Where a score lies between the lowest (0) and the highest (1): logarithmic in its distance below the highest, because classes that do not
 * win are hundreds of nats below, and the threshold is what matters. `unit`: the distance up to which it is about linear.
 */
function scaleOf(values: readonly number[], unit: number): (value: number) => number {
  const [top, bottom] = [Math.max(...values), Math.min(...values)];
  const whole = Math.log1p((top - bottom) / unit) || 1;
  return (value) => 1 - Math.log1p((top - value) / unit) / whole;
}

/** A bar per class, its threshold marked. */
export function Likelihoods({ card, scores, thresholds, winner, isAccepted }: LikelihoodsProps) {
  const score = scoreInWords(card.model);
  const scale = scaleOf([...scores, ...thresholds], card.model.head === "sdim" ? 20 : 0.05);
  const place = (value: number) => `${(4 + 94 * scale(value)).toFixed(2)}%`;
  return (
    <section class="likelihoods">
      <h3>
        {score[0]!.toUpperCase()}
        {score.slice(1)} of each class
      </h3>
      <table>
        <thead class="for-readers">
          <tr>
            <th scope="col">class</th>
            <th scope="col">bar</th>
            <th scope="col">{score}</th>
            <th scope="col">threshold</th>
          </tr>
        </thead>
        <tbody>
          {card.classNames.map((name, c) => (
            <tr key={name} class={c === winner ? (isAccepted ? "winner" : "winner below") : ""}>
              <th scope="row">{name}</th>
              <td class="track" aria-hidden="true">
                <span class="bar" style={{ width: place(scores[c]!) }} />
                <span class="mark" style={{ left: place(thresholds[c]!) }} />
              </td>
              <td class="value">{number(scores[c]!)}</td>
              <td class="value faint">{number(thresholds[c]!)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="legend">
        <span class="mark-sample" aria-hidden="true" /> and the right column: the class’s threshold. In nats, on a logarithmic scale below
        the best.
      </p>
    </section>
  );
}
